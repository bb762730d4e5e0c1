"""Files of labelled questions, told apart and read: CSV, JSONL, or corpus, queries and qrels (BEIR, TREC).

Pure: nothing here knows the database.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from rag.errors import InvalidInput, ParseError
from rag.evaluation.flat_files import FlatReader
from rag.evaluation.layout_files import LayoutReader, is_queries
from rag.evaluation.set_rows import ReadSet
from rag.reading.textfiles import decode

#: The most that the files may come to once they are unpacked.
MAX_BYTES = 300 * 2**20
_MOST_ENTRIES = 1000
_FLAT = (".csv", ".tsv", ".jsonl", ".ndjson")


def read_files(files: Sequence[tuple[str, bytes]]) -> ReadSet:
    """Read one file or several that belong together; a ZIP stands for what is in it.

    Raises :class:`InvalidInput` when the files are none of the layouts or too large.
    """
    texts = {name: _decode(name, data) for name, data in _unpack(files)}
    if any(map(is_queries, texts)):
        return LayoutReader().read(texts)
    flat = {name: text for name, text in texts.items() if _suffix(name) in _FLAT}
    if not flat:
        raise InvalidInput(
            "None of these files holds questions.",
            hint="Choose a CSV or JSONL file with the columns question, document, phrase and grade, "
            "or queries.jsonl with qrels.tsv.",
        )
    return FlatReader().read(flat)


def _unpack(files: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    left = MAX_BYTES
    for name, data in files:
        members = _read_zip(name, data, left) if _suffix(name) == ".zip" else [(name, data)]
        for member, content in members:
            left -= len(content)
            if left < 0:
                raise _too_large()
            yield member, content


def _read_zip(name: str, data: bytes, left: int) -> list[tuple[str, bytes]]:
    found = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and not _is_litter(entry.filename)]
            if len(entries) > _MOST_ENTRIES:
                raise InvalidInput(f"{name} packs {len(entries):,} files; a set of questions has a handful.")
            for entry in entries:
                with archive.open(entry) as member:
                    content = member.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise _too_large()
                found.append((entry.filename, content))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise InvalidInput(f"{name} can't be unpacked: it is damaged or protected by a password.") from error
    return found


def _is_litter(name: str) -> bool:
    return name.startswith("__MACOSX") or PurePosixPath(name).name.startswith(".")


def _too_large() -> InvalidInput:
    return InvalidInput(f"These files come to more than {MAX_BYTES // 2**20} MB.", hint="Import them in parts.")


def _decode(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            return decode(data)[0]
        except ParseError as error:
            raise InvalidInput(f"{name} is not text.", hint=error.hint) from error


def _suffix(name: str) -> str:
    return PurePosixPath(name.lower()).suffix
