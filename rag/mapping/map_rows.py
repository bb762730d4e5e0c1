"""A map as the worker writes it. Each write says whether it is still to go on: :class:`ErrandEnded` when it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rag.evaluation.errand import ErrandEnded
from rag.mapping.maps import Phase

#: Points written by one statement.
_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class MapRequest:
    """What the worker has to know of a map that is to be made."""

    id: int
    collection_id: UUID
    index_id: int
    dimensions: int
    #: How many chunks of the index had a vector just now.
    embedded: int
    settings: dict[str, Any]
    seed: int


def begin_map(conn: Connection[Any], map_id: int) -> MapRequest | None:
    """Take it up, from the beginning; None when there is nothing to do."""
    with conn.cursor(row_factory=class_row(MapRequest)) as cursor:
        found = cursor.execute(
            "update public.maps m set state = 'running', phase = 'reading', done = 0, points = 0, drawn_at = null,"
            " trustworthiness = null, timings = '{}', started_at = coalesce(started_at, now()), touched_at = now(),"
            " reason = null, hint = null"
            " from public.indexes i join public.embedding_models e on e.id = i.model_id"
            " where m.id = %s and i.id = m.index_id and m.state in ('queued', 'running')"
            " returning m.id, m.collection_id, m.index_id, e.dimensions, m.settings, m.seed,"
            " (select coalesce(sum(x.embedded_count), 0) from public.index_documents x where x.index_id = m.index_id)::int"
            " as embedded",
            [map_id],
        ).fetchone()
    if found is not None:
        conn.execute("delete from public.map_points where map_id = %s", [map_id])
    return found


def read_vectors(conn: Connection[Any], index_id: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
    """(chunk ids [n], vectors [n, d]) of all that have a vector, in the order of the chunks' ids, some at a time."""
    statement = "select chunk_id, embedding from public.embeddings where index_id = %s order by chunk_id"
    with conn.cursor(name="map_vectors", binary=True) as cursor:
        cursor.execute(statement, [index_id])
        while rows := cursor.fetchmany(2000):
            ids = np.array([row[0] for row in rows], np.int64)
            yield ids, np.stack([row[1].to_numpy() for row in rows]).astype(np.float16)


def note_progress(conn: Connection[Any], map_id: int, phase: Phase, done: int, total: int) -> None:
    """How far it is."""
    _expect(
        conn.execute(
            "update public.maps set phase = %s, done = %s, total = %s, reason = null, touched_at = now()"
            " where id = %s and state = 'running'",
            [phase, done, total, map_id],
        ).rowcount
    )


def save_points(
    conn: Connection[Any],
    request: MapRequest,
    chunks: NDArray[np.int64],
    xy: NDArray[np.int32],
    timings: Mapping[str, Any],
) -> None:
    """Write the points, [n] chunk ids at [n, 2] in map units: from now on the map can be looked at."""
    for start in range(0, len(chunks), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        places = np.arange(start, min(start + _AT_ONCE, len(chunks)))
        insert_points(conn, request.id, places, chunks[some], xy[some])
    _expect(
        conn.execute(
            "update public.maps set points = %s, phase = 'clusters', done = 0, total = 0, timings = timings || %s,"
            " version = version + 1, drawn_at = now(), touched_at = now() where id = %s and state = 'running'",
            [len(chunks), Jsonb(dict(timings)), request.id],
        ).rowcount
    )


def insert_points(
    conn: Connection[Any],
    map_id: int,
    places: NDArray[np.integer[Any]],
    chunks: NDArray[np.int64],
    xy: NDArray[np.integer[Any]],
    leaves: NDArray[np.integer[Any]] | None = None,
) -> int:
    """Write points; those whose chunk is gone, or going just now, are left out. How many there are.

    With ``leaves`` they count as placed later.
    """
    # Skipping what is locked: whoever deletes chunks waits for nobody who waits for him.
    return conn.execute(
        "insert into public.map_points (map_id, place, chunk_id, collection_id, document_id, x, y, leaf, placed_later)"
        " select m.id, u.place, e.chunk_id, e.collection_id, e.document_id, u.x, u.y, u.leaf, %s"
        " from public.maps m join public.embeddings e on e.index_id = m.index_id and e.collection_id = m.collection_id"
        " join unnest(%b::int[], %b::bigint[], %b::int[], %b::int[], %b::int[]) u (place, chunk, x, y, leaf)"
        " on u.chunk = e.chunk_id where m.id = %s and e.chunk_id = any (%b::bigint[])"
        " for key share of e skip locked on conflict do nothing",
        [
            leaves is not None,
            places.tolist(),
            chunks.tolist(),
            xy[:, 0].tolist(),
            xy[:, 1].tolist(),
            [-1] * len(places) if leaves is None else leaves.tolist(),
            map_id,
            chunks.tolist(),
        ],
    ).rowcount


def save_leaves(conn: Connection[Any], map_id: int, leaves: NDArray[np.integer[Any]]) -> None:
    """Write the smallest cluster of each place, [n], -1 for none."""
    conn.execute(
        "update public.map_points p set leaf = u.leaf"
        " from unnest(%b::int[], %b::int[]) u (place, leaf)"
        " where p.map_id = %s and p.place = u.place and p.leaf <> u.leaf",
        [list(range(len(leaves))), leaves.tolist(), map_id],
    )
    _expect(
        conn.execute(
            "update public.maps set phase = 'labels', done = 0, total = 0, version = version + 1, touched_at = now()"
            " where id = %s and state = 'running'",
            [map_id],
        ).rowcount
    )


def finish_map(
    conn: Connection[Any], map_id: int, trustworthiness: float | None, timings: Mapping[str, Any], reason: str | None
) -> None:
    """The map is made. ``reason`` says what it lacks all the same."""
    _expect(
        conn.execute(
            "update public.maps set state = 'done', phase = null, done = points, total = points, trustworthiness = %s,"
            " timings = timings || %s, reason = %s, hint = null, touched_at = now(), finished_at = now()"
            " where id = %s and state = 'running'",
            [trustworthiness, Jsonb(dict(timings)), reason, map_id],
        ).rowcount
    )


def note_waiting(conn: Connection[Any], map_id: int, reason: str) -> None:
    """Say why nothing happens for a while."""
    conn.execute(
        "update public.maps set reason = %s, touched_at = now() where id = %s and state = 'running'", [reason, map_id]
    )


def fail_map(conn: Connection[Any], map_id: int, reason: str, hint: str) -> None:
    """Say why nothing came of it. What was drawn of it goes."""
    failed = conn.execute(
        "update public.maps set state = 'failed', reason = %s, hint = %s, touched_at = now()"
        " where id = %s and state in ('queued', 'running')",
        [reason, hint or None, map_id],
    ).rowcount
    if failed:
        conn.execute("delete from public.map_points where map_id = %s", [map_id])


def _expect(rows: int) -> None:
    if not rows:
        raise ErrandEnded
