"""Live hints: one listening connection a process tells every viewer when to look at the rows again."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from rag.chat.chat_records import FINAL_PHASES, AnswerEvent, Delta, Phase
from rag.errors import NotFound
from rag.store.database import Database

CHANNEL = "corpuscope_feed"

#: Viewers look at the rows at least this often, hint or not.
POLL_S = 1.0
_REMEMBERED_KEYS = 4096

_log = logging.getLogger(__name__)

#: Opens a transaction as the viewer.
Open = Callable[[], AbstractContextManager[Connection[Any]]]


class Feed:
    """The hints of one database, such as ``message:<id>`` and ``chat:<id>``. Made once in a process, shared by threads.

    Hints may be lost; whoever waits looks again after ``timeout`` anyway.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = threading.Condition()
        self._position = 0
        self._heard: OrderedDict[str, int] = OrderedDict()
        self._closed = False
        self._thread: threading.Thread | None = None

    def position(self) -> int:
        """Now. Taken before reading rows and given to :meth:`wait`, no hint in between is missed."""
        with self._changed:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._listen, daemon=True, name="feed")
                self._thread.start()
            return self._position

    def wait(self, key: str, timeout: float = POLL_S, *, after: int | None = None) -> bool:
        """Wait for a hint on ``key`` later than ``after`` (default: now); False when ``timeout`` seconds passed."""
        since = self.position() if after is None else after
        with self._changed:
            return self._changed.wait_for(lambda: self._heard.get(key, 0) > since or self._closed, timeout)

    def close(self) -> None:
        """Stop listening; waiters go on at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _listen(self) -> None:
        for notification in self._database.listen(CHANNEL, timeout_s=POLL_S):
            if self._closed:
                return
            if notification is not None:
                self._note(notification.payload)

    def _note(self, key: str) -> None:
        with self._changed:
            self._position += 1
            self._heard[key] = self._position
            self._heard.move_to_end(key)
            while len(self._heard) > _REMEMBERED_KEYS:
                self._heard.popitem(last=False)
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class _Progress:
    phase: Phase
    detail: str
    attempt: int
    deltas: list[Delta]


def tail_answer(
    open_transaction: Open, feed: Feed, message_id: UUID, start: tuple[int, int] = (0, 0), *, poll_s: float = POLL_S
) -> Iterator[AnswerEvent]:
    """Follow an answer from ``start`` (attempt, seq of the last event seen) until its phase is final.

    Text comes in order, without gap or repeat. A ``waiting`` event every ``poll_s`` lets the caller look around.
    :class:`NotFound` when the answer is not the viewer's, or was deleted meanwhile.
    """
    attempt, seq = start
    shown: tuple[Phase, str] | None = None
    while True:
        position = feed.position()
        with open_transaction() as conn:
            now = _read_progress(conn, message_id, attempt, seq)
        if now.attempt != attempt:
            if seq:
                yield AnswerEvent("restart", now.phase, now.detail, now.attempt, 0)
            attempt, seq = now.attempt, 0
        final = now.phase in FINAL_PHASES
        if not final and (now.phase, now.detail) != shown:
            shown = (now.phase, now.detail)
            yield AnswerEvent("phase", now.phase, now.detail, attempt, seq)
        for delta in now.deltas:
            seq = delta.seq
            yield AnswerEvent("text", now.phase, now.detail, attempt, seq, delta.text)
        if final:
            yield AnswerEvent("done", now.phase, now.detail, attempt, seq)
            return
        if not feed.wait(f"message:{message_id}", poll_s, after=position):
            yield AnswerEvent("waiting", now.phase, now.detail, attempt, seq)


def _read_progress(conn: Connection[Any], message_id: UUID, attempt: int, seq: int) -> _Progress:
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
    first = rows[0]
    deltas = [Delta(first["attempt"], row["seq"], row["text"]) for row in rows if row["seq"] is not None]
    return _Progress(first["phase"], first["detail"], first["attempt"], deltas)
