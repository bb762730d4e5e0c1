"""The original bytes of documents, wherever they are: in pieces, in constant memory, and no transaction stays open."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rag.errors import NotFound, OriginalLost, StorageError
from rag.settings import Settings

#: Pieces of 1 MB that one look at the database brings.
_AT_ONCE = 4

#: Begins a short transaction as whoever reads.
Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]


class FileStore(Protocol):
    """What keeps originals outside of the database, as :class:`rag.corpus.bucket.Bucket` does."""

    def read(self, object: str, size: int, start: int = 0) -> Iterator[bytes]:
        """The bytes from ``start`` on; :class:`OriginalLost` if they aren't there."""
        ...


@dataclass(frozen=True, slots=True)
class Original:
    """The file of a document: ``object`` is where it is in Storage, None while it is in the database."""

    id: UUID
    collection_id: UUID
    name: str
    size: int
    sha256: bytes
    object: str | None


def open_store(settings: Settings) -> FileStore | None:
    """The bucket that the settings name; None where they have no key to one."""
    if not (settings.supabase_url and settings.supabase_secret_key.get_secret_value()):
        return None
    from rag.corpus.bucket import open_bucket  # which takes a while to import

    return open_bucket(settings)


def find_original(conn: psycopg.Connection[Any], document_id: UUID) -> Original:
    """Where a document's file is; :class:`NotFound` when it doesn't exist or isn't shared with the person."""
    with conn.cursor(row_factory=class_row(Original)) as cursor:
        found = cursor.execute(
            "select id, collection_id, name, size, sha256, original_object as object"
            " from public.documents where id = %s",
            [document_id],
        ).fetchone()
    if found is None:
        raise NotFound("That document doesn't exist, or it isn't shared with you.")
    return found


def read_original(connect: Connect, document_id: UUID, store: FileStore | None = None) -> Iterator[bytes]:
    """The file's bytes in pieces of at most 1 MB, also while it is being moved from one place to the other.

    ``connect`` begins a short transaction as whoever reads, several times where the file is in the database; none is
    open while a piece is handed out or Storage is asked. Raises :class:`OriginalLost` at the end where the bytes from
    Storage are not those that were uploaded.
    """
    digest, done, part, skip, missed = hashlib.sha256(), 0, 0, 0, False
    while True:
        with connect() as conn:
            original = find_original(conn, document_id)
            pieces = read_pieces(conn, document_id, part) if original.object is None else []
        for number, piece in pieces:
            part = number + 1
            if rest := piece[skip:]:
                digest.update(rest)
                done += len(rest)
                yield rest
            skip = max(0, skip - len(piece))
        if original.object is None:
            if done >= original.size or (not pieces and missed):
                return
            # No pieces and no object: it was moved between two looks, or there never was more. Look once again.
            missed = not pieces
            continue
        try:
            for piece in _require(store).read(original.object, original.size, done):
                digest.update(piece)
                done += len(piece)
                yield piece
        except OriginalLost:
            if missed or not _has_moved(connect, original):
                raise
            missed, part, skip = True, 0, done
            continue
        if digest.digest() != original.sha256:
            raise OriginalLost
        return


def read_pieces(
    conn: psycopg.Connection[Any], document_id: UUID, first: int, most: int = _AT_ONCE
) -> list[tuple[int, bytes]]:
    """Some pieces of a file that is in the database with their numbers, from ``first`` on; empty after the last."""
    with conn.cursor(binary=True) as cursor:
        return cursor.execute(
            "select part, data from public.document_files where document_id = %s and part >= %s order by part limit %s",
            [document_id, first, most],
        ).fetchall()


def _require(store: FileStore | None) -> FileStore:
    if store is None:
        raise StorageError(
            "This original is in the project's Storage, to which this process has no key.",
            hint="Set SUPABASE_URL and SUPABASE_SECRET_KEY.",
        )
    return store


def _has_moved(connect: Connect, original: Original) -> bool:
    with connect() as conn:
        return find_original(conn, original.id).object != original.object
