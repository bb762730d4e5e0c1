"""What a file is, told by its content first and its name second, and the formats that can be read."""

from __future__ import annotations

import lzma
import re
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from rag.errors import ParseError, PasswordNeeded, UnsupportedType

#: How much of a file is looked at to tell its type.
HEAD_BYTES = 8192
_OLE_SCAN_BYTES = 4_000_000


@dataclass(frozen=True)
class Format:
    """A readable format: ``key`` is our short name, ``family`` groups formats that are often named as one another."""

    key: str
    label: str
    media_type: str
    extensions: tuple[str, ...]
    family: str
    text: bool = False


_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."

SUPPORTED: tuple[Format, ...] = (
    Format("pdf", "PDF", "application/pdf", ("pdf",), "pdf"),
    Format("docx", "Word (DOCX)", _OOXML + "wordprocessingml.document", ("docx", "docm", "dotx", "dotm"), "writing"),
    Format("doc", "Word 97–2003 (DOC)", "application/msword", ("doc", "dot"), "writing"),
    Format("odt", "OpenDocument text (ODT)", _ODF + "text", ("odt", "ott"), "writing"),
    Format("rtf", "Rich Text (RTF)", "application/rtf", ("rtf",), "writing"),
    Format(
        "pptx", "PowerPoint (PPTX)", _OOXML + "presentationml.presentation", ("pptx", "pptm", "ppsx", "potx"), "slides"
    ),
    Format("ppt", "PowerPoint 97–2003 (PPT)", "application/vnd.ms-powerpoint", ("ppt", "pps"), "slides"),
    Format("odp", "OpenDocument presentation (ODP)", _ODF + "presentation", ("odp",), "slides"),
    Format("xlsx", "Excel (XLSX)", _OOXML + "spreadsheetml.sheet", ("xlsx", "xlsm", "xltx"), "sheets"),
    Format("xls", "Excel 97–2003 (XLS)", "application/vnd.ms-excel", ("xls",), "sheets"),
    Format("ods", "OpenDocument spreadsheet (ODS)", _ODF + "spreadsheet", ("ods",), "sheets"),
    Format("epub", "EPUB book", "application/epub+zip", ("epub",), "epub"),
    Format("msg", "Outlook e-mail (MSG)", "application/vnd.ms-outlook", ("msg",), "email"),
    Format("eml", "E-mail (EML)", "message/rfc822", ("eml", "mht", "mhtml"), "email", text=True),
    Format("html", "Web page (HTML)", "text/html", ("html", "htm", "xhtml"), "text", text=True),
    Format("md", "Markdown", "text/markdown", ("md", "markdown", "mdx"), "text", text=True),
    Format("txt", "Plain text", "text/plain", ("txt", "text", "log", "rst", "srt", "vtt"), "text", text=True),
    Format("csv", "Comma-separated table (CSV)", "text/csv", ("csv",), "text", text=True),
    Format("tsv", "Tab-separated table (TSV)", "text/tab-separated-values", ("tsv", "tab"), "text", text=True),
    Format("json", "JSON", "application/json", ("json",), "text", text=True),
    Format("jsonl", "JSON lines", "application/jsonl", ("jsonl", "ndjson"), "text", text=True),
)
BY_KEY = {form.key: form for form in SUPPORTED}
BY_EXTENSION = {extension: form for form in SUPPORTED for extension in form.extensions}

