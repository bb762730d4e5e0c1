"""Chunks: exact spans, nothing lost, nothing over the window, cut on structure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from rag.chunks.boundaries import find_headings
from rag.chunks.chunking import Chunk, ChunkSettings, chunk_text, embedding_input
from rag.chunks.tokens import ModelTokens
from rag.errors import InvalidInput
from rag.vectors.models import packaged_folder

WINDOW = 256
PREFIX = "passage: "


@pytest.fixture(scope="module")
def tokens() -> ModelTokens:
    return ModelTokens.from_folder(packaged_folder(), window=WINDOW, passage_prefix=PREFIX)


def cut(
    text: str, tokens: ModelTokens, *, title: str = "", pages: Sequence[int] = (), **settings: int | bool
) -> list[Chunk]:
    chosen = ChunkSettings(**settings)  # type: ignore[arg-type]
    return chunk_text(text, title=title, page_starts=pages, settings=chosen, tokenizer=tokens)


def check(text: str, chunks: list[Chunk], tokens: ModelTokens) -> None:
    """What holds for any text."""
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    covered = 0
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text == chunk.text.strip() != ""
        assert not text[covered : chunk.start].strip(), "text between chunks"
        covered = max(covered, chunk.end)
    assert not text[covered:].strip()
    inputs = [PREFIX + embedding_input(chunk.context, chunk.text) for chunk in chunks]
    counts = [len(tokens.tokenizer.encode(each).ids) for each in inputs]
    assert counts == [chunk.token_count for chunk in chunks]
    assert max(counts, default=0) <= WINDOW


def sentences(number: int, seed: int = 0) -> str:
    words = ["river", "glass", "under", "seven", "lantern", "quiet", "morning", "velocity", "bread", "if", "the", "of"]
    chance = random.Random(seed)
    return " ".join(" ".join(chance.choices(words, k=chance.randint(4, 20))).capitalize() + "." for _ in range(number))


@pytest.mark.parametrize("text", ["", " ", "\n\n \t\r\n", "\u00a0\u2003"])
def test_white_space_gives_no_chunk(text: str, tokens: ModelTokens) -> None:
    assert cut(text, tokens, title="Something") == []


def test_text_that_fits_stays_whole(tokens: ModelTokens) -> None:
    text = "# A\n\nOne.\n\n# B\n\n" + "word " * 200
    (chunk,) = cut(f"\n {text}\n", tokens, with_context=False)
    assert (chunk.text, chunk.start) == (text.strip(), 2)
    assert len(cut("word " * 252, tokens, with_context=False)) == 1
    assert len(cut("word " * 253, tokens, with_context=False)) == 2
    assert len(cut("word " * 80, tokens, max_tokens=64)) == 1
    assert len(cut("word " * 100, tokens, max_tokens=64)) == 2


def test_a_large_window_makes_no_large_chunks_and_contexts() -> None:
    roomy = ModelTokens.from_folder(packaged_folder(), window=8191)
    text = f"# {'heading ' * 35}\n\n" + sentences(100)
    chunks = chunk_text(text, title="title " * 5000, page_starts=[], settings=ChunkSettings(), tokenizer=roomy)
    assert max(chunk.token_count for chunk in chunks) <= 192 + 64 + 4


def test_chunks_are_even_and_end_with_sentences(tokens: ModelTokens) -> None:
    text = sentences(200)
    chunks = cut(text, tokens, max_tokens=100, with_context=False)
    check(text, chunks, tokens)
    assert all(chunk.text.endswith(".") for chunk in chunks)
    sizes = [chunk.token_count for chunk in chunks]
    assert min(sizes) > 75
    assert max(sizes) <= 100 + len(tokens.ids([PREFIX])[0])


def test_a_little_over_the_size_becomes_two_halves_not_a_whole_and_a_scrap(tokens: ModelTokens) -> None:
    text = sentences(24)
    first, second = cut(text, tokens, max_tokens=240, with_context=False)
    assert 0.6 < first.token_count / second.token_count < 1.6


def sections(number: int, sentence_count: int) -> str:
    sentence = "Ten plain words make up this sentence about quiet rivers. "
    return "# Report\n\n" + "".join(f"## Section {n}\n\n{sentence * sentence_count}\n\n" for n in range(number))


def test_short_sections_are_chunks(tokens: ModelTokens) -> None:
    text = sections(8, 9)
    chunks = cut(text, tokens, title="Annual report", max_tokens=128)
    check(text, chunks, tokens)
    assert [chunk.heading_path for chunk in chunks[1:]] == [("Report", f"Section {n}") for n in range(1, 8)]
    assert all(chunk.text.startswith("## Section") for chunk in chunks[1:])
    assert {chunk.context for chunk in chunks[1:]} == {"Annual report › Report"}, "the heading is in the text already"


def test_parts_of_a_long_section_know_its_heading(tokens: ModelTokens) -> None:
    text = sections(4, 40)
    chunks = cut(text, tokens, title="Annual report", max_tokens=128)
    check(text, chunks, tokens)
    later = [chunk for chunk in chunks if "#" not in chunk.text]
    assert len(later) >= 12
    for chunk in later:
        section = text[: chunk.start].count("##") - 1
        assert chunk.heading_path == ("Report", f"Section {section}")
        assert chunk.context == f"Annual report › Report › Section {section}"
    assert not any(chunk.text.splitlines()[-1].startswith("#") for chunk in chunks), "a heading without its text"


def test_context_is_left_out_where_the_text_says_it(tokens: ModelTokens) -> None:
    text = "Wings in a slipstream .\n" + sentences(60)
    first, *rest = cut(text, tokens, title="wings in a Slipstream")
    assert first.context == ""
    assert {chunk.context for chunk in rest} == {"wings in a Slipstream"}
    assert {chunk.context for chunk in cut(text, tokens, title="wings", with_context=False)} == {""}
    (whole,) = cut("Short.", tokens, title="Some  \n title")
    assert (whole.context, embedding_input(whole.context, whole.text)) == ("Some title", "Some title\nShort.")
    assert embedding_input("", "Short.") == "Short."


def test_giant_title_and_headings_take_a_share_only(tokens: ModelTokens) -> None:
    text = f"# {'grand ' * 45}\n\n## {'heading ' * 35}\n\n" + sentences(100)
    chunks = cut(text, tokens, title="title " * 5000)
    check(text, chunks, tokens)
    assert all(chunk.token_count > WINDOW // 2 for chunk in chunks[1:-1])
    assert any("…" in chunk.context for chunk in chunks)


def test_headings() -> None:
    text = "# One #\n\n```\n# no heading\n```\n == Two == \n = = Three = = \n#nor this\n\n###### Six\n= = not wiki\n#\n"
    assert [(each.level, each.title) for each in find_headings(text)] == [
        (1, "One"),
        (2, "Two"),
        (2, "Three"),
        (6, "Six"),
    ]
    first = find_headings(text)[0]
    assert text[first.start : first.end] == "# One #"
    assert text[first.body :].startswith("```")


def test_heading_paths_follow_levels(tokens: ModelTokens) -> None:
    text = "".join(
        f"{'#' * level} {name}\n\n{sentences(14, seed=level)}\n\n"
        for level, name in ((1, "A"), (3, "B"), (2, "C"), (1, "D"))
    )
    paths = list(dict.fromkeys(chunk.heading_path for chunk in cut(text, tokens, max_tokens=64)))
    assert paths == [("A",), ("A", "B"), ("A", "C"), ("D",)]


def test_pages(tokens: ModelTokens) -> None:
    text = sentences(100)
    pages = [0, 1000, 3000]
    for chunk in cut(text, tokens, pages=pages, max_tokens=64):
        assert chunk.page == sum(start <= chunk.start for start in pages)
    assert {chunk.page for chunk in cut(text, tokens, max_tokens=64)} == {None}
    assert cut(f"  {sentences(2)}", tokens, pages=[1])[0].page == 1


def test_overlap_repeats_whole_sentences(tokens: ModelTokens) -> None:
    text = sentences(120)
    chunks = cut(text, tokens, max_tokens=128, overlap=32, with_context=False)
    check(text, chunks, tokens)
    repeated = [a.end - b.start for a, b in pairwise(chunks)]
    assert sum(length > 0 for length in repeated) > len(repeated) / 2
    assert all(chunk.text[0].isupper() for chunk in chunks)


HOSTILE = {
    "one line of words": sentences(30_000).replace("\n", " "),
    "no spaces": "x" * 300_000,
    "no spaces, many tokens": "aZ9-" * 50_000,
    "cjk": "中文字符的一是在不了有和人这，" * 6_000 + "。",
    "cjk without punctuation": "炎热的天气" * 10_000,
    "emoji": "👩‍👩‍👧‍👦" * 20_000,
    "flags": "🇩🇪🇫🇷" * 10_000,
    "combining marks": "a" + "\u0301" * 100_000,
    "dots": "." * 100_000,
    "white space inside": "a" + " " * 500_000 + "b",
    "lines": "a,1,2\n" * 60_000,
    "headings only": "# a\n\n" * 30_000,
    "wiki headings only": "= = a = =\n" * 20_000,
    "heading with a long line": "# " + "word " * 60_000,
    "heading with spaces": "# a" + " " * 300_000 + "b",
    "fences": "```\n" * 30_000,
    "quotes": '."' * 60_000,
    "carriage returns": "line\r\n" * 30_000,
    "arabic": "في البداية كان النص طويلا جدا؟ " * 5_000,
    "thai": "สวัสดีชาวโลกทั้งหลาย" * 3_000,
    "controls": "\x01\x02 text \u200b\ufeff" * 10_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_fits_the_window_and_loses_nothing(name: str, tokens: ModelTokens) -> None:
    text = HOSTILE[name]
    check(text, cut(text, tokens, title=f"{name} " * 300), tokens)


def test_any_mixture_fits_the_window(tokens: ModelTokens) -> None:
    chance = random.Random(7)
    pieces = [
        "\n",
        "\n\n",
        " ",
        "# H",
        "## H\n",
        "word ",
        "Wort. ",
        "中",
        "。",
        "👩‍👩‍👧",
        "é",
        "\u0301",
        "ab" * 60,
        "\t",
        "1,2\n",
        "حرارة ",
        "```\n",
        "== x ==\n",
        "donaudampfschifffahrtsgesellschaft ",
        "?",
        "\x0b",
        "\u00a0",
    ]
    for _ in range(60):
        text = "".join(chance.choice(pieces) * chance.choice((1, 1, 3, 40)) for _ in range(chance.randint(1, 400)))
        overlap = chance.choice((0, 0, 8))
        check(
            text,
            cut(
                text,
                tokens,
                title="T " * chance.choice((0, 1, 90)),
                max_tokens=chance.choice((16, 64, 192, 8192)),
                overlap=overlap,
            ),
            tokens,
        )


def test_signs_are_not_torn(tokens: ModelTokens) -> None:
    family = "👩‍👩‍👧‍👦"
    for chunk in cut(family * 5_000, tokens):
        assert chunk.text.replace(family, "") == ""


def test_settings_survive_the_database() -> None:
    settings = ChunkSettings(max_tokens=100, overlap=20, with_context=False)
    assert ChunkSettings.from_json(settings.to_json()) == settings
    assert ChunkSettings.from_json({}) == ChunkSettings()
    with pytest.raises(InvalidInput, match="another version"):
        ChunkSettings.from_json({"size": 5})
    wrongs: list[dict[str, Any]] = [
        {"max_tokens": 15},
        {"max_tokens": 9000},
        {"max_tokens": 64, "overlap": 33},
        {"overlap": -1},
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidInput):
            ChunkSettings(**wrong)
