"""What the threads of one worker share, and how they sit out a database that is away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from rag.errors import DatabaseError, DatabaseUnavailable
from rag.store.database import Database
from rag.vectors.modelpool import ModelPool
from rag.work.heartbeat import Heartbeat
from rag.work.jobs import Backoff
from rag.work.leases import LeaseKeeper
from rag.work.wakeup import WakeUp

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


class Stopping(Exception):
    """The worker stops; whatever is under way is given back or left to its lease."""


@dataclass(frozen=True)
class Workplace:
    """One worker's shared things."""

    database: Database
    models: ModelPool
    keeper: LeaseKeeper
    heartbeat: Heartbeat
    wakeup: WakeUp
    stop: threading.Event = field(default_factory=threading.Event)
    backoff: Backoff = field(default_factory=Backoff)

    def persist(self, step: Callable[[], T]) -> T:
        """Run a step that may be repeated, again and again while the database is away. Raises :class:`Stopping`."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return step()
            except DatabaseUnavailable as error:
                log.warning("%s", error)
                self.restart_database()
            if self.stop.wait(pause):
                raise Stopping
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def restart_database(self) -> None:
        """Start our embedded server again if it died; anybody else's comes back by itself."""
        if self.database.server is None or self.stop.is_set():
            return
        try:
            self.database.server.ensure_running()
        except DatabaseError as error:
            log.warning("The database could not be started again: %s", error)
