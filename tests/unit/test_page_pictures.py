"""Pages of PDFs as pictures: the right words are highlighted, and a hostile file costs neither time nor memory."""

from __future__ import annotations

import io
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from rag.errors import CorpuscopeError, NotFound, ParseError, ParseLimit, PasswordNeeded
from rag.reading.page_child import find_words
from rag.reading.page_pictures import (
    MAX_FILE_BYTES,
    DrawLimits,
    PageWanted,
    draw_page,
    page_at,
    words_on_page,
)
from rag.reading.parsing import parse_file

EVAL_FILES = Path(__file__).parents[3] / "shared" / "eval" / "files"


def make_pdf(*pages: bytes, box: str = "0 0 300 200", extra: str = "") -> bytes:
    """A PDF with these page contents, and a Helvetica named F."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, content in enumerate(pages):
        packed = zlib.compress(content)
        parts.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] {extra} /Resources << /Font << /F 3 0 R >> >>"
            f" /Contents {5 + 2 * n} 0 R >>".encode()
        )
        parts.append(b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(packed), packed))
    out, places = b"%PDF-1.7\n", []
    for n, part in enumerate(parts, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (n, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(parts) + 1
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        size, table, size, len(out),
    )  # fmt: skip


def lines(*words: str) -> bytes:
    shown = b" ".join(b"(%s) Tj 0 -30 Td" % line.encode() for line in words)
    return b"BT /F 14 Tf 20 160 Td %s ET" % shown


PUMP = make_pdf(lines("The Falcon pump", "weighs 12 kg.", "It is blue."), lines("Page two."))


def highlighted(image: bytes) -> list[tuple[float, float]]:
    """Where the marker's colour is, as shares of width and height."""
    picture = Image.open(io.BytesIO(image)).convert("RGB")
    width, height = picture.size
    found = []
    for y in range(0, height, 4):
        for x in range(0, width, 4):
            red, _, blue = picture.getpixel((x, y))  # type: ignore[misc]
            if red > 200 and blue < 130:
                found.append((x / width, y / height))
    return found


def test_a_page_is_drawn_with_the_words_highlighted_where_they_are() -> None:
    picture = draw_page([PUMP[:100], PUMP[100:]], PageWanted(1, "weighs 12 kg", width=600))
    assert (picture.width, picture.height, picture.pages, picture.found) == (600, 400, 2, True)
    marks = highlighted(picture.image)
    assert marks
    # The second line: its letters stand on 130 of 200 points.
    assert all(0.25 < y < 0.40 and x < 0.5 for x, y in marks)
    assert picture.top == pytest.approx(min(y for _, y in marks), abs=0.03)


def test_words_over_two_lines_are_highlighted_on_both() -> None:
    marks = highlighted(draw_page([PUMP], PageWanted(1, "Falcon pump\nweighs", width=600)).image)
    assert {y < 0.25 for _, y in marks} == {True, False}


@pytest.mark.parametrize("quote", ["", "words that are not there"])
def test_without_the_words_the_page_is_plain(quote: str) -> None:
    picture = draw_page([PUMP], PageWanted(1, quote))
    assert not picture.found
    assert highlighted(picture.image) == []


@pytest.mark.parametrize(
    ("text", "quote", "at", "found"),
    [
        ("The pump. The pump.", "pump", 0.0, [(4, 8)]),
        ("The pump. The pump.", "pump", 0.9, [(14, 18)]),
        ("exam-\r\nple here", "example", 0.0, [(0, 10)]),
        ("😀 caf\u00e9", "CAFE\u0301", 0.0, [(3, 7)]),
        ("\ufb01sh", "fish", 0.0, [(0, 3)]),
        ("two columns first left second right", "## First\nsecond", 0.0, [(12, 17), (23, 29)]),
        ("nothing", "else", 0.0, []),
        ("nothing", "...", 0.0, []),
    ],
)
def test_words_are_found_in_what_a_pdf_says(text: str, quote: str, at: float, found: list[tuple[int, int]]) -> None:
    assert find_words(text, quote, at) == found


def test_what_to_draw_of_a_page_is_the_part_of_the_span_that_is_on_it() -> None:
    text, starts = "first page\n\nsecond page", [0, 12]
    assert page_at(starts, 11) == 1
    assert page_at(starts, 12) == 2
    assert words_on_page(text, starts, 1, (6, 18)) == PageWanted(1, "page\n\n", 0.5)
    assert words_on_page(text, starts, 2, (6, 18)) == PageWanted(2, "second", 0.0)
    assert words_on_page(text, starts, 2, (0, 5)) == PageWanted(2)


