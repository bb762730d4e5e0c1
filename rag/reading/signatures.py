"""What a file really is, by its first bytes and the names packed in it."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from rag.errors import ParseError
from rag.reading.formats import BY_KEY, ODF, SUPPORTED, Format

#: How much of a file is looked at to tell its type.
HEAD_BYTES = 8192
_OLE_SCAN_BYTES = 4_000_000

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
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
UNKNOWN_OLE = "an old Office file of an unknown kind"
_OLE_STREAMS: tuple[tuple[str, str], ...] = (
    ("EncryptedPackage", "encrypted"),
    ("EncryptedSummary", "encrypted"),
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


def sniff(path: Path, claimed: Format | None = None) -> Kind | None:
    """What the content is, by its first bytes; None when it is no known binary type, so perhaps text.

    ``claimed`` is what the name says; it decides only between the parts of one OLE container.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(_OLE):
        return _sniff_ole(path, claimed)
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
    if "xl/workbook.bin" in names:
        return Kind(other="a binary Excel workbook (XLSB)")
    if "META-INF/container.xml" in names:
        return Kind(BY_KEY["epub"])
    for folder, key in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx")):
        if any(name.startswith(folder) for name in names):
            return Kind(BY_KEY[key])
    if mimetype.startswith(ODF):
        return Kind(other="an OpenDocument file of another kind")
    return Kind(other="a ZIP archive")


def _sniff_ole(path: Path, claimed: Format | None) -> Kind:
    """The directory of an OLE container holds the stream names in UTF-16; finding them needs no full parser.

    A container can hold others, so that the streams of several formats are there: then the name decides.
    """
    with path.open("rb") as file:
        head = file.read(_OLE_SCAN_BYTES)
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _OLE_SCAN_BYTES))
        data = (head + file.read(_OLE_SCAN_BYTES)).lower()
    found = [key for stream, key in _OLE_STREAMS if stream.lower().encode("utf-16-le") + b"\0\0" in data]
    if "encrypted" in found or _is_encrypted_word(head):
        return Kind(other="an encrypted Office file", encrypted=True)
    if not found:
        return Kind(other=UNKNOWN_OLE)
    return Kind(BY_KEY[claimed.key if claimed and claimed.key in found else found[0]])


def _is_encrypted_word(head: bytes) -> bool:
    """Word 97's header usually follows the container's; bit 8 of its flags says encrypted ([MS-DOC] 2.5.2)."""
    return head[512:514] == b"\xec\xa5" and int.from_bytes(head[522:524], "little") & 0x100 != 0
