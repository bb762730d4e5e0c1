"""What an upload is, by content first and name second, and how to show its name."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from rag.errors import ParseError, PasswordNeeded, UnsupportedType
from rag.reading.formats import BY_EXTENSION as BY_EXTENSION
from rag.reading.formats import BY_KEY as BY_KEY
from rag.reading.formats import SUPPORTED as SUPPORTED
from rag.reading.formats import Format as Format
from rag.reading.formats import extension_of as extension_of
from rag.reading.formats import supported_extensions as supported_extensions
from rag.reading.signatures import HEAD_BYTES, UNKNOWN_OLE, Kind, sniff

_OLE_KEYS = ("doc", "ppt", "xls", "msg")
_PICTURES = ("picture", "icon")


def safe_name(raw: str, *, limit: int = 255) -> str:
    """A harmless display name for an upload: no folders, control or direction marks; at most ``limit`` characters.

    The extension is kept when the name is cut. Never empty.
    """
    shown = "".join(c for c in unicodedata.normalize("NFC", raw) if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    name = re.split(r"[/\\]", shown.rstrip("/\\ "))[-1].strip()
    name = re.sub(r"\s+", " ", name)
    if not name.strip(". "):
        return "unnamed"
    if len(name) <= limit:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem or len(extension) > 10:
        return name[:limit].rstrip()
    return f"{stem[: limit - len(extension) - 1].rstrip()}.{extension}"


def detect_format(path: Path, name: str) -> Format:
    """Tell the format of a file; the content decides, and a name that promises something else is an error.

    Names within one family (DOC and DOCX and RTF, XLS and XLSX…) are often mixed up and simply read by content.
    Raises :class:`ParseError` naming both types, or :class:`UnsupportedType`.
    """
    claimed = BY_EXTENSION.get(extension_of(name))
    kind = sniff(path, claimed)
    if kind is None:
        return _text_format(claimed, path, name)
    if kind.encrypted:
        raise PasswordNeeded("The file is protected by a password: it is an encrypted Office file.")
    if claimed and claimed.key in _OLE_KEYS and kind.other == UNKNOWN_OLE:
        raise ParseError(
            f"This {claimed.label} file is damaged or cut off.",
            hint="Open it in its own program, save a new copy and upload that.",
        )
    if claimed and not claimed.text and (kind.form is None or kind.form.family != claimed.family):
        raise _mismatch(claimed, kind)
    if kind.form is None:
        raise _unsupported(kind, name)
    if claimed and claimed.text and kind.form.family != claimed.family:
        raise _mismatch(claimed, kind)
    return kind.form


def _text_format(claimed: Format | None, path: Path, name: str) -> Format:
    if claimed is None:
        return BY_KEY["txt"]
    if claimed.text:
        return claimed
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if re.match(rb"\s*(<!doctype\s+html|<html)", head, re.IGNORECASE):
        raise _mismatch(claimed, Kind(BY_KEY["html"]))
    if head.strip() and _is_ascii_text(head):
        raise _mismatch(claimed, Kind(BY_KEY["txt"]))
    raise ParseError(
        f"The name ends in .{extension_of(name)}, but the content is not {_article(claimed.label)} file.",
        hint="Check that the file opens in its own program; it may be damaged or named wrongly.",
    )


def _is_ascii_text(head: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\t\r\n\f" for byte in head)


def _mismatch(claimed: Format, kind: Kind) -> ParseError:
    extension = claimed.extensions[0]
    message = f"The name says {claimed.label}, but the content is not {claimed.label}: it is {_with_article(kind)}."
    if kind.form:
        hint = f"Rename it to end in .{kind.form.extensions[0]} and upload it again."
    else:
        hint = f"Upload the real .{extension} file."
    return ParseError(message, hint=hint)


def _unsupported(kind: Kind, name: str) -> UnsupportedType:
    if any(word in kind.other for word in _PICTURES):
        return UnsupportedType(
            f"This is {kind.other}. Pictures have no text to read, and this type of file is not supported.",
            hint="Run text recognition (OCR) on it first and upload the result as PDF or text.",
        )
    if "archive" in kind.other:
        return UnsupportedType(
            f"This is {kind.other}. Archives are not supported.", hint="Unpack it and upload the files in it."
        )
    hint = "Save it as XLSX and upload that." if "XLSB" in kind.other else None
    return UnsupportedType(f"This is {kind.other}. This type of file is not supported.", hint=hint)


def _with_article(kind: Kind) -> str:
    return f"{_article(kind.form.label)} file" if kind.form else kind.other


def _article(label: str) -> str:
    return f"{'an' if label[0] in 'AEIOUX' else 'a'} {label}"
