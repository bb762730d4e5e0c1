"""Waking the threads of a worker: at once by NOTIFY, and now and then by the clock."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rag.store.database import Database

CHANNEL = "corpuscope_jobs"

#: Seconds after which a thread looks at its queue without having been told to.
POLL_S = 2.0
_SHORTEST_S = 0.02


class WakeUp:
    """One bell a queue. What rings between two waits is not lost."""

    def __init__(self, queues: Sequence[str]) -> None:
        self._bells = {queue: threading.Condition() for queue in queues}
        self._rung = dict.fromkeys(queues, 0)

    def count(self, queue: str) -> int:
        """How often the bell rang so far: remember it before looking at the queue."""
        return self._rung[queue]

    def wait(self, queue: str, seen: int, due_s: float = POLL_S) -> None:
        """Return once the bell has rung since ``seen``, or when something is due, or when it is time to look."""
        bell = self._bells[queue]
        with bell:
            bell.wait_for(lambda: self._rung[queue] != seen, min(max(due_s, _SHORTEST_S), POLL_S))

    def ring(self, queue: str | None = None) -> None:
        """Wake those who wait for a queue, or for any."""
        for name, bell in self._bells.items():
            if queue in (None, name):
                with bell:
                    self._rung[name] += 1
                    bell.notify_all()

    def listen(self, database: Database, stop: threading.Event) -> None:
        """Ring whenever the database says so, until ``stop``."""
        for notice in database.listen(CHANNEL):
            if stop.is_set():
                return
            if notice is not None:
                self.ring(notice.payload if notice.payload in self._bells else None)
