"""OpenDocument texts, spreadsheets and presentations, with headings, lists and tables; a page is a slide.

Own code because kreuzberg 4.10 does not read presentations and loses spreadsheet cells without a declared type.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from rag.errors import ParseError, PasswordNeeded
from rag.reading.tables import markdown_table
from rag.reading.textfiles import clean

_NS = "urn:oasis:names:tc:opendocument:xmlns:"
_TEXT, _TABLE, _DRAW = f"{{{_NS}text:1.0}}", f"{{{_NS}table:1.0}}", f"{{{_NS}drawing:1.0}}"
_OFFICE, _PRESENTATION = f"{{{_NS}office:1.0}}", f"{{{_NS}presentation:1.0}}"
_SKIPPED = frozenset(
    (
        f"{_TEXT}tracked-changes", f"{_OFFICE}annotation", f"{_TEXT}sequence-decls", f"{_OFFICE}forms",
        f"{_TABLE}shapes", f"{_OFFICE}scripts", f"{_TEXT}index-title-template", f"{_PRESENTATION}header-decl",
        f"{_PRESENTATION}footer-decl", f"{_PRESENTATION}date-time-decl",
    )
)  # fmt: skip
_MOST_REPEATS = 1000


def opendocument_text(path: Path) -> tuple[str, list[int], str | None]:
    """Return the text, the offset of each slide (presentations only) and the title. Raises ParseError."""
    try:
        with zipfile.ZipFile(path) as archive:
            if b"<manifest:encryption-data" in archive.read("META-INF/manifest.xml"):
                raise PasswordNeeded("The file is protected by a password.")
            root = _xml(archive.read("content.xml"))
            title = _title(archive)
    except (zipfile.BadZipFile, KeyError, etree.XMLSyntaxError, zlib.error, NotImplementedError, EOFError) as error:
        raise ParseError(
            "The file is damaged: its content can't be read.",
            hint="Open it in its own program, save a new copy and upload that.",
        ) from error
    slides = list(root.iter(f"{_DRAW}page"))
    if not slides:
        body = next(root.iter(f"{_OFFICE}body"), None)
        return (_tidy(_blocks(body)) if body is not None else ""), [], title
    texts = [_tidy(_slide(slide)) for slide in slides]
    starts, length = [], 0
    for text in texts:
        starts.append(length)
        length += len(text) + 2
    return "\n\n".join(texts), starts, title


def _xml(data: bytes) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
    return etree.fromstring(data, parser)


def _title(archive: zipfile.ZipFile) -> str | None:
    if "meta.xml" not in archive.namelist():
        return None
    found = _xml(archive.read("meta.xml")).findtext(".//{http://purl.org/dc/elements/1.1/}title")
    return str(found) if found else None


def _tidy(blocks: Iterator[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", clean("\n".join(blocks))).strip()


def _blocks(root: Any) -> Iterator[str]:
    """Paragraphs, headings, list items and tables in document order, without recursion."""
    walker = etree.iterwalk(root, events=("start", "end"))
    depth = 0
    for event, node in walker:
        if event == "end":
            depth -= node.tag == f"{_TEXT}list"
            if node.tag == f"{_TEXT}list" and depth == 0:
                yield ""
            continue
        depth += node.tag == f"{_TEXT}list"
        if node.tag in _SKIPPED:
            walker.skip_subtree()
        elif node.tag == f"{_TABLE}table":
            walker.skip_subtree()
            yield from _table(node)
        elif node.tag == f"{_TEXT}h":
            walker.skip_subtree()
            yield from _heading(node)
        elif node.tag == f"{_TEXT}p" and (words := _words(node)):
            yield f"{'  ' * (depth - 1)}- {words}" if depth else words + "\n"


def _heading(node: Any) -> list[str]:
    level = node.get(f"{_TEXT}outline-level", "1")
    words = " ".join(_words(node).split())
    return ["", f"{'#' * max(1, min(6, int(level) if level.isdecimal() else 1))} {words}", ""] if words else []


def _slide(slide: Any) -> Iterator[str]:
    """The title first, then the rest, then the speaker notes."""
    frames = list(slide.iterchildren(f"{_DRAW}frame"))
    titles = [frame for frame in frames if frame.get(f"{_PRESENTATION}class") == "title"]
    for frame in titles:
        if words := " ".join(" ".join(_words(part) for part in frame.iter(f"{_TEXT}p", f"{_TEXT}h")).split()):
            yield f"## {words}\n"
    for shape in slide.iterchildren():
        if shape in titles or not isinstance(shape.tag, str):
            continue
        is_notes = shape.tag == f"{_PRESENTATION}notes"
        blocks = "\n".join(_blocks(shape)).strip()
        if blocks:
            yield f"Notes: {blocks}\n" if is_notes else f"{blocks}\n"


def _table(node: Any) -> list[str]:
    name = node.get(f"{_TABLE}name", "")
    is_sheet = node.getparent().tag == f"{_OFFICE}spreadsheet"
    table = markdown_table(_rows(node))
    if not table:
        return []
    return [f"## {name}" if is_sheet and name else "", "", table, ""]


def _rows(table: Any) -> Iterator[list[str]]:
    for row in table.iter(f"{_TABLE}table-row"):
        if next(row.iterancestors(f"{_TABLE}table")) is not table:
            continue
        cells: list[str] = []
        for cell in row.iterchildren(f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
            words = _cell(cell)
            cells += [words] * (_repeats(cell, "columns") if words or cell.getnext() is not None else 1)
        yield from [cells] * (_repeats(row, "rows") if any(cells) else 0)


def _repeats(node: Any, what: str) -> int:
    count = node.get(f"{_TABLE}number-{what}-repeated", "1")
    return min(int(count), _MOST_REPEATS) if count.isdecimal() else 1


def _cell(cell: Any) -> str:
    shown = " ".join(filter(None, (_words(part) for part in cell.iter(f"{_TEXT}p", f"{_TEXT}h"))))
    return shown or str(cell.get(f"{_OFFICE}value") or cell.get(f"{_OFFICE}string-value") or "")


def _words(node: Any) -> str:
    """The text of a paragraph with its spaces, tabs and line breaks; notes and comments inside are left out."""
    pieces: list[str] = [node.text or ""]
    walker = etree.iterwalk(node, events=("start", "end"))
    for event, part in walker:
        if part is node:
            continue
        if event == "end":
            pieces.append(part.tail or "")
            continue
        if part.tag in _SKIPPED or part.tag == f"{_TEXT}note-citation":
            walker.skip_subtree()
        elif part.tag == f"{_TEXT}s":
            pieces.append(" " * min(int(part.get(f"{_TEXT}c", "1") or 1), 100))
        elif part.tag == f"{_TEXT}tab":
            pieces.append("\t")
        elif part.tag == f"{_TEXT}line-break":
            pieces.append("\n")
        else:
            pieces.append(part.text or "")
    return "".join(pieces).strip()
