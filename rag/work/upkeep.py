"""What workers do now and then: find lost work, clean up, keep the vector indexes, remove the dead."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from psycopg import Connection

from rag.errors import DatabaseError
from rag.store.database import Database
from rag.work import jobs
from rag.work.heartbeat import DEAD_AFTER_S

log = logging.getLogger(__name__)

ROUND_S = 10.0
#: Chunks taken out of the lexical index in one transaction.
SWEPT_AT_ONCE = 500
#: Chunks of dropped indexes deleted in one transaction.
EMPTIED_AT_ONCE = 2000

# One worker at a time does the rounds; the others find the lock taken and go on.
_LOCK = 4_857_342_119_005


def keep_up(database: Database, stop: threading.Event) -> None:
    """Do the rounds until ``stop``. A step that fails is logged and tried again at the next round."""
    rounds = 0
    while not stop.wait(ROUND_S):
        rounds += 1
        for step, every in STEPS.items():
            if rounds % every:
                continue
            try:
                while not stop.is_set() and _alone(database, step):
                    log.debug("More to do for %s.", step.__name__)
            except DatabaseError as error:
                log.warning("Upkeep (%s) failed: %s", step.__name__, error)


def _alone(database: Database, step: Callable[[Connection[Any]], bool]) -> bool:
    with database.as_worker() as conn:
        row = conn.execute("select pg_try_advisory_xact_lock(%s)", [_LOCK]).fetchone()
        return bool(row and row[0]) and step(conn)


def find_lost_work(conn: Connection[Any]) -> bool:
    """Queue what lost messages would have asked for."""
    row = conn.execute(
        "select corpuscope.requeue_missing() + corpuscope.requeue_answers() + corpuscope.requeue_evaluations()"
        " + corpuscope.requeue_maps() + corpuscope.requeue_namings() + corpuscope.requeue_health_checks()"
    ).fetchone()
    if row and row[0]:
        log.warning("Work on %d documents, answers, evaluations or maps had been lost; it was queued again.", row[0])
    return False


def bury_the_dead(conn: Connection[Any]) -> bool:
    """Remove workers without a heartbeat, and counts of messages that are gone."""
    conn.execute(
        "delete from corpuscope.workers where heartbeat_at < now() - make_interval(secs => %s)", [DEAD_AFTER_S]
    )
    jobs.forget_old_attempts(conn)
    return False


def sweep_words(conn: Connection[Any]) -> bool:
    """Take some deleted chunks out of the lexical index; True while there are more."""
    row = conn.execute("select corpuscope.sweep_lexical(%s)", [SWEPT_AT_ONCE]).fetchone()
    return bool(row and row[0])


def declare_ready(conn: Connection[Any]) -> bool:
    """An index that was filled beside the active one may be swapped in."""
    conn.execute(
        "update public.indexes set state = 'ready'"
        " where state = 'building' and not paused and public.index_is_complete(id)"
    )
    return False


def empty_retired(conn: Connection[Any]) -> bool:
    """Delete some of what dropped indexes held; True while there is more."""
    row = conn.execute("select corpuscope.empty_retired(%s)", [EMPTIED_AT_ONCE]).fetchone()
    return bool(row and row[0])


def keep_vector_indexes(conn: Connection[Any]) -> bool:
    """Let the database decide for each model in use whether it wants an HNSW index by now."""
    for (model,) in conn.execute("select id from public.embedding_models").fetchall():
        conn.execute("select corpuscope.ensure_vector_index(%s)", [model])
    return False


def place_new_chunks(conn: Connection[Any]) -> bool:
    """Ask that chunks be placed on the maps of their index which came after these were made."""
    conn.execute("select corpuscope.send_placing()")
    return False


def empty_trash(conn: Connection[Any]) -> bool:
    """Delete for good what has lain in the trash for 30 days; True while there is more."""
    row = conn.execute("select corpuscope.empty_trash()").fetchone()
    return bool(row and row[0])


def forget_old_accounts(conn: Connection[Any]) -> bool:
    """Remove old sessions, links and counts of failures, and guests who did not come back."""
    conn.execute("select corpuscope.forget_old_accounts()")
    return False


#: What is done every so many rounds.
STEPS: dict[Callable[[Connection[Any]], bool], int] = {
    find_lost_work: 6,
    bury_the_dead: 6,
    sweep_words: 1,
    declare_ready: 1,
    empty_retired: 1,
    keep_vector_indexes: 3,
    place_new_chunks: 3,
    empty_trash: 60,
    forget_old_accounts: 360,  # hourly: daily would be never where workers are started every morning
}
