"""What workers say over Supabase Realtime: the database decides what is due, and how much of it a second."""

from __future__ import annotations

import logging
import threading
from typing import Any

from psycopg import Connection

from rag.errors import DatabaseError
from rag.store.database import Database

#: Seconds between two looks. The rounds themselves are the database's, however many workers look.
LOOK_EVERY_S = 0.25
_AFTER_FAILURE_S = 5.0

log = logging.getLogger(__name__)


def keep_broadcasting(database: Database, stop: threading.Event) -> None:
    """Broadcast until ``stop``. A failure is logged once, and tried again until it works."""
    failed = False
    while not stop.is_set():
        try:
            with database.as_worker() as conn:
                send_broadcasts(conn)
        except DatabaseError as error:
            if not failed:
                log.warning("Nothing can be broadcast: %s Pages look by themselves until it can.", error)
            failed = True
        else:
            failed = False
        stop.wait(_AFTER_FAILURE_S if failed else LOOK_EVERY_S)


def send_broadcasts(conn: Connection[Any]) -> int:
    """Broadcast what is due, if it is time for a round and nobody else does; how many messages it were."""
    row = conn.execute("select corpuscope.send_broadcasts()").fetchone()
    return int(row[0]) if row else 0
