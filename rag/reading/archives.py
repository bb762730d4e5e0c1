"""How far a packed file (DOCX, XLSX, EPUB…) may unpack: checked by unpacking it to nowhere before anything reads it."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path

from rag.errors import ParseError, ParseLimit, PasswordNeeded

MAX_ENTRIES = 20_000
#: Ordinary XML packs 5:1 to 20:1; a bomb packs near deflate's own limit of 1032:1.
MAX_RATIO = 150
_RATIO_FROM_BYTES = 16 * 2**20
_STEP = 2**18
_ENCRYPTED_FLAG = 0x1


def check_archive(path: Path, unpacked_bytes: int) -> None:
    """Count what a ZIP file really unpacks to, whatever its directory claims.

    Raises :class:`ParseLimit` beyond ``unpacked_bytes`` or at a bomb's ratio, :class:`PasswordNeeded` for encrypted
    entries and :class:`ParseError` for a damaged archive. Memory stays below a megabyte.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_directory(entries)
            _count(archive, entries, path.stat().st_size, unpacked_bytes)
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        EOFError,
        ValueError,
        OSError,
    ) as error:
        raise ParseError(
            "The file is damaged: it can't be unpacked.",
            hint="Open it in its own program, save a new copy and upload that.",
        ) from error


def _check_directory(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise ParseLimit(f"The file packs {len(entries):,} parts; more than {MAX_ENTRIES:,} are not read.")
    if any(entry.flag_bits & _ENCRYPTED_FLAG for entry in entries):
        raise PasswordNeeded("The file is protected by a password: its parts are encrypted.")


def _count(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], packed: int, limit: int) -> None:
    total = 0
    for entry in entries:
        # The declared size may lie in either direction; reading past it must count what is really there.
        entry.file_size = max(entry.file_size, limit + 1)
        with archive.open(entry) as part:
            part._expected_crc = None  # type: ignore[attr-defined]
            while step := part.read(_STEP):
                total += len(step)
                _check_total(total, packed, limit)


def _check_total(total: int, packed: int, limit: int) -> None:
    if total > limit:
        raise ParseLimit(
            f"The file unpacks to more than {limit // 2**20:,} MB, which is the limit.",
            hint="If it is a real document, raise MAX_UNPACKED_MB; otherwise it may be a decompression bomb.",
        )
    if total > _RATIO_FROM_BYTES and total > packed * MAX_RATIO:
        raise ParseLimit(
            f"The file unpacks to more than {MAX_RATIO} times its size, as decompression bombs do; it is not read.",
            hint="Open it in its own program, save a new copy and upload that.",
        )
