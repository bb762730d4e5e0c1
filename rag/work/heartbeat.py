"""What a worker says of itself in a table, so that everyone can see that work goes on, or what it waits for."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from rag.errors import DatabaseError
from rag.store.database import Database

log = logging.getLogger(__name__)

BEAT_S = 3.0
#: A worker whose last beat is older than this is taken for dead, and its row removed.
DEAD_AFTER_S = 60.0


class Heartbeat:
    """The state of one worker. Threads say what they do; one of them, in :meth:`run`, writes it down."""

    def __init__(self, database: Database) -> None:
        self.id = uuid4()
        self._database = database
        self._changed = threading.Event()
        self._lock = threading.Lock()
        self._busy = 0
        self._loading = ""
        self._waiting: tuple[float, str] = (0.0, "")
        self._stopping = False
        #: Whether the last beat was heard: a worker that stops doesn't wait for a database that is away.
        self._heard = True

    @contextmanager
    def busy(self) -> Iterator[None]:
        """One piece of work is being done in this block."""
        with self._changing():
            self._busy += 1
        try:
            yield
        finally:
            with self._changing():
                self._busy -= 1

    def load(self, detail: str) -> None:
        """The model is being loaded; '' once it is there."""
        with self._changing():
            self._loading = detail

    def wait(self, seconds: float, reason: str) -> None:
        """Work waits so long for something outside; 0 when it goes on."""
        with self._changing():
            self._waiting = (time.time() + seconds if seconds else 0.0, reason)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            before = self.state()
            yield
            if self.state() != before:
                self._changed.set()

    def state(self) -> tuple[str, str, float | None]:
        """State, detail, and the time (seconds of the epoch) until which it waits."""
        until, reason = self._waiting
        if self._stopping:
            return "stopping", "", None
        if until > time.time():
            return "waiting", reason, until
        if self._loading:
            return "loading model", self._loading, None
        return ("busy" if self._busy else "idle"), "", None

    def run(self, stop: threading.Event) -> None:
        """Write the state every few seconds and at every change, until ``stop``; then say goodbye."""
        while not stop.is_set():
            try:
                self.beat()
                self._heard = True
            except DatabaseError as error:
                self._heard = False
                log.warning("The heartbeat could not be written: %s", error)
                stop.wait(1)
            self._changed.wait(BEAT_S)
            self._changed.clear()
            stop.wait(0.1)  # several changes at once are one

    def wake(self) -> None:
        """Make :meth:`run` look at once."""
        self._changed.set()

    def beat(self) -> None:
        """Write the state now."""
        state, detail, until = self.state()
        with self._database.as_worker(limit_s=BEAT_S) as conn:
            conn.execute(
                """
                insert into corpuscope.workers (id, host, pid, state, detail, waiting_until)
                values (%s, %s, %s, %s, %s, to_timestamp(%s))
                on conflict (id) do update set state = excluded.state, detail = excluded.detail,
                    waiting_until = excluded.waiting_until, heartbeat_at = now()
                """,
                [self.id, socket.gethostname(), os.getpid(), state, detail, until],
            )

    def announce_stop(self) -> None:
        """Say that the worker is stopping; a database that is gone is not told."""
        self._stopping = True
        if self._heard:
            with suppress(DatabaseError):
                self.beat()

    def leave(self) -> None:
        """Remove the row."""
        if not self._heard:
            return
        with suppress(DatabaseError), self._database.as_worker(limit_s=BEAT_S) as conn:
            conn.execute("delete from corpuscope.workers where id = %s", [self.id])
