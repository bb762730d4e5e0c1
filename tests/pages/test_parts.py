"""The pure pieces of the pages: what they escape, cut and format."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from uuid import UUID

import pytest

from pages.parts.downloads import file_name, to_csv
from pages.parts.highlights import cut_around, mark_spans, merge_spans
from pages.parts.markdown import link_markers, sanitise
from pages.parts.reading import Window, cut_segments, cut_windows, window_of
from pages.parts.uploads import _flat_name, _is_litter
from pages.parts.words import count, duration, plain, size
from rag.records import ChunkRow, SpanMark


def test_marked_text_is_escaped_inside_and_outside_of_marks() -> None:
    html = mark_spans("<script>alert(1)</script> & more", [(0, 8), (26, 40)])
    assert html == "<mark>&lt;script&gt;</mark>alert(1)&lt;/script&gt; <mark>&amp; more</mark>"


def test_spans_are_joined_cut_and_sorted() -> None:
    assert merge_spans([(5, 9), (0, 3), (2, 4), (8, 20), (7, 7), (30, 40)], 12) == [(0, 4), (5, 12)]


def test_a_long_text_is_cut_around_its_first_span() -> None:
    text = "word " * 400
    cut, spans = cut_around(text, [(1000, 1004)], most=200)
    assert len(cut) < 300
    assert cut.startswith("… ")
    assert cut.endswith(" …")
    assert [cut[start:end] for start, end in spans] == [text[1000:1004]]


@pytest.mark.parametrize(
    "hostile",
    [
        "![pixel](https://evil.example/p.png)",
        "![pixel][1]\n\n[1]: https://evil.example/p.png",
        "[click](https://evil.example 'title')",
        "<img src=https://evil.example/p.png>",
        "<https://evil.example>",
        "see https://evil.example/?q=secret now",
        "[![x](https://evil.example/p.png)](https://evil.example)",
    ],
)
def test_answers_fetch_nothing_and_link_nowhere(hostile: str) -> None:
    safe = sanitise(hostile)
    assert "](" not in safe
    assert "![" not in safe
    assert "]:" not in safe
    for part in safe.split("`")[::2]:
        assert "https://" not in part or "\\<" in part
        assert "<" not in part.replace("\\<", "")


def test_directives_and_formulas_of_an_answer_stay_text() -> None:
    assert sanitise("costs $5 and $6 :red[now] :material/bolt:") == "costs \\$5 and \\$6 \\:red[now] \\:material/bolt:"


def test_code_of_an_answer_stays_as_it_is() -> None:
    code = "```html\n<a href='x'>[1](y)</a>\n```"
    assert sanitise(f"Use `<b>` or\n{code}") == f"Use `<b>` or\n{code}"


def test_each_marker_opens_its_own_citation() -> None:
    linked = link_markers("One [2]. Two [1][2]. `[3]` \\[1\\]", lambda position, number: f"/at-{position}-{number}")
    assert linked == "One [\\[2\\]](/at-0-2). Two [\\[1\\]](/at-1-1)[\\[2\\]](/at-2-2). `[3]` \\[1\\]"
    assert link_markers("None [4].", lambda position, number: None) == "None \\[4\\]."


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1"])
def test_a_cell_is_never_a_formula(start: str) -> None:
    data = to_csv([{"name": start, "n": -5}], ("name", "n"))
    assert data.startswith(b"\xef\xbb\xbf")
    row = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))[1]
    assert row == [f"'{start}", "-5"]


def test_file_names_are_harmless() -> None:
    assert file_name("../My corpus/..", "hits") == "corpuscope-my-corpus-hits.csv"


def test_windows_cover_the_text_and_begin_where_pages_do() -> None:
    starts = list(range(0, 100_000, 3000))
    windows = cut_windows(100_000, starts, [])
    assert windows[0].start == 0
    assert windows[-1].end == 100_000
    assert all(a.end == b.start for a, b in pairwise(windows))
    assert all(window.start in starts for window in windows)
    assert all(window.end - window.start <= 18_000 for window in windows)
    assert windows[window_of(windows, 50_000)].start <= 50_000 < windows[window_of(windows, 50_000)].end


def test_windows_are_cut_where_nothing_begins() -> None:
    windows = cut_windows(50_000, [], [])
    assert len(windows) > 2
    assert max(window.end - window.start for window in windows) <= 18_000


def test_segments_carry_pages_chunks_marks_and_focus() -> None:
    text = "Page one text. Page two text."
    document = UUID(int=1)
    chunk = ChunkRow(7, 0, 0, 14, 1, ["A", "B"], text[:14], 4, False, True)
    marks = [SpanMark(1, document, 5, 8, "exclusion", None), SpanMark(2, document, 15, 19, "tag", "t")]
    segments = cut_segments(text, Window(0, len(text), ""), [chunk], marks, [0, 15], (20, 23))
    assert "".join(segment["text"] for segment in segments) == text
    by_start = {segment["start"]: segment for segment in segments}
    assert by_start[0]["page"] == 1
    assert by_start[0]["chunk"]["heading"] == "A › B"
    assert by_start[5]["excluded"]
    assert by_start[15]["tags"] == ["t"]
    assert by_start[15]["page"] == 2
    assert [segment["text"] for segment in segments if segment.get("focus")] == ["two"]


def test_a_name_shows_as_it_is() -> None:
    assert plain("*bold* [x](http://y) <b>").replace("\\", "").replace("`", "") == "*bold* [x](http://y) <b>"


def test_words_for_numbers() -> None:
    assert [count(1, "file"), count(1200, "file")] == ["1 file", "1,200 files"]
    assert [size(820), size(1400), size(3_200_000), size(2_500_000_000)] == ["820 bytes", "1.4 KB", "3.2 MB", "2.5 GB"]
    assert [duration(0.2), duration(42), duration(200), duration(7500)] == [
        "under a second",
        "42 s",
        "3 min 20 s",
        "2 h 5 min",
    ]


def test_files_of_a_folder_keep_their_place_in_their_names() -> None:
    assert _flat_name("corpus/2024/report.pdf") == "2024 - report.pdf"
    assert _flat_name("corpus/../../etc/passwd") == "etc - passwd"
    assert _is_litter("2024 - .DS_Store")
    assert not _is_litter("2024 - report.pdf")
