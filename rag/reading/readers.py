"""One file, told apart by its content, read by the reader of its format. Runs in the child process only."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from rag.errors import NoText, ParseError, UnsupportedType
from rag.reading import media
from rag.reading.archives import check_archive
from rag.reading.parsed import ParsedText
from rag.reading.textfiles import clean, decode

_PACKED = ("docx", "pptx", "xlsx", "odt", "odp", "ods", "epub")
_FIRST_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_POOR_TITLE = re.compile(
    r"(untitled|unbenannt|sans titre).*|(document|dokument|presentation|slide|sheet|page) ?\d*|powerpoint presentation"
    r"|title|microsoft (word|powerpoint|excel) - .*|no title|ohne titel|none|null|unknown|click to (edit|add).*|\W+"
    r"|.*\.(docx?|pptx?|xlsx?|indd|tex|dvi|pdf)",
    re.IGNORECASE,
)
_LONGEST_TITLE = 200


def read_document(path: Path, name: str, unpacked_bytes: int) -> ParsedText:
    """Parse one file. ``name`` is the name it was uploaded under.

    Raises UnsupportedType, NoText, ParseLimit, PasswordNeeded or ParseError.
    """
    if path.stat().st_size == 0:
        raise NoText("No text found: the file is empty (0 bytes).", hint="Check the file and upload it again.")
    form = media.detect_format(path, name)
    if form.key in _PACKED:
        check_archive(path, unpacked_bytes)
    try:
        parsed = _READERS.get(form.key, _read_office)(path, form)
    except ParseError as error:
        extension = media.extension_of(name)
        if form.key == "txt" and extension not in media.BY_EXTENSION:
            what = f"Files ending in .{extension[:20]}" if extension else "Files of this type"
            raise UnsupportedType(f"{what} are not supported, and the content is not text.") from error
        raise
    if not any(char.isalnum() for char in parsed.text):
        if any(not char.isspace() for char in parsed.text) and form.text:
            return parsed
        raise NoText(f"No text found in this {form.label} file.", hint=_no_text_hint(form))
    return parsed


def _no_text_hint(form: media.Format) -> str:
    if form.family in ("writing", "slides", "pdf", "epub"):
        return "If it holds pictures of text, run OCR on it first and upload the result."
    return "Check that it is the right file."


def _finish(
    form: media.Format,
    text: str,
    *,
    title: str | None = None,
    starts: list[int] | None = None,
    metadata: dict[str, str] | None = None,
) -> ParsedText:
    known = {key: value[:2000] for key, value in (metadata or {}).items() if value}
    return ParsedText(
        text=text,
        page_starts=starts or [],
        title=_clean_title(title) or (None if form.family == "sheets" else _clean_title(_first_heading(text))),
        media_type=form.media_type,
        metadata=known,
    )


def _clean_title(title: str | None) -> str | None:
    words = " ".join(clean(title or "").split())
    if not words or _POOR_TITLE.fullmatch(words):
        return None
    return words if len(words) <= _LONGEST_TITLE else words[:_LONGEST_TITLE].rsplit(" ", 1)[0] + "…"


def _first_heading(text: str) -> str | None:
    found = _FIRST_HEADING.search(text[:20_000])
    return found[1] if found else None


def _read_pdf(path: Path, form: media.Format) -> ParsedText:
    from rag.reading.pdfs import pdf_text

    pdf = pdf_text(path)
    metadata = dict(pdf.metadata)
    if pdf.silent:
        metadata["pages_without_text"] = str(pdf.silent)
    return _finish(form, pdf.text, title=metadata.get("title"), starts=pdf.page_starts, metadata=metadata)


def _read_slides(path: Path, form: media.Format) -> ParsedText:
    from rag.reading.slides import slides_text

    text, starts, title = slides_text(path)
    return _finish(form, text, title=title, starts=starts)


def _read_office(path: Path, form: media.Format) -> ParsedText:
    from rag.reading.officefiles import office_text

    text, metadata = office_text(path, form.media_type)
    return _finish(form, text, title=metadata.get("title") or metadata.get("subject"), metadata=metadata)


def _read_opendocument(path: Path, form: media.Format) -> ParsedText:
    from rag.reading.opendocuments import opendocument_text

    text, starts, title = opendocument_text(path)
    return _finish(form, text, title=title, starts=starts)


def _read_book(path: Path, form: media.Format) -> ParsedText:
    from rag.reading.books import book_text

    text, title = book_text(path)
    return _finish(form, text, title=title)


def _read_email(path: Path, form: media.Format) -> ParsedText:
    from rag.reading.emails import email_text, looks_like_email

    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:200]:
        data = decode(data)[0].encode("utf-8")
    if not looks_like_email(data[:4000].decode("latin-1")):
        return _read_text(path, form)
    text, subject = email_text(data)
    return _finish(form, clean(text).strip(), title=subject)


def _read_html(path: Path, form: media.Format) -> ParsedText:
    from rag.reading.webpages import declared_charset, html_text, looks_like_html

    data = path.read_bytes()
    source, encoding = decode(data, declared_charset(data))
    if not looks_like_html(source):
        return _finish(form, clean(source), metadata={"encoding": encoding})
    text, title = html_text(source)
    text = clean(text)
    if title and title not in text and _clean_title(title):
        text = f"# {title}\n\n{text}".rstrip()
    return _finish(form, text, title=title, metadata={"encoding": encoding})


def _read_text(path: Path, form: media.Format) -> ParsedText:
    """Plain text and Markdown stay exactly as they are. A .txt that begins as an HTML document is read as one."""
    from rag.reading.webpages import looks_like_html

    source, encoding = decode(path.read_bytes())
    if form.key == "txt" and looks_like_html(source, strictly=True):
        return _read_html(path, media.BY_KEY["html"])
    text = clean(source)
    parsed = _finish(form, text, metadata={"encoding": encoding})
    return parsed if form.key == "md" else ParsedText(text, [], None, form.media_type, parsed.metadata)


def _read_data(path: Path, form: media.Format) -> ParsedText:
    from rag.reading import datafiles

    source, encoding = decode(path.read_bytes())
    convert: dict[str, Callable[[str], str]] = {
        "csv": datafiles.csv_text,
        "tsv": lambda text: datafiles.csv_text(text, delimiter="\t"),
        "json": datafiles.json_text,
        "jsonl": datafiles.jsonl_text,
    }
    return ParsedText(clean(convert[form.key](source)), [], None, form.media_type, {"encoding": encoding})


_READERS: dict[str, Callable[[Path, media.Format], ParsedText]] = {
    "pdf": _read_pdf,
    "pptx": _read_slides,
    "odt": _read_opendocument,
    "ods": _read_opendocument,
    "odp": _read_opendocument,
    "epub": _read_book,
    "eml": _read_email,
    "html": _read_html,
    "md": _read_text,
    "txt": _read_text,
    "csv": _read_data,
    "tsv": _read_data,
    "json": _read_data,
    "jsonl": _read_data,
}
