"""Word, OpenDocument, RTF, Excel, EPUB, Outlook and old Office files through kreuzberg's document structure.

Its Markdown is not used: it escapes characters and marks emphasis inside sentences, which the parsed text must not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rag.errors import ParseError, PasswordNeeded
from rag.reading.tables import markdown_table
from rag.reading.textfiles import clean

_LINK = re.compile(r"!?\[([^\[\]]*)\]\((?:[^()\s]|\([^()]*\))*\)")
_FIELD = re.compile(
    r'\s?HYPERLINK\s+(?:\\[a-z]\s+)?"[^"]*"\s?|\s?\b(?:SEQ|REF|PAGEREF|PAGE)\b[^\n\\]*\\\*\s*[A-Z]+\b\s?'
)
_STRONG = re.compile(r"\*{2,}")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])")
_SKIPPED_LAYERS = ("header", "footer")


def office_text(path: Path, media_type: str) -> tuple[str, dict[str, str]]:
    """Return the text with Markdown headings, lists and tables, and the metadata that are plain values.

    Raises PasswordNeeded or ParseError. No OCR, no network, no cache, nothing unpacked to disk.
    """
    import kreuzberg

    # disable_ocr is missing from kreuzberg's type stubs.
    options: dict[str, Any] = {
        "output_format": "plain",
        "include_document_structure": True,
        "use_cache": False,
        "disable_ocr": True,
        "enable_quality_processing": False,
        "concurrency": kreuzberg.ConcurrencyConfig(max_threads=1),
    }
    try:
        result: Any = kreuzberg.extract_bytes_sync(path.read_bytes(), media_type, kreuzberg.ExtractionConfig(**options))
    except kreuzberg.KreuzbergError as error:
        raise _explain(error) from error
    nodes = (result.document or {}).get("nodes") or []
    body = [node for node in nodes if node.get("content_layer") not in _SKIPPED_LAYERS]
    # A page that has nothing but a header still has text.
    text = "\n".join(_render(nodes, body or nodes)) if nodes else result.content
    return re.sub(r"\n{3,}", "\n\n", clean(text)).strip(), _metadata(result.metadata)


def _explain(error: Exception) -> ParseError:
    words = str(error).lower()
    if "password" in words or "encrypt" in words:
        return PasswordNeeded("The file is protected by a password.")
    return ParseError(
        "The file is damaged: its content can't be read.",
        hint="Open it in its own program, save a new copy and upload that.",
    )


def _metadata(found: dict[str, Any]) -> dict[str, str]:
    wanted = ("title", "subject", "description", "language", "created_at", "modified_at")
    values = {key: clean(str(found[key])) for key in wanted if isinstance(found.get(key), str) and found[key].strip()}
    authors = found.get("authors")
    if isinstance(authors, list) and authors:
        values["author"] = clean(", ".join(str(author) for author in authors))
    return values


def _render(nodes: list[dict[str, Any]], shown: list[dict[str, Any]]) -> Iterator[str]:
    """One line a time, empty lines between blocks; the nodes come in reading order, children after parents."""
    was_item = False
    for node in shown:
        lines = list(_block(node["content"], nodes, node))
        is_item = node["content"].get("node_type") == "list_item"
        if was_item and not is_item and lines:
            yield ""
        yield from lines
        was_item = is_item if lines else was_item


def _block(content: dict[str, Any], nodes: list[dict[str, Any]], node: dict[str, Any]) -> list[str]:
    kind = content.get("node_type")
    if kind == "table":
        table = markdown_table(_rows(content.get("grid") or {}))
        return [table, ""] if table else []
    if kind == "metadata_block":
        return [*(f"{key}: {value}" for key, value in content.get("entries") or []), ""]
    if kind == "slide":
        return [f"## {content['title']}", ""] if content.get("title") else []
    words = _FIELD.sub("", content.get("text") or content.get("definition") or "").strip()
    if kind in ("group", "list", "quote", "image") or not words:
        return []
    if kind == "footnote" and any(words == str(other["content"].get("text")) for other in nodes if other is not node):
        return []
    if kind in ("heading", "title"):
        level = max(1, min(6, int(content.get("level") or 1)))
        return ["#" * level + " " + " ".join(words.split()), ""]
    if kind == "list_item":
        return [f"{_bullet(nodes, node)} {words}"]
    if kind == "code":
        return ["```", words, "```", ""]
    return [words, ""]


def _bullet(nodes: list[dict[str, Any]], node: dict[str, Any]) -> str:
    parent = node.get("parent")
    if not isinstance(parent, int) or not nodes[parent]["content"].get("ordered"):
        return "-"
    siblings = nodes[parent].get("children") or []
    me = next((place for place, child in enumerate(siblings, 1) if nodes[child] is node), 1)
    return f"{me}."


def _plain(cell: str) -> str:
    """A cell without the Markdown links and emphasis that kreuzberg writes into cells, but not elsewhere."""
    return _EMPHASIS.sub(r"\1", _STRONG.sub("", _LINK.sub(r"\1", cell)))


def _rows(grid: dict[str, Any]) -> Iterator[list[str]]:
    row: list[str] = []
    at = 0
    for cell in grid.get("cells") or []:
        if cell["row"] != at and row:
            yield row
            row = []
        at = cell["row"]
        row += [""] * (cell["col"] - len(row))
        row.append(_plain(cell.get("content") or ""))
    if row:
        yield row
