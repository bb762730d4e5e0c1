"""Each evaluation file ends as its manifest says, judged by the parser alone."""

from __future__ import annotations

import csv
import json
import re
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.errors import CorpuscopeError, NoText, PasswordNeeded, UnsupportedType
from rag.reading.parsing import ParsedText, ParseLimits, Parser

FILES = Path(__file__).parents[2].parent / "shared" / "eval" / "files"
MANIFEST = FILES / "MANIFEST.tsv"
needs_files = pytest.mark.skipif(not MANIFEST.exists(), reason="the evaluation files are not beside this checkout")


def manifest() -> list[dict[str, str]]:
    if not MANIFEST.exists():
        return []
    with MANIFEST.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def normal(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).replace("\ufffe", "").replace("\u00ad", "")
    return re.sub(r"\s+", " ", plain)


def fragments(cell: str) -> list[str]:
    return [normal(part) for part in cell.split(" ¦ ") if part]


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(ParseLimits(seconds=30, memory_bytes=500 * 2**20)) as one:
        yield one


def outcome(parser: Parser, row: dict[str, str]) -> ParsedText | CorpuscopeError:
    name = json.loads(row["upload_as"]) if row["upload_as"] else row["file"]
    try:
        return parser.parse(FILES / row["file"], name)
    except CorpuscopeError as error:
        return error


@needs_files
@pytest.mark.parametrize("row", manifest(), ids=lambda row: row["file"])
def test_a_file_ends_as_the_manifest_says(parser: Parser, row: dict[str, str]) -> None:
    result = outcome(parser, row)

    expected = row["expected"]
    if isinstance(result, ParsedText):
        assert expected in ("text", "text_or_error", "text_if_supported"), f"text from a file that expects {expected}"
        assert [part for part in fragments(row["must_contain"]) if part not in normal(result.text)] == []
        assert [part for part in fragments(row["must_not_contain"]) if part in normal(result.text)] == []
        assert not re.search("[\x00\ufeff\ud800-\udfff\r]", result.text)
        assert result.page_starts == sorted(result.page_starts)
    else:
        assert expected != "text", f"{type(result).__name__}: {result}"
        assert str(result).endswith(".")
        assert expected not in ("empty", "text_if_supported") or isinstance(result, NoText | UnsupportedType)


@needs_files
def test_pages_are_numbered_rightly(parser: Parser) -> None:
    parsed = parser.parse(FILES / "four_pages.pdf", "four_pages.pdf")

    assert len(parsed.page_starts) == 4
    assert parsed.text[parsed.page_starts[1] :].startswith("information. Really? Is there no information?")


@needs_files
def test_the_left_column_comes_before_the_right(parser: Parser) -> None:
    text = normal(parser.parse(FILES / "multicolumn.pdf", "multicolumn.pdf").text)

    assert text.index("Lorem ipsum dolor sit amet") < text.index("senectus et netus") < text.index("lacus vel est")


@needs_files
def test_arabic_reads_from_right_to_left_with_whole_ligatures(parser: Parser) -> None:
    text = parser.parse(FILES / "arabic.pdf", "arabic.pdf").text

    assert text.startswith("# تحسين الإنتاجية وحل المشكلات من خلال البرمجة بلغة R")


@needs_files
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("really_a_png.pdf", "not PDF"),
        ("scan_no_text_layer.pdf", "no text layer"),
        ("needs_password.pdf", "password"),
        ("zip_bomb.docx", "unpacks"),
    ],
)
def test_the_message_names_the_cause(parser: Parser, file: str, words: str) -> None:
    with pytest.raises(CorpuscopeError, match=words):
        parser.parse(FILES / file, file)


@needs_files
def test_a_password_has_its_own_error(parser: Parser) -> None:
    with pytest.raises(PasswordNeeded):
        parser.parse(FILES / "needs_password.pdf", "needs_password.pdf")


@needs_files
def test_a_zip_slip_entry_lands_nowhere(parser: Parser) -> None:
    parser.parse(FILES / "zip_slip.docx", "zip_slip.docx")

    places = [Path(tempfile.gettempdir()), Path.cwd(), *Path.cwd().parents]
    assert [place for place in places if (place / "pwned_zip_slip_A.txt").exists()] == []
