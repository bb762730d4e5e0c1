"""Originals on their way into the bucket and back: a claim, bytes without a transaction, and a change of place at once.

A move may die at any moment. Before its end the document is where it was; what was sent is noted beforehand in
``corpuscope.loose_objects`` and removed by whoever comes next.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import UUID

from psycopg import Connection, Cursor
from psycopg.rows import class_row

from rag.corpus.bucket import Bucket
from rag.corpus.originals import read_pieces
from rag.corpus.uploads import write_pieces
from rag.errors import Cancelled, CorpuscopeError, DatabaseError, OriginalLost, StorageBusy, StorageError
from rag.store.database import Database

log = logging.getLogger(__name__)

LEASE_S = 60.0
#: After so long a move that failed is tried again; twice as long after each further failure, eight times.
RETRY_S = 60.0
ROUND_S = 5.0
_REMOVED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Move:
    """A document whose original this process may move; ``object`` is where it is, or will be, in the bucket."""

    document_id: UUID
    name: str
    size: int
    sha256: bytes
    object: str


@dataclass(frozen=True, slots=True)
class Overview:
    """How many originals, and bytes of them, are where; ``loose`` objects belong to no document."""

    in_database: int
    bytes_in_database: int
    in_bucket: int
    bytes_in_bucket: int
    moving: int
    failing: int
    loose: int


class Mover:
    """Moves originals one after the other; several may work side by side, in threads or on hosts."""

    def __init__(
        self, database: Database, bucket: Bucket, stop: threading.Event | None = None, lease_s: float = LEASE_S
    ) -> None:
        self._database = database
        self._bucket = bucket
        self._stop = stop or threading.Event()
        self._lease_s = lease_s

    def move_next(self, *, to_bucket: bool) -> Move | None:
        """Move the next original there is; None when there is none. A failure is noted with it, and raised."""
        move = self._claim(to_bucket=to_bucket)
        if move is None:
            return None
        sent = move.object if to_bucket else ""
        try:
            moved = self._into_bucket(move) if to_bucket else self._into_database(move)
        except CorpuscopeError as error:
            with suppress(DatabaseError):
                self._end(move, sent, error)
            raise
        except BaseException:
            with suppress(DatabaseError):
                self._end(move, sent, None)
            raise
        if not moved:
            log.info("The original of document %s was moved or deleted meanwhile.", move.document_id)
        return move

    def _claim(self, *, to_bucket: bool) -> Move | None:
        with self._database.as_worker() as conn, conn.cursor(row_factory=class_row(Move)) as cursor:
            return cursor.execute(
                "select * from corpuscope.claim_original(%s, %s, %s)",
                [not to_bucket, self._bucket.name, self._lease_s],
            ).fetchone()

    def _into_bucket(self, move: Move) -> bool:
        digest = _Digest(self._watched(move, _stored(self._database, move.document_id)))
        self._bucket.upload(move.object, move.size, digest)
        if digest.value != move.sha256:
            raise OriginalLost("The bytes in the database are not those that were uploaded; they stay as they are.")
        # What the bucket holds is read back before the pieces here go: nobody has another copy.
        self._compare(move)
        with self._database.as_worker() as conn:
            return _says_yes(conn.execute("select corpuscope.adopt_object(%s, %s)", [move.document_id, move.object]))

    def _into_database(self, move: Move) -> bool:
        with tempfile.TemporaryFile() as file:
            self._compare(move, file)
            with self._database.as_worker() as conn:
                left = conn.execute("select corpuscope.leave_bucket(%s, %s)", [move.document_id, move.object])
                if not _says_yes(left):
                    return False
                write_pieces(conn, move.document_id, file)
        return True

    def _compare(self, move: Move, copy: BinaryIO | None = None) -> None:
        """Read the file in the bucket, into ``copy`` if given; :class:`OriginalLost` if it isn't what was uploaded."""
        digest = hashlib.sha256()
        for piece in self._watched(move, self._bucket.read(move.object, move.size)):
            digest.update(piece)
            if copy is not None:
                copy.write(piece)
        if digest.digest() != move.sha256:
            raise OriginalLost("The file in the bucket is not what was uploaded.")

    def _watched(self, move: Move, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces; meanwhile the claim is kept, and given up when the process is to stop."""
        kept = time.monotonic()
        for piece in pieces:
            if self._stop.is_set():
                raise Cancelled
            if time.monotonic() - kept > self._lease_s / 4:
                self._keep(move)
                kept = time.monotonic()
            yield piece

    def _keep(self, move: Move) -> None:
        with self._database.as_worker() as conn:
            conn.execute("select corpuscope.keep_move(%s, %s, %s)", [move.document_id, move.object, self._lease_s])

    def _end(self, move: Move, sent: str, error: CorpuscopeError | None) -> None:
        """Give the document free; with an error for later, else at once."""
        words = ("", "") if error is None or isinstance(error, Cancelled) else (str(error), error.hint)
        with self._database.as_worker() as conn:
            conn.execute("select corpuscope.end_move(%s, %s, %s, %s, %s)", [move.document_id, sent, *words, RETRY_S])


class _Digest:
    """Pieces on their way, and afterwards what their SHA-256 is."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._digest.update(piece)
            yield piece

    @property
    def value(self) -> bytes:
        return self._digest.digest()


def _stored(database: Database, document_id: UUID) -> Iterator[bytes]:
    part = 0
    while True:
        with database.as_worker() as conn:
            pieces = read_pieces(conn, document_id, part)
        if not pieces:
            return
        for _, piece in pieces:
            yield piece
        part = pieces[-1][0] + 1


def _says_yes(told: Cursor[tuple[Any, ...]]) -> bool:
    row = told.fetchone()
    return bool(row and row[0])


def read_overview(conn: Connection[Any]) -> Overview:
    """Where the originals are; reads every document's row. ``conn`` runs as the worker."""
    with conn.cursor(row_factory=class_row(Overview)) as cursor:
        found = cursor.execute("select * from corpuscope.originals_overview()").fetchone()
    assert found is not None
    return found


def read_failing(conn: Connection[Any], most: int) -> list[tuple[str, str, str]]:
    """Name, reason and hint of originals that could not be moved so far. ``conn`` runs as the worker."""
    return conn.execute("select name, error, hint from corpuscope.failing_moves(%s)", [most]).fetchall()


def retry_failed(conn: Connection[Any]) -> None:
    """Let what could not be moved be tried again at once. ``conn`` runs as the worker."""
    conn.execute("select corpuscope.retry_moves()")


def remove_loose(database: Database, bucket: Bucket, *, lease_s: float = LEASE_S) -> int:
    """Remove what the bucket holds for no document; returns how many. What fails is claimed again after a while."""
    with database.as_worker() as conn:
        rows = conn.execute("select * from corpuscope.claim_loose_objects(%s, %s)", [_REMOVED_AT_ONCE, lease_s])
        objects = [object for (object,) in rows]
    if objects:
        bucket.remove(objects)
        with database.as_worker() as conn:
            conn.execute("select corpuscope.forget_loose_objects(%s)", [objects])
    return len(objects)


def keep_originals(
    database: Database, bucket: Bucket, stop: threading.Event, *, to_bucket: bool, round_s: float = ROUND_S
) -> None:
    """A worker's duty until ``stop``: remove what is loose in the bucket, and with ``to_bucket`` bring new originals.

    While the bucket or the database is away it only tries now and then; everything stays where it is.
    """
    mover = Mover(database, bucket, stop)
    is_ready, failures = not to_bucket, 0
    while not stop.wait(min(round_s * 2 ** min(failures, 9), RETRY_S)):
        try:
            if not is_ready:
                bucket.ensure()
                is_ready = True
            while not stop.is_set() and (
                (to_bucket and mover.move_next(to_bucket=True)) or remove_loose(database, bucket)
            ):
                log.debug("More originals may be waiting.")
            failures = 0
        except Cancelled:
            return
        except (StorageError, DatabaseError) as error:
            # What is refused once may not be the next time: only a bucket that is away is asked less and less often.
            failures = 0 if is_ready and not isinstance(error, (StorageBusy, DatabaseError)) else failures + 1
            log.warning("An original could not be moved or removed: %s %s", error, error.hint)
