"""PowerPoint slides in the order they are shown, with titles, tables and speaker notes; a page is a slide.

Own code because kreuzberg 4.10 orders slides by file name, leaves ``**`` in bold text and drops the notes.
"""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from rag.errors import ParseError
from rag.reading.tables import markdown_table
from rag.reading.textfiles import clean

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_TITLES = ("title", "ctrTitle")
_FURNITURE = ("dt", "ftr", "sldNum", "hdr")


def slides_text(path: Path) -> tuple[str, list[int], str | None]:
    """Return the text, the offset of each slide and the title in the file's properties. Raises ParseError."""
    try:
        with zipfile.ZipFile(path) as archive:
            slides = ["\n\n".join(_slide(archive, name)) for name in _slide_names(archive)]
            title = _document_title(archive)
    except (zipfile.BadZipFile, KeyError, etree.XMLSyntaxError, zlib.error, NotImplementedError, EOFError) as error:
        raise ParseError(
            "The presentation is damaged: its slides can't be read.",
            hint="Open it in its own program, save a new copy and upload that.",
        ) from error
    starts, length = [], 0
    for slide in slides:
        starts.append(length)
        length += len(slide) + 2
    return "\n\n".join(slides), starts, title


def _xml(archive: zipfile.ZipFile, name: str) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    return etree.fromstring(archive.read(name), parser)


def _related(archive: zipfile.ZipFile, name: str) -> dict[str, tuple[str, str]]:
    """Relationship id → (last part of its type, part name) of a part; links to outside are left out."""
    folder, base = posixpath.split(name)
    rels = f"{folder}/_rels/{base}.rels"
    if rels not in archive.namelist():
        return {}
    return {
        rel.get("Id", ""): (
            rel.get("Type", "").rsplit("/", 1)[-1],
            posixpath.normpath(posixpath.join(folder, rel.get("Target", ""))).lstrip("/"),
        )
        for rel in _xml(archive, rels)
        if isinstance(rel.tag, str) and rel.get("TargetMode") != "External"
    }


def _slide_names(archive: zipfile.ZipFile) -> list[str]:
    main = next(
        (target for kind, target in _related(archive, "").values() if kind == "officeDocument"), "ppt/presentation.xml"
    )
    related = _related(archive, main)
    ids = [node.get(_R + "id", "") for node in _xml(archive, main).iter(_P + "sldId")]
    names = [related[slide][1] for slide in ids if slide in related]
    known = set(archive.namelist())
    return [name for name in names if name in known]


def _slide(archive: zipfile.ZipFile, name: str) -> list[str]:
    related = _related(archive, name)
    blocks = list(_shapes(_xml(archive, name)))
    known = set(archive.namelist())
    for kind, target in related.values():
        if kind == "diagramData" and target in known:
            blocks += _diagram(_xml(archive, target))
        elif kind == "notesSlide" and target in known:
            notes = [block for block in _shapes(_xml(archive, target)) if not block.startswith("#")]
            blocks += ["Notes: " + "\n\n".join(notes)] if notes else []
    return [clean(block) for block in blocks]


def _shapes(root: Any) -> Iterator[str]:
    """Texts and tables of a slide in document order; the title comes first."""
    found = list(root.iter(_P + "sp", _P + "graphicFrame"))
    found.sort(key=lambda shape: _placeholder(shape) not in _TITLES)
    for shape in found:
        kind = _placeholder(shape)
        if kind in _FURNITURE:
            continue
        if shape.tag == _P + "graphicFrame":
            rows = [[_words(cell) for cell in row.iter(_A + "tc")] for row in shape.iter(_A + "tr")]
            if table := markdown_table(rows):
                yield table
        elif kind in _TITLES:
            if words := " ".join(_words(shape).split()):
                yield f"## {words}"
        elif words := "\n".join(_paragraphs(shape)):
            yield words


def _placeholder(shape: Any) -> str:
    mark = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
    return mark.get("type", "body") if mark is not None else ""


def _paragraphs(shape: Any) -> Iterator[str]:
    texts = [(int(part.find(_A + "pPr").get("lvl", 0)) if part.find(_A + "pPr") is not None else 0, _run_text(part))
             for part in shape.iter(_A + "p")]  # fmt: skip
    texts = [(level, words) for level, words in texts if words]
    bulleted = _placeholder(shape) in ("body", "obj") and len(texts) > 1
    for level, words in texts:
        yield f"{'  ' * level}- {words}" if bulleted else words


def _words(node: Any) -> str:
    return " ".join(filter(None, (_run_text(part) for part in node.iter(_A + "p"))))


def _run_text(paragraph: Any) -> str:
    pieces = [(piece.text or "") if piece.tag == _A + "t" else "\n" for piece in paragraph.iter(_A + "t", _A + "br")]
    return "".join(pieces).strip()


def _diagram(root: Any) -> list[str]:
    """The boxes of a SmartArt drawing, one a line."""
    lines = [_words(point) for point in root.iter(_DGM + "pt")]
    return ["\n".join(f"- {line}" for line in lines if line)] if any(lines) else []


def _document_title(archive: zipfile.ZipFile) -> str | None:
    if "docProps/core.xml" not in archive.namelist():
        return None
    found = _xml(archive, "docProps/core.xml").find("{http://purl.org/dc/elements/1.1/}title")
    return found.text if found is not None else None
