"""Threads that work on one queue, as many as there is work for: for jobs that mostly wait for others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rag.work.jobloop import JobLoop
from rag.work.workplace import Stopping

log = logging.getLogger(__name__)

#: After a bug a thread goes on, but not at once.
_PAUSE_S = 5.0
#: How long the threads get to end what they are doing.
_LAST_WORDS_S = 10.0


class Crew:
    """Between ``least`` and ``most`` threads of ``loop``, so that one is free to take the next job at once.

    A thread is added when the last free one takes a job, and goes when there is nothing to do and another one is free:
    an idle crew asks the database no more often than ``least`` threads do.
    """

    def __init__(self, loop: JobLoop, least: int, most: int) -> None:
        self._loop = loop
        self._least = least
        self._most = most
        self._lock = threading.Lock()
        self._free = 0
        self._threads: set[threading.Thread] = set()

    def run(self) -> None:
        """Work until the worker stops."""
        with self._lock:
            for _ in range(self._least):
                self._add()
        stop = self._loop.workplace.stop
        stop.wait()
        for thread in list(self._threads):
            thread.join(_LAST_WORDS_S)

    @property
    def size(self) -> int:
        """Threads now."""
        return len(self._threads)

    def _add(self) -> None:
        """Another thread; the caller holds the lock."""
        thread = threading.Thread(target=self._work, name=f"{self._loop.queue}-{len(self._threads) + 1}", daemon=True)
        self._threads.add(thread)
        self._free += 1
        thread.start()

    def _work(self) -> None:
        workplace, queue = self._loop.workplace, self._loop.queue
        while not workplace.stop.is_set():
            seen = workplace.wakeup.count(queue)
            try:
                if self._loop.step(self._taken):
                    continue
                if self._may_go():
                    return
                self._loop.wait(seen)
            except Stopping:
                return
            except Exception:
                log.exception("A thread of queue %s failed; it goes on in %.0f s.", queue, _PAUSE_S)
                with self._taken():  # who pauses is not free
                    workplace.stop.wait(_PAUSE_S)

    @contextmanager
    def _taken(self) -> Iterator[None]:
        """While this thread has a job; where it was the last free one, another comes."""
        with self._lock:
            self._free -= 1
            if not self._free and len(self._threads) < self._most:
                self._add()
        try:
            yield
        finally:
            with self._lock:
                self._free += 1

    def _may_go(self) -> bool:
        with self._lock:
            if self._free < 2 or len(self._threads) <= self._least:
                return False
            self._free -= 1
            self._threads.discard(threading.current_thread())
            return True
