"""A health check as the worker writes it. Each write says whether it is still to go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rag.evaluation.errand import ErrandEnded

_AT_ONCE = 20_000

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What the worker has to know of it. ``window`` is how many tokens the index's model reads."""

    id: int
    collection_id: UUID
    index_id: int
    asker: UUID | None
    window: int


def begin_check(conn: Connection[Any], check_id: int) -> CheckRequest | None:
    """Take it up, from the beginning; None when there is nothing to do."""
    with conn.cursor(row_factory=class_row(CheckRequest)) as cursor:
        return cursor.execute(
            "update public.health_checks h set state = 'running', phase = 'reading', done = 0, total = 0,"
            " started_at = coalesce(h.started_at, now()), touched_at = now(), reason = null, hint = null"
            " from public.indexes i join public.embedding_models m on m.id = i.model_id"
            " where h.id = %s and i.id = h.index_id and h.state in ('queued', 'running')"
            " returning h.id, h.collection_id, h.index_id, h.created_by as asker, m.window_tokens as window",
            [check_id],
        ).fetchone()


def note_progress(conn: Connection[Any], check_id: int, phase: str, done: int, total: int) -> None:
    """How far it is. :class:`ErrandEnded` when it is not to go on."""
    _expect(
        conn.execute(
            "update public.health_checks set phase = %s, done = %s, total = %s, reason = null, touched_at = now()"
            " where id = %s and state = 'running'",
            [phase, done, total, check_id],
        ).rowcount
    )


def note_waiting(conn: Connection[Any], check_id: int, reason: str) -> None:
    """Say why nothing happens for a while."""
    conn.execute(
        "update public.health_checks set reason = %s, touched_at = now() where id = %s and state = 'running'",
        [reason, check_id],
    )


def fail_check(conn: Connection[Any], check_id: int, reason: str, hint: str) -> None:
    """Say why nothing came of it."""
    conn.execute(
        "update public.health_checks set state = 'failed', reason = %s, hint = %s, touched_at = now()"
        " where id = %s and state in ('queued', 'running')",
        [reason, hint or None, check_id],
    )


def finish_check(
    conn: Connection[Any],
    check_id: int,
    corpus: Mapping[str, Any],
    figures: Mapping[str, Any],
    timings: Mapping[str, float],
) -> None:
    """It is done, and takes the place of earlier ones of its index. :class:`ErrandEnded` when nobody waits for it."""
    _expect(
        conn.execute(
            "update public.health_checks set state = 'done', corpus = %s, figures = %s, timings = %s, phase = '',"
            " reason = null, hint = null, touched_at = now(), finished_at = now() where id = %s and state = 'running'",
            [Jsonb(dict(corpus)), Jsonb(dict(figures)), Jsonb(dict(timings)), check_id],
        ).rowcount
    )
    conn.execute(
        "delete from public.health_checks h using public.health_checks newer where newer.id = %s"
        " and h.index_id = newer.index_id and h.id < newer.id and h.state in ('done', 'failed', 'cancelled')",
        [check_id],
    )


def store_members(conn: Connection[Any], request: CheckRequest, members: Iterable[tuple[int, int]]) -> None:
    """(chunk, shape) of what is near something; chunks that are gone by now are left out."""
    for some in _batches(members):
        conn.execute(
            "insert into public.health_members (check_id, chunk_id, collection_id, shape)"
            " select %s, c.id, c.collection_id, u.shape from unnest(%s::bigint[], %s::int[]) as u (id, shape)"
            " join public.chunks c on c.id = u.id where c.index_id = %s on conflict do nothing",
            [request.id, [row[0] for row in some], [row[1] for row in some], request.index_id],
        )


def store_pairs(conn: Connection[Any], request: CheckRequest, pairs: Iterable[tuple[int, int, float]]) -> None:
    """(shape, greater shape, score)."""
    for some in _batches(pairs):
        conn.execute(
            "insert into public.health_pairs (check_id, collection_id, shape_a, shape_b, score)"
            " select %s, %s, u.* from unnest(%s::int[], %s::int[], %s::real[]) u on conflict do nothing",
            [request.id, request.collection_id, *_columns(some, 3)],
        )


def store_findings(
    conn: Connection[Any], request: CheckRequest, finding: str, rows: Iterable[tuple[int, float, str | None]]
) -> None:
    """(chunk, value, note) of what stands out by ``finding``."""
    for some in _batches(rows):
        conn.execute(
            "insert into public.health_findings (check_id, collection_id, finding, document_id, chunk_id, value, note)"
            " select %s, c.collection_id, %s, c.document_id, c.id, u.value, u.note"
            " from unnest(%s::bigint[], %s::real[], %s::text[]) as u (id, value, note)"
            " join public.chunks c on c.id = u.id where c.index_id = %s",
            [request.id, finding, *_columns(some, 3), request.index_id],
        )


def store_unretrieved(conn: Connection[Any], request: CheckRequest, rows: Iterable[tuple[UUID, int | None]]) -> None:
    """(document, best rank) of what no question found."""
    for some in _batches(rows):
        conn.execute(
            "insert into public.health_findings (check_id, collection_id, finding, document_id, value)"
            " select %s, d.collection_id, 'unretrieved', d.id, u.rank"
            " from unnest(%s::uuid[], %s::int[]) as u (id, rank)"
            " join public.documents d on d.id = u.id where d.collection_id = %s",
            [request.id, *_columns(some, 2), request.collection_id],
        )


def store_repeats(
    conn: Connection[Any], request: CheckRequest, rows: Iterable[tuple[int, UUID, int, int, int]]
) -> None:
    """(number of the text, document, revision, start, end) of each place."""
    for some in _batches(rows):
        conn.execute(
            "insert into public.health_repeats"
            " (check_id, collection_id, repeat, document_id, text_revision, start_char, end_char)"
            " select %s, d.collection_id, u.repeat, d.id, u.revision, u.s, u.e"
            " from unnest(%s::int[], %s::uuid[], %s::int[], %s::int[], %s::int[]) as u (repeat, id, revision, s, e)"
            " join public.documents d on d.id = u.id where d.collection_id = %s",
            [request.id, *_columns(some, 5), request.collection_id],
        )


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while some := list(islice(waiting, _AT_ONCE)):
        yield some


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[column] for row in rows] for column in range(width)]


def _expect(rows: int) -> None:
    if not rows:
        raise ErrandEnded
