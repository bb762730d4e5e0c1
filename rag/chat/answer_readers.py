"""One reader for all who follow an answer in a process: each delta is read once, however many watch.

No reader has rights of its own. It reads as one of the viewers, whoever comes first after a hint; the others take over
what was read, each having shown by a look of its own, at its start and every few seconds, that the answer is theirs.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from rag.chat.chat_records import Delta, Phase
from rag.errors import NotFound

#: How long a viewer's right to an answer counts without a look of their own.
RIGHTS_S = 4.0

#: Opens a transaction as the viewer.
Open = Callable[[], AbstractContextManager[Connection[Any]]]


class Hints(Protocol):
    """What a reader needs of a feed."""

    def position(self) -> int: ...
    def heard_since(self, key: str, position: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Growth:
    """An answer at one moment, and what of its text a viewer lacks. ``position`` of the feed was taken before."""

    phase: Phase
    detail: str
    attempt: int
    deltas: Sequence[Delta]
    position: int


class AnswerReaders:
    """The answers that are followed in one process; what was read of one is forgotten with its last viewer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: dict[UUID, _Reader] = {}

    @contextmanager
    def join(self, hints: Hints, message_id: UUID, open_transaction: Open) -> Iterator[Viewer]:
        """Begin to follow an answer as somebody."""
        with self._lock:
            reader = self._readers.setdefault(message_id, _Reader(hints, message_id))
            reader.viewers += 1
        try:
            yield Viewer(reader, open_transaction)
        finally:
            with self._lock:
                reader.viewers -= 1
                if not reader.viewers:
                    del self._readers[message_id]

    @property
    def count(self) -> int:
        """How many answers are followed."""
        return len(self._readers)


class Viewer:
    """One who follows an answer. ``looked_at``: when the database last showed it to them (monotonic seconds)."""

    def __init__(self, reader: _Reader, open_transaction: Open) -> None:
        self._reader = reader
        self._open = open_transaction
        self._looked_at: float | None = None

    def look(self, attempt: int, seq: int, *, poll_s: float) -> Growth:
        """The answer now, with the text after ``seq`` of ``attempt``; :class:`NotFound` where it isn't the viewer's."""
        now = time.monotonic()
        is_due = self._looked_at is None or now - self._looked_at >= RIGHTS_S
        growth, looked = self._reader.look(self._open, attempt, seq, max_age_s=0 if is_due else poll_s / 2)
        if looked:
            self._looked_at = now
        return growth


class _Reader:
    def __init__(self, hints: Hints, message_id: UUID) -> None:
        self._hints = hints
        self._id = message_id
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._position = -1
        self._phase: Phase = "queued"
        self._detail = ""
        self._attempt = 0
        self._deltas: list[Delta] = []
        self.viewers = 0

    def look(self, open_transaction: Open, attempt: int, seq: int, *, max_age_s: float) -> tuple[Growth, bool]:
        """What is known, read anew after a hint or ``max_age_s``; and whether it was."""
        with self._lock:
            is_old = time.monotonic() - self._read_at >= max_age_s
            reads = is_old or self._hints.heard_since(f"message:{self._id}", self._position)
            if reads:
                self._read(open_transaction)
            known = seq if attempt == self._attempt else 0
            missing = self._deltas[bisect_right(self._deltas, known, key=lambda delta: delta.seq) :]
            return Growth(self._phase, self._detail, self._attempt, missing, self._position), reads

    def _read(self, open_transaction: Open) -> None:
        position, began = self._hints.position(), time.monotonic()
        last = self._deltas[-1].seq if self._deltas else 0
        with open_transaction() as conn:
            rows = _read_rows(conn, self._id, self._attempt, last)
        first = rows[0]
        if first["attempt"] != self._attempt:
            self._attempt, self._deltas = first["attempt"], []
        self._phase, self._detail = first["phase"], first["detail"]
        self._deltas += [Delta(self._attempt, row["seq"], row["text"]) for row in rows if row["seq"] is not None]
        self._position, self._read_at = position, began


def _read_rows(conn: Connection[Any], message_id: UUID, attempt: int, seq: int) -> list[dict[str, Any]]:
    """One statement, so that phase, attempt and text are of one moment."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """
            select m.phase, coalesce(m.phases -> -1 ->> 'detail', '') as detail, m.attempt, d.seq, d.text
            from public.messages m
            left join public.message_deltas d on d.message_id = m.id and d.attempt = m.attempt
                and d.seq > case when m.attempt = %(attempt)s then %(seq)s else 0 end
            where m.id = %(id)s order by d.seq
            """,
            {"id": message_id, "attempt": attempt, "seq": seq},
        ).fetchall()
    if not rows:
        raise NotFound("That answer doesn't exist any more, or it isn't yours.")
    return rows