#: First bytes of what can't be read, and how to call it.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF87a", "a GIF picture"),
    (b"GIF89a", "a GIF picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"8BPS", "a Photoshop picture"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"(\xb5/\xfd", "a Zstandard archive"),
    (b"\x7fELF", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"ID3", "an audio file"),
    (b"OggS", "an audio file"),
    (b"fLaC", "an audio file"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet table"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"%!PS", "a PostScript file"),
    (b"!BDN", "an Outlook mailbox"),
)
_UNPACK_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, ValueError, OSError, EOFError,
)  # fmt: skip
_PICTURES = ("picture", "icon")
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_KEYS = ("doc", "ppt", "xls", "msg")
_UNKNOWN_OLE = "an old Office file of an unknown kind"
_OLE_STREAMS: tuple[tuple[str, str], ...] = (
    ("EncryptedPackage", "encrypted"),
    ("WordDocument", "doc"),
    ("PowerPoint Document", "ppt"),
    ("Workbook", "xls"),
    ("__properties_version1.0", "msg"),
    ("__nameid_version1.0", "msg"),
    ("Book", "xls"),
)


@dataclass(frozen=True)
class Kind:
    """What the content is: a readable format, something else with a name in words, or None for text."""

    form: Format | None = None
    other: str = ""
    encrypted: bool = False

    @property
    def words(self) -> str:
        return self.form.label if self.form else self.other


def supported_extensions() -> list[str]:
    """Every extension that can be uploaded, without the dot, for an upload widget."""
    return sorted(BY_EXTENSION)


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


def extension_of(name: str) -> str:
    """The lower-case extension without the dot, "" when there is none."""
    return Path(name).suffix[1:].lower()


def detect_format(path: Path, name: str) -> Format:
    """Tell the format of a file; the content decides, and a name that promises something else is an error.

    Names within one family (DOC and DOCX and RTF, XLS and XLSX…) are often mixed up and simply read by content.
    Raises :class:`ParseError` naming both types, or :class:`UnsupportedType`.
    """
    claimed = BY_EXTENSION.get(extension_of(name))
    kind = sniff(path)
    if kind is None:
        return _text_format(claimed, path, name)
    if kind.encrypted:
        raise PasswordNeeded("The file is protected by a password: it is an encrypted Office file.")
    if claimed and claimed.key in _OLE_KEYS and kind.other == _UNKNOWN_OLE:
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
    return UnsupportedType(f"This is {kind.other}. This type of file is not supported.")


def _with_article(kind: Kind) -> str:
    return f"{_article(kind.form.label)} file" if kind.form else kind.other


def _article(label: str) -> str:
    return f"{'an' if label[0] in 'AEIOUX' else 'a'} {label}"


def sniff(path: Path) -> Kind | None:
    """What the content is, by its first bytes; None for anything that is not a known binary type (so perhaps text)."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(_OLE):
        return _sniff_ole(path)
    if head.startswith((_ZIP, b"PK\x05\x06", b"PK00PK")):
        return _sniff_zip(path)
    if b"%PDF-" in head[:1024]:
        return Kind(BY_KEY["pdf"])
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{\\rtf"):
        return Kind(BY_KEY["rtf"])
    return _sniff_signature(head)


def _sniff_signature(head: bytes) -> Kind | None:
    for signature, words in _SIGNATURES:
        if head.startswith(signature):
            return Kind(other=words)
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE", b"AVI "):
        return Kind(other={b"WEBP": "a WebP picture", b"WAVE": "an audio file"}.get(head[8:12], "a video"))
    if head[4:8] == b"ftyp":
        return Kind(other="a HEIC picture" if head[8:11] in (b"hei", b"mif", b"avi") else "a video")
    if head[:2] == b"BM" and len(head) > 14 and head[6:10] == b"\0\0\0\0":
        return Kind(other="a BMP picture")
    if head[:2] == b"MZ" and b"\0" in head[:64]:
        return Kind(other="a program")
    if head[257:262] == b"ustar":
        return Kind(other="a tar archive")
    return None


def _sniff_zip(path: Path) -> Kind:
    """Office files and books are ZIP archives; the names inside tell which. A broken directory is told apart here."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            mimetype = archive.open("mimetype").read(128).decode("ascii", "replace") if "mimetype" in names else ""
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError) as error:
        raise ParseError(
            "The file is damaged: it is packed like an Office file, but can't be unpacked.",
            hint="Open it in its own program, save a new copy and upload that.",
        ) from error
    except Exception as error:
        raise ParseError("The file is damaged: it can't be unpacked.") from error
    return _zip_kind(names, mimetype)


def _zip_kind(names: set[str], mimetype: str) -> Kind:
    for form in SUPPORTED:
        if mimetype.strip() and form.media_type == mimetype.strip().removesuffix("-template"):
            return Kind(form)
    if "META-INF/container.xml" in names:
        return Kind(BY_KEY["epub"])
    for folder, key in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx")):
        if any(name.startswith(folder) for name in names):
            return Kind(BY_KEY[key])
    if mimetype.startswith(_ODF):
        return Kind(other="an OpenDocument file of another kind")
    return Kind(other="a ZIP archive")


def _sniff_ole(path: Path) -> Kind:
    """The directory of an OLE container holds the stream names in UTF-16; finding them needs no full parser."""
    with path.open("rb") as file:
        head = file.read(_OLE_SCAN_BYTES)
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _OLE_SCAN_BYTES))
        data = head + file.read(_OLE_SCAN_BYTES)
    for stream, key in _OLE_STREAMS:
        if stream.encode("utf-16-le") + b"\0\0" in data:
            return Kind(other="an encrypted Office file", encrypted=True) if key == "encrypted" else Kind(BY_KEY[key])
    return Kind(other=_UNKNOWN_OLE)
