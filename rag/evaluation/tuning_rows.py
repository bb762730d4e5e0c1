"""A search for better settings as the worker writes it. Each write says whether it is still to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rag.evaluation.errand import ErrandEnded
from rag.evaluation.objectives import Objective


@dataclass(frozen=True, slots=True)
class Request:
    """What the worker has to know of it."""

    id: int
    set_id: int
    collection_id: UUID
    index_id: int | None
    settings: dict[str, Any]
    objective: Objective
    budget: int
    asker: UUID | None


def begin_tuning(conn: Connection[Any], tuning_id: int) -> Request | None:
    """Take it up, from the beginning; None when there is nothing to do."""
    with conn.cursor(row_factory=class_row(Request)) as cursor:
        return cursor.execute(
            "update public.tunings set state = 'running', started_at = coalesce(started_at, now()), asked = 0,"
            " touched_at = now(), reason = null, hint = null where id = %s and state in ('queued', 'running')"
            " returning id, set_id, collection_id, index_id, profile as settings, objective, budget,"
            " created_by as asker",
            [tuning_id],
        ).fetchone()


def note_asked(conn: Connection[Any], tuning_id: int, asked: int, total: int) -> None:
    """How far it is. :class:`ErrandEnded` when it is not to go on."""
    _expect(
        conn.execute(
            "update public.tunings set asked = %s, total = %s, reason = null, touched_at = now()"
            " where id = %s and state = 'running'",
            [asked, total, tuning_id],
        ).rowcount
    )


def note_waiting(conn: Connection[Any], tuning_id: int, reason: str) -> None:
    """Say why nothing happens for a while."""
    conn.execute(
        "update public.tunings set reason = %s, touched_at = now() where id = %s and state = 'running'",
        [reason, tuning_id],
    )


def finish_tuning(conn: Connection[Any], tuning_id: int, result: Mapping[str, Any]) -> None:
    """Write what came of it, which is done. :class:`ErrandEnded` when nobody waits for it any more."""
    _expect(
        conn.execute(
            "update public.tunings set state = 'done', result = %s, asked = total, reason = null, hint = null,"
            " touched_at = now(), finished_at = now() where id = %s and state = 'running'",
            [Jsonb(dict(result)), tuning_id],
        ).rowcount
    )


def fail_tuning(conn: Connection[Any], tuning_id: int, reason: str, hint: str) -> None:
    """Say why nothing came of it."""
    conn.execute(
        "update public.tunings set state = 'failed', reason = %s, hint = %s, touched_at = now()"
        " where id = %s and state in ('queued', 'running')",
        [reason, hint or None, tuning_id],
    )


def _expect(rows: int) -> None:
    if not rows:
        raise ErrandEnded
