"""EPUB books: the chapters in the order of the spine.

Own code because kreuzberg 4.10 loses chapters whose file names are percent-encoded.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lxml import etree

from rag.errors import ParseError
from rag.reading.textfiles import clean, decode
from rag.reading.webpages import declared_charset, html_text

_OPF = "{http://www.idpf.org/2007/opf}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"
_SELF_CLOSED = re.compile(r"<(script|style|title|iframe|textarea|a|div|span|p)\b([^<>]*)/>", re.IGNORECASE)


def book_text(path: Path) -> tuple[str, str | None]:
    """Return all chapters and the book's title. Raises ParseError for a damaged or copy-protected book."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "META-INF/rights.xml" in names or _is_protected(archive, names):
                raise ParseError("This book is copy-protected (DRM) and can't be read.", hint="Upload an open copy.")
            package = _package_name(archive)
            root = _xml(archive.read(package))
            chapters = [_chapter(archive, name) for name in _spine(root, posixpath.dirname(package)) if name in names]
            title = root.findtext(f".//{_DC}title")
    except (zipfile.BadZipFile, KeyError, etree.XMLSyntaxError, zlib.error, NotImplementedError, EOFError) as error:
        raise ParseError(
            "The book is damaged: its chapters can't be read.", hint="Get a new copy and upload that."
        ) from error
    return "\n\n".join(filter(None, chapters)), title


def _xml(data: bytes) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    root = etree.fromstring(data, parser)
    if root is None:
        raise KeyError("empty package file")
    return root


def _is_protected(archive: zipfile.ZipFile, names: set[str]) -> bool:
    """Obfuscated fonts are common and harmless; encrypted chapters are not."""
    if "META-INF/encryption.xml" not in names:
        return False
    return re.search(rb'URI="[^"]+\.x?html?"', archive.read("META-INF/encryption.xml")) is not None


def _package_name(archive: zipfile.ZipFile) -> str:
    container = _xml(archive.read("META-INF/container.xml"))
    for rootfile in container.iter(f"{_CONTAINER}rootfile", "rootfile"):
        return str(rootfile.get("full-path", ""))
    return next(name for name in archive.namelist() if name.endswith(".opf"))


def _spine(root: Any, folder: str) -> list[str]:
    items = {
        item.get("id", ""): posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        for item in root.iter(f"{_OPF}item", "item")
        if "html" in item.get("media-type", "html")
    }
    order = [item.get("idref", "") for item in root.iter(f"{_OPF}itemref", "itemref")]
    return [items[chapter] for chapter in order if chapter in items]


def _chapter(archive: zipfile.ZipFile, name: str) -> str:
    data = archive.read(name)
    page = decode(data, declared_charset(data))[0] if data.strip() else ""
    # XHTML may close an empty <script/>; an HTML parser would take the rest of the page for the script.
    return clean(html_text(_SELF_CLOSED.sub(r"<\1\2></\1>", page))[0])
