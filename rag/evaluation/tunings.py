"""Searches for better settings as people see them: start, watch, cancel, read. ``conn`` runs as the person who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.evaluation.findings import Findings
from rag.evaluation.objectives import Objective
from rag.retrieval.profiles import RetrievalProfile

TuningState = Literal["queued", "running", "done", "failed", "cancelled"]

#: States in which a worker has something to do.
UNFINISHED: frozenset[TuningState] = frozenset({"queued", "running"})
#: Characters that a chat model is taken to read, where nothing else is said.
BUDGET = 8000

_COLUMNS = (
    "t.id, t.set_id, t.collection_id, t.index_id, t.profile as settings, t.profile_id, t.profile_name,"
    " t.profile_version, t.objective, t.budget, t.state, t.asked, t.total, t.result, t.reason, t.hint, t.created_by,"
    " t.created_at, t.started_at, t.finished_at, clock_timestamp() as at"
)


@dataclass(frozen=True, slots=True)
class Tuning:
    """One search for better settings; ``settings`` are the present ones, that others are compared with."""

    id: int
    set_id: int
    collection_id: UUID
    index_id: int | None
    settings: dict[str, Any]
    profile_id: int | None
    profile_name: str | None
    profile_version: int | None
    objective: Objective
    budget: int
    state: TuningState
    asked: int
    total: int
    result: dict[str, Any] | None
    reason: str | None
    hint: str | None
    created_by: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    #: When the row was read, by the clock that the other times are of.
    at: datetime

    @property
    def profile(self) -> RetrievalProfile:
        """The present settings."""
        return RetrievalProfile.from_json(self.settings)

    @property
    def findings(self) -> Findings | None:
        """What came of it; None until it is done."""
        return None if self.result is None or self.state != "done" else Findings.from_json(self.result)

    @property
    def label(self) -> str:
        """What people call its start."""
        return f"{self.profile_name} v{self.profile_version}" if self.profile_name else "the built-in settings"


def start_tuning(
    conn: Connection[Any],
    set_id: int,
    *,
    objective: Objective = "ndcg",
    budget: int = BUDGET,
    profile_id: int | None = None,
    index_id: int | None = None,
) -> int:
    """Queue a search for settings better than a stored profile's, without one than the default's; returns its id.

    ``budget`` counts for the objective ``reading``. :class:`NotAllowed` unless the person may edit,
    :class:`InvalidInput` where nothing is judged yet or the profile reranks.
    """
    try:
        row = conn.execute(
            "select public.start_tuning(%s, %s, %s, %s, %s)", [set_id, objective, budget, profile_id, index_id]
        ).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(error.diag.message_primary, hint="Ask an owner for editing.") from error
    except psycopg.errors.NoDataFound as error:
        raise NotFound(error.diag.message_primary) from error
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise InvalidInput(error.diag.message_primary) from error
    except psycopg.errors.CheckViolation as error:
        raise InvalidInput("A budget lies between 500 and 200,000 characters.") from error
    assert row is not None
    return int(row[0])


def cancel_tuning(conn: Connection[Any], tuning_id: int) -> bool:
    """Stop it; False when there was nothing to stop."""
    row = conn.execute("select public.cancel_tuning(%s)", [tuning_id]).fetchone()
    return bool(row and row[0])


def delete_tuning(conn: Connection[Any], tuning_id: int) -> None:
    """Delete it with what it found; :class:`NotAllowed` for those who may only read."""
    if not conn.execute("delete from public.tunings where id = %s", [tuning_id]).rowcount:
        read_tuning(conn, tuning_id)
        raise NotAllowed("You may read this but not delete it.", hint="Ask an owner for editing.")


def list_tunings(conn: Connection[Any], set_id: int, limit: int = 50) -> list[Tuning]:
    """The set's searches, the newest first."""
    with conn.cursor(row_factory=class_row(Tuning)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from public.tunings t where t.set_id = %s order by t.id desc limit %s", [set_id, limit]
        ).fetchall()


def read_tuning(conn: Connection[Any], tuning_id: int) -> Tuning:
    """One search; :class:`NotFound` when it is gone or isn't shared with the person."""
    with conn.cursor(row_factory=class_row(Tuning)) as cursor:
        found = cursor.execute(f"select {_COLUMNS} from public.tunings t where t.id = %s", [tuning_id]).fetchone()
    if found is None:
        raise NotFound("That search for better settings is gone, or it isn't shared with you.")
    return found
