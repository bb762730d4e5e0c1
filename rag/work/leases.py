"""Keeps claimed jobs claimed while work on them runs: one thread extends them all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rag.errors import CorpuscopeError, DatabaseError
from rag.store.database import Database
from rag.work import jobs
from rag.work.jobs import Job

log = logging.getLogger(__name__)


class LeaseLost(CorpuscopeError):
    """Another worker took this job over."""


class Lease:
    """The jobs of one piece of work; ``lost`` once another worker may have them."""

    def __init__(self, held: Sequence[Job], lease_s: float) -> None:
        self.jobs = tuple(held)
        self._lost = threading.Event()
        self._lease_s = lease_s
        self._extended_at = time.monotonic()

    @property
    def lost(self) -> bool:
        """True when the work should stop: its result is somebody else's by now."""
        return self._lost.is_set() or time.monotonic() - self._extended_at > self._lease_s

    def check(self) -> None:
        """Raise :class:`LeaseLost` if the lease is lost."""
        if self.lost:
            raise LeaseLost

    def note(self, ours: bool, at: float) -> None:
        """What the keeper learned from the queue, asked at ``at`` (monotonic seconds)."""
        if ours:
            self._extended_at = at
        else:
            self._lost.set()


class LeaseKeeper:
    """Extends the leases that are held three times as often as they run out, in a thread of its own."""

    def __init__(self, database: Database, lease_s: float = jobs.LEASE_S) -> None:
        self.lease_s = lease_s
        self._database = database
        self._held: set[Lease] = set()
        self._lock = threading.Lock()

    def hold(self, held: Sequence[Job]) -> Lease:
        """Extend the leases of ``held`` until :meth:`release`. What becomes of the messages is the holder's."""
        lease = Lease(held, self.lease_s)
        with self._lock:
            self._held.add(lease)
        return lease

    def release(self, lease: Lease) -> None:
        """Extend no longer."""
        with self._lock:
            self._held.discard(lease)

    @contextmanager
    def holding(self, held: Sequence[Job]) -> Iterator[Lease]:
        """:meth:`hold` for a block."""
        lease = self.hold(held)
        try:
            yield lease
        finally:
            self.release(lease)

    def run(self, stop: threading.Event) -> None:
        """Extend until ``stop``; a database that is away for a moment is asked again."""
        while not stop.wait(self.lease_s / 3):
            try:
                self.extend()
            except DatabaseError as error:
                log.warning("The leases could not be extended: %s", error)

    def extend(self) -> None:
        """Extend all leases once."""
        with self._lock:
            leases = list(self._held)
        if not leases:
            return
        at = time.monotonic()
        with self._database.as_worker(limit_s=self.lease_s / 3) as conn:
            ours = jobs.extend(conn, [job for lease in leases for job in lease.jobs], self.lease_s)
        for lease in leases:
            lease.note(all((job.queue, job.id) in ours for job in lease.jobs), at)
