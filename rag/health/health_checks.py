"""Health checks of an index as people see them: ask for one, watch, cancel. ``conn`` is of the person who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from rag.errors import NotAllowed, NotFound

CheckState = Literal["queued", "running", "done", "failed", "cancelled"]

#: States in which a worker has something to do.
UNFINISHED: frozenset[CheckState] = frozenset({"queued", "running"})
#: What a check does, in its order.
PHASES = (
    "reading",
    "duplicates",
    "lengths",
    "languages",
    "boilerplate",
    "outliers",
    "questions",
    "saving",
)

_COLUMNS = (
    "h.id, h.collection_id, h.index_id, h.state, h.phase, h.done, h.total, h.corpus, h.figures, h.timings, h.reason,"
    " h.hint, h.created_by, h.created_at, h.started_at, h.finished_at, clock_timestamp() as at"
)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One check. ``figures`` says what was looked at and the limits that followed; ``timings`` has seconds by phase."""

    id: int
    collection_id: UUID
    index_id: int
    state: CheckState
    phase: str
    done: int
    total: int
    corpus: dict[str, Any]
    figures: dict[str, Any]
    timings: dict[str, float]
    reason: str | None
    hint: str | None
    created_by: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    #: When the row was read, by the clock that the other times are of.
    at: datetime

    @property
    def unfinished(self) -> bool:
        """Whether it waits or runs."""
        return self.state in UNFINISHED


@dataclass(frozen=True, slots=True)
class Drift:
    """What changed in an index since it was checked: documents and passages then and now."""

    documents_then: int
    documents_now: int
    passages_then: int
    passages_now: int


def start_check(conn: Connection[Any], collection_id: UUID, index_id: int | None = None) -> int:
    """Queue a check of the index, of the active one unless told; the one that goes on already, if there is one.

    :class:`NotAllowed` unless the person may edit.
    """
    try:
        row = conn.execute("select public.start_health_check(%s, %s)", [collection_id, index_id]).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(error.diag.message_primary, hint="Ask an owner for editing.") from error
    assert row is not None
    return int(row[0])


def cancel_check(conn: Connection[Any], check_id: int) -> bool:
    """Stop it; False when there was nothing to stop."""
    row = conn.execute("select public.cancel_health_check(%s)", [check_id]).fetchone()
    return bool(row and row[0])


def health_checks(conn: Connection[Any], collection_id: UUID) -> list[HealthCheck]:
    """Checks of the collection's active index, the newest first; one that is done takes the place of older ones."""
    with conn.cursor(row_factory=class_row(HealthCheck)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from public.health_checks h join public.collections c on c.active_index_id = h.index_id"
            " where c.id = %s and h.collection_id = c.id order by h.id desc",
            [collection_id],
        ).fetchall()


def read_check(conn: Connection[Any], check_id: int) -> HealthCheck:
    """One check; :class:`NotFound` when it is gone or isn't shared with the person."""
    with conn.cursor(row_factory=class_row(HealthCheck)) as cursor:
        found = cursor.execute(f"select {_COLUMNS} from public.health_checks h where h.id = %s", [check_id]).fetchone()
    if found is None:
        raise NotFound(f"There is no health check {check_id}, or it isn't shared with you.")
    return found


def read_drift(conn: Connection[Any], check: HealthCheck) -> Drift | None:
    """What changed in its index since; None when it is as it was."""
    row = conn.execute("select corpuscope.content_state(%s)", [check.index_id]).fetchone()
    now: dict[str, Any] = row[0] if row else {}
    if now.get("fingerprint") == check.corpus.get("fingerprint"):
        return None
    then = check.corpus
    return Drift(
        int(then.get("documents", 0)),
        int(now.get("documents", 0)),
        int(then.get("chunks", 0)),
        int(now.get("chunks", 0)),
    )
