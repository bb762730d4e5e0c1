"""Where hints come from: that something has changed, never what. Rows are the truth, and polling finds them anyway."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from rag.store.database import Database

CHANNEL = "corpuscope_feed"

#: Instead of a key: hints may have been lost, so that everything may have changed.
EVERYTHING = ""
#: How soon a source notices that nobody listens any more.
LOOK_S = 1.0


class HintSource(Protocol):
    """A way by which hints reach a process, one connection for all of it: LISTEN and NOTIFY, or a broadcast."""

    def follow(self, note: Callable[[str], object], closed: threading.Event) -> None:
        """Hand on keys such as ``message:<id>`` as they come, and :data:`EVERYTHING` after each (new) connection.

        Returns soon after ``closed`` was set, and never raises for a lost connection.
        """


class PostgresHints:
    """What the database announces with NOTIFY. Nothing comes through a transaction pooler, which can't listen."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def follow(self, note: Callable[[str], object], closed: threading.Event) -> None:
        """See :class:`HintSource`."""
        notifications = self._database.listen(CHANNEL, timeout_s=LOOK_S, on_connect=lambda: note(EVERYTHING))
        for notification in notifications:
            if closed.is_set():
                return
            if notification is not None:
                note(notification.payload)


class NoHints:
    """None ever: all that waits looks again at its own pace."""

    def follow(self, note: Callable[[str], object], closed: threading.Event) -> None:
        """See :class:`HintSource`."""
        closed.wait()
