"""The bytes of an upload on their way into the database: measured, hashed, written in pieces, never whole in memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, BinaryIO
from uuid import UUID

import psycopg

from rag.errors import NotAllowed, ParseLimit

PIECE_BYTES = 2**20


@contextmanager
def rereadable(stream: BinaryIO, name: str, max_bytes: int) -> Iterator[BinaryIO]:
    """The stream itself when it can be read twice, else a copy on disk."""
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        for piece in _pieces(stream):
            if copy.tell() + len(piece) > max_bytes:
                raise _too_large(name, max_bytes)
            copy.write(piece)
        yield copy


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(PIECE_BYTES):
        yield piece


def measure(source: BinaryIO, name: str, max_bytes: int) -> tuple[int, bytes]:
    """Size and SHA-256; :class:`ParseLimit` above ``max_bytes``."""
    size, digest = 0, hashlib.sha256()
    source.seek(0)
    for piece in _pieces(source):
        size += len(piece)
        if size > max_bytes:
            raise _too_large(name, max_bytes)
        digest.update(piece)
    return size, digest.digest()


def _too_large(name: str, max_bytes: int) -> ParseLimit:
    return ParseLimit(f"“{name}” is larger than the {max_bytes / 2**20:,.0f} MB that one file may have.")


def free_name(name: str, taken: Callable[[str], bool]) -> str:
    """The first of "report (2).pdf", "report (3).pdf"… that is not taken."""
    path = PurePath(name)
    number = 2
    while True:
        tail = f" ({number}){path.suffix}"
        candidate = path.stem[: 255 - len(tail)] + tail
        if not taken(candidate):
            return candidate
        number += 1


def insert_document(conn: psycopg.Connection[Any], row: dict[str, Any]) -> UUID | None:
    """Insert the row; None when the collection has these bytes already."""
    try:
        made = conn.execute(
            """
            insert into public.documents (collection_id, name, title, size, sha256, replaces)
            values (%(collection_id)s, %(name)s, %(title)s, %(size)s, %(sha256)s, %(replaces)s)
            on conflict (collection_id, sha256) do nothing returning id
            """,
            row,
        ).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed("You may read this collection but not add to it.", hint="Ask an owner for editing.") from error
    return made[0] if made else None


def write_pieces(conn: psycopg.Connection[Any], document_id: UUID, source: BinaryIO) -> None:
    """Store the bytes in pieces of 1 MB."""
    source.seek(0)
    for part, piece in enumerate(_pieces(source)):
        conn.execute(
            "insert into public.document_files (document_id, part, data) values (%s, %s, %b)",
            [document_id, part, piece],
        )
