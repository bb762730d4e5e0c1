"""Types by content and name, and harmless display names."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from rag.errors import ParseError, PasswordNeeded, UnsupportedType
from rag.reading.media import BY_EXTENSION, SUPPORTED, detect_format, safe_name, supported_extensions

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("../../../../tmp/pwned.txt", "pwned.txt"),
        ("C:\\Users\\me\\a.docx", "a.docx"),
        ("a\x00b\n\u202egpj.exe", "abgpj.exe"),
        ("  many   spaces .txt ", "many spaces .txt"),
        ("", "unnamed"),
        ("..", "unnamed"),
        ("/", "unnamed"),
        ("\x00\u200b", "unnamed"),
        ("folder/", "folder"),
        ("e\u0301.txt", "é.txt"),
    ],
)
def test_a_name_is_made_harmless(raw: str, shown: str) -> None:
    assert safe_name(raw) == shown


def test_a_long_name_keeps_its_extension() -> None:
    name = safe_name("測" * 300 + ".txt")

    assert len(name) == 255
    assert name.endswith("測.txt")


def test_a_name_of_255_characters_stays() -> None:
    assert len(safe_name("測" * 251 + ".txt")) == 255


@pytest.mark.parametrize("raw", ["\ud800.txt", "x" * 400, "." * 400, "a." + "b" * 400, "\n\n", "​"])
def test_no_name_is_empty_long_or_unprintable(raw: str) -> None:
    name = safe_name(raw)

    assert 1 <= len(name) <= 255
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in name)


def test_extensions_are_unique_and_lower_case() -> None:
    extensions = [extension for form in SUPPORTED for extension in form.extensions]

    assert len(extensions) == len(set(extensions)) == len(BY_EXTENSION)
    assert supported_extensions() == sorted(extension.lower() for extension in extensions)


@pytest.mark.parametrize(
    ("content", "name", "key"),
    [
        (b"%PDF-1.7\n...", "a.pdf", "pdf"),
        (b"\n\n  %PDF-1.4 late header", "a.PDF", "pdf"),
        (b"%PDF-1.7\n...", "without extension", "pdf"),
        (b"{\\rtf1 x}", "a.rtf", "rtf"),
        (b"{\\rtf1 x}", "old.doc", "rtf"),
        (b"plain", "a.txt", "txt"),
        (b"plain", "a.unknown", "txt"),
        (b"a,b\n1,2", "A.CSV", "csv"),
        (OLE + "WordDocument".encode("utf-16-le") + b"\0\0", "a.doc", "doc"),
        (OLE + "Workbook".encode("utf-16-le") + b"\0\0", "a.xlsx", "xls"),
        (OLE + "__properties_version1.0".encode("utf-16-le") + b"\0\0", "a.msg", "msg"),
    ],
)
def test_the_content_tells_the_type(tmp_path: Path, content: bytes, name: str, key: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)

    assert detect_format(path, name).key == key


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (PNG, "a.pdf", "says PDF.*PNG picture"),
        (b"%PDF-1.7", "a.docx", "says Word.*PDF"),
        (b"%PDF-1.7", "a.txt", "says Plain text.*PDF"),
        (b"just words", "a.pdf", "says PDF.*Plain text"),
        (b"<html><body>", "a.xls", "says Excel.*HTML"),
        (b"\x00\x01\x02\x03", "a.pdf", "not a PDF file"),
        (OLE, "a.doc", "damaged or cut off"),
        (b"PK\x03\x04 broken", "a.docx", "damaged"),
    ],
)
def test_a_wrong_name_is_said_with_both_types(tmp_path: Path, content: bytes, name: str, words: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)

    with pytest.raises(ParseError, match=words):
        detect_format(path, name)


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [(PNG, "a.png", "picture"), (b"\x1f\x8b\x08", "a.gz", "gzip archive"), (b"ID3\x03", "song", "audio")],
)
def test_what_has_no_text_is_unsupported(tmp_path: Path, content: bytes, name: str, words: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)

    with pytest.raises(UnsupportedType, match=words):
        detect_format(path, name)


def test_a_container_with_parts_of_several_programs_goes_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(OLE + b"".join(f"{name}\0".encode("utf-16-le") for name in ("WordDocument", "WORKBOOK")))

    assert detect_format(path, "a.xls").key == "xls"
    assert detect_format(path, "a.doc").key == "doc"


def test_an_encrypted_old_word_file_asks_for_its_password(tmp_path: Path) -> None:
    header = b"\xec\xa5".ljust(10, b"\0") + (0x100).to_bytes(2, "little")
    path = tmp_path / "upload"
    path.write_bytes(OLE[:8].ljust(512, b"\0") + header + "WordDocument\0".encode("utf-16-le"))

    with pytest.raises(PasswordNeeded):
        detect_format(path, "a.doc")


def test_an_encrypted_office_file_asks_for_its_password(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(OLE + "EncryptedPackage".encode("utf-16-le") + b"\0\0")

    with pytest.raises(PasswordNeeded, match="password"):
        detect_format(path, "plan.docx")
