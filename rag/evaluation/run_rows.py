"""A run as the worker writes it. ``conn`` runs as the worker; each write says whether the run is still to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rag.evaluation.errand import ErrandEnded
from rag.evaluation.scoring import RunHit


@dataclass(frozen=True, slots=True)
class Task:
    """What the worker has to know of a run. ``measured``: all was asked before, only the metrics are due."""

    id: int
    set_id: int
    collection_id: UUID
    index_id: int | None
    settings: dict[str, Any]
    corpus: dict[str, Any]
    asker: UUID | None
    measured: bool


class Answer(NamedTuple):
    """What one question found, and in how many milliseconds."""

    question_id: int
    hits: list[RunHit]
    latency_ms: float


def begin_run(conn: Connection[Any], run_id: int) -> Task | None:
    """Take the run up, or up again; None when there is nothing to do."""
    with conn.cursor(row_factory=class_row(Task)) as cursor:
        return cursor.execute(
            "update public.evaluation_runs set state = 'running', started_at = coalesce(started_at, now()),"
            " touched_at = now(), reason = null, hint = null where id = %s and state in ('queued', 'running')"
            " returning id, set_id, collection_id, index_id, profile as settings, corpus, created_by as asker,"
            " finished_at is not null as measured",
            [run_id],
        ).fetchone()


def note_start(conn: Connection[Any], run_id: int, total: int, corpus: Mapping[str, Any]) -> None:
    """How many questions there are, and what the index held at the first one."""
    _hold(conn, run_id)
    conn.execute(
        "update public.evaluation_runs set total = %s, touched_at = now(),"
        " corpus = case when corpus = '{}' then %s else corpus end where id = %s",
        [total, Jsonb(dict(corpus)), run_id],
    )


def keep_answers(conn: Connection[Any], run_id: int, answers: Sequence[Answer]) -> None:
    """Store some answers; what another worker stored meanwhile stays."""
    _hold(conn, run_id)
    conn.execute(
        "insert into public.evaluation_results (run_id, question_id, hits, latency_ms)"
        " select %s, a.question, a.hits, a.latency from unnest(%s::bigint[], %s::jsonb[], %s::real[])"
        " as a (question, hits, latency) join public.questions q on q.id = a.question on conflict do nothing",
        [
            run_id,
            [answer.question_id for answer in answers],
            [Jsonb([hit.to_json() for hit in answer.hits]) for answer in answers],
            [answer.latency_ms for answer in answers],
        ],
    )
    conn.execute(
        "update public.evaluation_runs set touched_at = now(), reason = null,"
        " asked = (select count(*) from public.evaluation_results where run_id = id) where id = %s",
        [run_id],
    )


def note_waiting(conn: Connection[Any], run_id: int, reason: str) -> None:
    """Say why nothing happens for a while."""
    conn.execute(
        "update public.evaluation_runs set reason = %s, touched_at = now() where id = %s and state = 'running'",
        [reason, run_id],
    )


def finish_run(
    conn: Connection[Any],
    run_id: int,
    scores: Mapping[int, Mapping[str, float]],
    metrics: Mapping[str, Any],
    corpus: Mapping[str, Any],
) -> None:
    """Write the metrics of the questions and of the run, which is done."""
    _hold(conn, run_id)
    conn.execute(
        "update public.evaluation_results e set metrics = s.metrics"
        " from unnest(%s::bigint[], %s::jsonb[]) as s (question, metrics)"
        " where e.run_id = %s and e.question_id = s.question",
        [list(scores), [Jsonb(dict(values)) for values in scores.values()], run_id],
    )
    conn.execute(
        "update public.evaluation_runs set state = 'done', metrics = %s, corpus = corpus || %s, touched_at = now(),"
        " finished_at = coalesce(finished_at, now()), reason = null, hint = null,"
        " asked = (select count(*) from public.evaluation_results where run_id = id) where id = %s",
        [Jsonb(dict(metrics)), Jsonb(dict(corpus)), run_id],
    )


def fail_run(conn: Connection[Any], run_id: int, reason: str, hint: str) -> None:
    """Say why there is no more of it; what was found stays, and it can go on from there."""
    conn.execute(
        "update public.evaluation_runs set state = 'failed', reason = %s, hint = %s, touched_at = now()"
        " where id = %s and state in ('queued', 'running')",
        [reason, hint or None, run_id],
    )


def _hold(conn: Connection[Any], run_id: int) -> None:
    """Keep the run as it is until the transaction ends; :class:`ErrandEnded` when it is not to go on."""
    held = conn.execute(
        "select from public.evaluation_runs where id = %s and state = 'running' for no key update", [run_id]
    ).fetchone()
    if held is None:
        raise ErrandEnded