@pytest.mark.parametrize(
    ("data", "wanted", "kind", "words"),
    [
        (b"", PageWanted(1), ParseError, "damaged"),
        (b"%PDF-1.7 and then nothing", PageWanted(1), ParseError, "damaged"),
        (b"\x89PNG\r\n" * 50, PageWanted(1), ParseError, "damaged"),
        (PUMP, PageWanted(3), ParseError, "no page 3"),
    ],
)
def test_what_can_t_be_drawn_is_said(data: bytes, wanted: PageWanted, kind: type[CorpuscopeError], words: str) -> None:
    with pytest.raises(kind, match=words):
        draw_page([data], wanted)


@pytest.mark.parametrize("box", ["0 0 1000000 1000000", "0 0 14400 3", "0 0 0 0"])
def test_a_page_of_any_size_becomes_a_picture_of_a_bounded_one(box: str) -> None:
    picture = draw_page([make_pdf(lines("x"), box=box)], PageWanted(1))
    assert picture.width * picture.height <= 3_100_000
    assert max(picture.width, picture.height) <= 4_001


def test_a_page_that_takes_for_ever_is_given_up_on() -> None:
    endless = make_pdf(b"0 0 m 300 200 l 300 0 l 0 200 l b* " * 3_000_000)
    began = time.monotonic()
    with pytest.raises(ParseLimit, match="more than 1 seconds"):
        draw_page([endless], PageWanted(1), DrawLimits(seconds=1))
    assert time.monotonic() - began < 30


def test_a_page_that_takes_too_much_memory_is_refused_in_words() -> None:
    with pytest.raises(ParseError):
        draw_page([make_pdf(b"(" + b"x" * 120_000_000 + b") Tj")], PageWanted(1), DrawLimits(memory_bytes=250 * 2**20))
    assert draw_page([PUMP], PageWanted(1)).pages == 2


def test_a_file_that_is_too_large_is_not_handed_over_to_its_end() -> None:
    handed = 0

    def pieces() -> Iterator[bytes]:
        nonlocal handed
        while True:
            handed += 1
            yield bytes(2**20)

    with pytest.raises(ParseLimit, match="64 MB"):
        draw_page(pieces(), PageWanted(1))
    assert handed <= MAX_FILE_BYTES // 2**20 + 1


def test_who_may_not_read_the_file_is_told_so_and_leaves_no_child() -> None:
    def refuse() -> bytes:
        raise NotFound("That document doesn't exist, or it isn't shared with you.")

    with pytest.raises(NotFound):
        draw_page((refuse() for _ in range(1)), PageWanted(1))
    # Both places are free again.
    for _ in range(3):
        assert draw_page([PUMP], PageWanted(2)).pages == 2


def test_more_pages_at_once_than_are_drawn_wait_for_their_turn() -> None:
    drawn: list[int] = []
    threads = [
        threading.Thread(target=lambda: drawn.append(draw_page([PUMP], PageWanted(1, width=200)).width))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert drawn == [200] * 5


@pytest.mark.skipif(not EVAL_FILES.is_dir(), reason="the evaluation files are not there")
@pytest.mark.parametrize("name", ["arabic", "booking", "four_pages", "multicolumn", "rotated90", "japanese_sjis"])
def test_spans_of_a_parsed_text_are_found_on_their_page(name: str) -> None:
    path = EVAL_FILES / f"{name}.pdf"
    parsed = parse_file(path, path.name)
    place = parsed.text.index(parsed.text.split()[len(parsed.text.split()) // 2])
    span = (place, min(place + 60, len(parsed.text)))
    wanted = words_on_page(parsed.text, parsed.page_starts, page_at(parsed.page_starts, place), span, 500)
    assert draw_page([path.read_bytes()], wanted).found


@pytest.mark.skipif(not EVAL_FILES.is_dir(), reason="the evaluation files are not there")
def test_a_protected_file_is_said_to_be_one() -> None:
    with pytest.raises(PasswordNeeded):
        draw_page([(EVAL_FILES / "needs_password.pdf").read_bytes()], PageWanted(1))
