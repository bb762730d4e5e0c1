"""The readable text of HTML as Markdown-like text: headings, lists and data tables kept; scripts and markup gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree, html

from rag.errors import ParseError, ParseLimit
from rag.reading.tables import markdown_table

_DROPPED = frozenset((
    "script", "style", "noscript", "template", "head", "svg", "iframe", "object", "embed", "applet", "audio",
    "video", "canvas", "map", "select", "datalist", "button", "math-renderer", "frameset",
))  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "dir", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "li",
    "main", "menu", "nav", "ol", "p", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
    "ul", "caption", "option", "title",
))  # fmt: skip
_LONG_CELL = 400
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w:.-]+)""", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([\w:.-]+)""")
_LOOKS_LIKE_HTML = re.compile(
    r"<(?:!doctype\s+html|html|head|body|p|div|h[1-6]|br|table|span|ul|ol|li|a|b|i|article|section|title|meta|pre)"
    r"[\s>/]",
    re.IGNORECASE,
)
_STARTS_AS_HTML = re.compile(
    r"\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.{0,2000}?-->\s*)?<(?:!doctype\s+html|html)[\s>]", re.I | re.S
)
_TOO_DEEP = ("ERR_RESOURCE_LIMIT", "ERR_INTERNAL_ERROR")
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]{0,500}(?:\[[^\]]{0,100000}\]\s*)?>", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\n\f]+")


@dataclass
class _Page:
    blocks: list[str] = field(default_factory=list)
    line: list[str] = field(default_factory=list)
    prefix: str = ""
    tight: bool = False


def declared_charset(data: bytes) -> str | None:
    """The encoding that the page itself names in its first bytes."""
    found = _XML_ENCODING.search(data[:1024]) or _META_CHARSET.search(data[:4096])
    return found[1].decode("ascii", "replace") if found else None


def looks_like_html(text: str, *, strictly: bool = False) -> bool:
    """True when the text has HTML tags; ``strictly``: when it begins as an HTML document."""
    if strictly:
        return _STARTS_AS_HTML.match(text[:5000]) is not None
    return _LOOKS_LIKE_HTML.search(text[:50_000]) is not None


def html_text(page: str | bytes) -> tuple[str, str | None]:
    """Return the page's text and its title. Nothing is fetched; entities of a DTD are not expanded."""
    root = _parse(page)
    if root is None:
        return "", None
    title = _title(root)
    text = "\n".join(_render(root)).strip()
    text = re.sub(r"\n{3,}", "\n\n", text)
    return text, title


def _parse(page: str | bytes) -> Any:
    source = page.decode("utf-8", "replace") if isinstance(page, bytes) else page
    data = _DOCTYPE.sub("", source.replace("\0", ""), count=1).encode("utf-8", "replace")
    if not data.strip():
        return None
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True, no_network=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ParseError("The web page is too damaged to read.") from error
    if any(entry.type_name in _TOO_DEEP for entry in parser.error_log):
        raise ParseLimit("The web page is nested too deeply to read safely.")
    return root


def _title(root: Any) -> str | None:
    found = root.find(".//title")
    return _SPACES.sub(" ", "".join(found.itertext())).strip() or None if found is not None else None


def _render(root: Any) -> Iterator[str]:
    """Walk without recursion (pages nest thousands deep) and give one block a time, with empty lines between."""
    page = _Page()
    walker = etree.iterwalk(root, events=("start", "end"))
    quiet = 0
    pre = 0
    for event, node in walker:
        tag = node.tag if isinstance(node.tag, str) else ""
        if event == "start":
            whole = tag in _DROPPED or _is_data_table(tag, node)
            if not quiet:
                _open(page, tag, node, pre)
            if whole:
                walker.skip_subtree()
                continue
            pre += tag in ("pre", "textarea")
            if not quiet:
                _text(page, node.text, pre)
        else:
            if tag not in _DROPPED:
                pre -= tag in ("pre", "textarea") and not _is_data_table(tag, node)
                _close(page, tag, pre)
            _text(page, node.tail if node is not root else None, pre)
        yield from page.blocks
        page.blocks.clear()
    _flush(page)
    yield from page.blocks


def _open(page: _Page, tag: str, node: Any, pre: int) -> None:
    if tag in _HEADINGS:
        _flush(page)
        page.prefix = "#" * _HEADINGS[tag] + " "
    elif tag == "li":
        _flush(page)
        page.prefix = "- "
        page.tight = True
    elif tag == "br":
        page.line.append("\n")
    elif tag == "pre":
        _flush(page)
        page.prefix = "\0pre"
    elif _is_data_table(tag, node):
        _flush(page)
        page.blocks += [_table(node), ""]
    elif tag in _BLOCKS:
        _flush(page)


def _close(page: _Page, tag: str, pre: int) -> None:
    if tag in _HEADINGS or tag in _BLOCKS or tag == "pre":
        _flush(page)
        if tag in ("ul", "ol"):
            page.blocks.append("")


def _text(page: _Page, text: str | None, pre: int) -> None:
    if text:
        page.line.append(text if pre else _SPACES.sub(" ", text))


def _flush(page: _Page) -> None:
    """End the block in progress. The lines of a heading become one, so that it stays a heading."""
    joined = "".join(page.line)
    page.line.clear()
    prefix, page.prefix = page.prefix, ""
    tight, page.tight = page.tight, False
    if prefix == "\0pre":
        if joined.strip():
            page.blocks += ["```", joined.strip("\r\n"), "```", ""]
        return
    lines = [_SPACES.sub(" ", line).strip() for line in joined.split("\n")]
    joined = " ".join(filter(None, lines)) if prefix else re.sub(r"\n{2,}", "\n\n", "\n".join(lines))
    text = joined.strip()
    if text:
        page.blocks += [prefix + text] if tight else [prefix + text, ""]
    elif prefix == "- ":
        page.prefix, page.tight = prefix, tight


def _is_data_table(tag: str, node: Any) -> bool:
    """A table of data, not of layout: no table, heading or list inside and no long cell."""
    if tag != "table":
        return False
    if next(node.iterdescendants("table", "h1", "h2", "h3", "ul", "ol", "pre"), None) is not None:
        return False
    return all(len("".join(cell.itertext())) <= _LONG_CELL for cell in node.iterdescendants("td", "th"))


def _table(node: Any) -> str:
    for dropped in list(node.iterdescendants(*_DROPPED)):
        dropped.text = None
        for child in list(dropped):
            dropped.remove(child)
    caption = next(node.iterdescendants("caption"), None)
    rows = [_row(row) for row in node.iterdescendants("tr")]
    table = markdown_table(rows)
    words = _SPACES.sub(" ", "".join(caption.itertext())).strip() if caption is not None else ""
    return f"{words}\n\n{table}" if words else table


def _row(row: Any) -> list[str]:
    cells: list[str] = []
    for cell in row.iterchildren("td", "th"):
        cells.append(" ".join(" ".join(cell.itertext()).split()))
        span = cell.get("colspan", "1")
        cells += [""] * (min(int(span), 50) - 1 if span.isdecimal() and int(span) else 0)
    return cells
