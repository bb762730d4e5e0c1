"""Live hints: one listening connection a process tells every viewer when to look at the rows again."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from rag.chat.answer_readers import AnswerReaders, Open
from rag.chat.chat_records import FINAL_PHASES, AnswerEvent, Phase
from rag.chat.hints import EVERYTHING, HintSource, PostgresHints
from rag.store.database import Database

#: Viewers look at the rows at least this often, hint or not.
POLL_S = 1.0
_REMEMBERED_KEYS = 4096

Wake = Callable[[], object]


class Feed:
    """The hints of one database, such as ``message:<id>`` and ``chat:<id>``. Made once in a process, shared by threads.

    Hints may be lost; whoever waits looks again after ``timeout`` anyway.
    """

    def __init__(self, database: Database, source: HintSource | None = None) -> None:
        self._source = source or PostgresHints(database)
        self._lock = threading.Lock()
        self._position = 0
        self._heard: OrderedDict[str, int] = OrderedDict()
        #: All keys count as heard of here: after a new connection, and those that are no longer remembered.
        self._floor = 0
        self._waiting: dict[str, set[Wake]] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        #: Tells positions of this feed from those of another process.
        self.name = secrets.token_hex(4)
        #: The answers that are followed in this process.
        self.answers = AnswerReaders()

    def position(self) -> int:
        """Now. Taken before reading rows and given to :meth:`wait`, no hint in between is missed."""
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._listen, daemon=True, name="feed")
                self._thread.start()
            return self._position

    def heard_since(self, key: str, position: int) -> bool:
        """Whether there was a hint on ``key``, or some may have been lost, later than ``position``."""
        with self._lock:
            return max(self._heard.get(key, 0), self._floor) > position

    def wait(self, key: str, timeout: float = POLL_S, *, after: int | None = None) -> bool:
        """Wait for a hint on ``key`` later than ``after`` (default: now); False when ``timeout`` seconds passed."""
        since = self.position() if after is None else after
        woken = threading.Event()
        if timeout <= 0:
            return self.heard_since(key, since) or self._closed.is_set()
        with self.subscribed([key], woken.set):
            return self.heard_since(key, since) or woken.wait(timeout) or self._closed.is_set()

    @contextmanager
    def subscribed(self, keys: Iterable[str], wake: Wake) -> Iterator[None]:
        """Have ``wake`` called for each hint on one of ``keys``, by the listening thread: it must be quick."""
        chosen = list(keys)
        self.position()
        with self._lock:
            for key in chosen:
                self._waiting.setdefault(key, set()).add(wake)
        try:
            yield
        finally:
            with self._lock:
                for key in chosen:
                    self._waiting[key].discard(wake)
                    if not self._waiting[key]:
                        del self._waiting[key]

    def close(self) -> None:
        """Stop listening; waiters go on at once."""
        with self._lock:
            self._closed.set()
            wakes = self._all_wakes()
        for wake in wakes:
            wake()

    def _listen(self) -> None:
        self._source.follow(self._note, self._closed)

    def _note(self, key: str) -> None:
        with self._lock:
            self._position += 1
            if key == EVERYTHING:
                self._floor = self._position
                wakes = self._all_wakes()
            else:
                self._heard[key] = self._position
                self._heard.move_to_end(key)
                wakes = set(self._waiting.get(key, ()))
            while len(self._heard) > _REMEMBERED_KEYS:
                self._floor = max(self._floor, self._heard.popitem(last=False)[1])
        for wake in wakes:
            wake()

    def _all_wakes(self) -> set[Wake]:
        return set().union(*self._waiting.values())


def tail_answer(
    open_transaction: Open, feed: Feed, message_id: UUID, start: tuple[int, int] = (0, 0), *, poll_s: float = POLL_S
) -> Iterator[AnswerEvent]:
    """Follow an answer from ``start`` (attempt, seq of the last event seen) until its phase is final.

    Text comes in order, without gap or repeat. A ``waiting`` event every ``poll_s`` lets the caller look around.
    All who follow one answer in a process share what one of them reads; see :mod:`rag.chat.answer_readers`.
    :class:`NotFound` when the answer is not the viewer's, or was deleted meanwhile.
    """
    attempt, seq = start
    shown: tuple[Phase, str] | None = None
    with feed.answers.join(feed, message_id, open_transaction) as viewer:
        while True:
            now = viewer.look(attempt, seq, poll_s=poll_s)
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
            if not feed.wait(f"message:{message_id}", poll_s, after=now.position):
                yield AnswerEvent("waiting", now.phase, now.detail, attempt, seq)
