"""A map as the worker writes it. Each write says whether it is still to go on: :class:`ErrandEnded` when it is not."""

from __future__ import annotations

from collections.abc import Mapping
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

#: Points written by one statement, and vectors read by one.
_AT_ONCE = 20_000
_PAGE = 5000


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
            " returning m.id, m.collection_id, m.index_id, e.dimensions, m.settings, m.seed, (select"
            " coalesce(sum(x.embedded_count), 0)::int from public.index_documents x where x.index_id = i.id) embedded",
            [map_id],
        ).fetchone()
    if found is not None:
        conn.execute("delete from public.map_points where map_id = %s", [map_id])
    return found


@dataclass(frozen=True, slots=True)
class Page:
    """Some chunks and their vectors, [n, d]; ``last`` is where the next page goes on."""

    chunks: NDArray[np.int64]
    vectors: NDArray[np.float16]
    last: tuple[UUID, int]


def read_page(
    conn: Connection[Any], index_id: int, after: tuple[UUID, int] | None, *, missing_on: int | None = None
) -> Page | None:
    """The next chunks of an index that have a vector, document by document; None when there are no more.

    With ``missing_on``, those alone that have no point on this map.
    """
    cursor = conn.cursor(binary=True)  # as text, parsing the vectors would take most of the time
    rows = cursor.execute(
        "select e.document_id, e.chunk_id, e.embedding from public.embeddings e"
        " where e.index_id = %(index)s and (e.document_id, e.chunk_id) > (%(document)s, %(chunk)s)"
        " and (%(map)s::bigint is null or not exists"
        "      (select from public.map_points p where p.chunk_id = e.chunk_id and p.map_id = %(map)s))"
        " order by e.document_id, e.chunk_id limit %(most)s",
        {
            "index": index_id,
            "document": after[0] if after else UUID(int=0),
            "chunk": after[1] if after else -1,
            "map": missing_on,
            "most": _PAGE,
        },
    ).fetchall()
    if not rows:
        return None
    chunks = np.array([row[1] for row in rows], np.int64)
    return Page(chunks, _stack([row[2] for row in rows]), (rows[-1][0], rows[-1][1]))


@dataclass(frozen=True, slots=True)
class PointPage:
    """Some points of a map: places, [n, 2] in map units, leaves, and the vectors of their chunks."""

    places: NDArray[np.int64]
    xy: NDArray[np.int64]
    leaves: NDArray[np.int64]
    vectors: NDArray[np.float16]


def read_points(conn: Connection[Any], map_id: int, after: int) -> PointPage | None:
    """The next points after a place, in the order of their places; None when there are no more."""
    cursor = conn.cursor(binary=True)
    rows = cursor.execute(
        "select p.place, p.x, p.y, p.leaf, e.embedding from public.map_points p"
        " join public.embeddings e on e.chunk_id = p.chunk_id"
        " where p.map_id = %s and p.place > %s order by p.place limit %s",
        [map_id, after, _PAGE],
    ).fetchall()
    if not rows:
        return None
    numbers = np.array([row[:4] for row in rows], np.int64)
    return PointPage(numbers[:, 0], numbers[:, 1:3], numbers[:, 3], _stack([row[4] for row in rows]))


def _stack(vectors: list[Any]) -> NDArray[np.float16]:
    return np.stack([vector.to_numpy() for vector in vectors]).astype(np.float16)


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
) -> None:
    """Write the points, [n] chunk ids at [n, 2] in map units: from now on the map can be looked at."""
    for start in range(0, len(chunks), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        places = np.arange(start, min(start + _AT_ONCE, len(chunks)))
        insert_points(conn, request.id, places, chunks[some], xy[some])
    _expect(
        conn.execute(
            "update public.maps set points = %s, phase = 'clusters', done = 0, total = 0, version = version + 1,"
            " drawn_at = now(), touched_at = now() where id = %s and state = 'running'",
            [len(chunks), request.id],
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
            " version = version + 1, timings = timings || %s, reason = %s, hint = null, touched_at = now(),"
            " finished_at = now() where id = %s and state = 'running'",
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


@dataclass(frozen=True, slots=True)
class Placing:
    """A map that may have chunks to place on it."""

    id: int
    index_id: int


def find_placing(conn: Connection[Any], map_id: int) -> Placing | None:
    """The map; None when it is gone, or isn't made yet."""
    with conn.cursor(row_factory=class_row(Placing)) as cursor:
        return cursor.execute(
            "select id, index_id from public.maps where id = %s and state = 'done' and drawn_at is not null", [map_id]
        ).fetchone()


def add_points(
    conn: Connection[Any],
    map_id: int,
    chunks: NDArray[np.int64],
    xy: NDArray[np.integer[Any]],
    leaves: NDArray[np.integer[Any]],
) -> int:
    """Write points that were placed later; how many there are. Those left out are not tried again for their sake."""
    row = conn.execute("select points from public.maps where id = %s for no key update", [map_id]).fetchone()
    if row is None:
        return 0
    added = insert_points(conn, map_id, row[0] + np.arange(len(chunks)), chunks, xy, leaves)
    conn.execute(
        "update public.maps set points = points + %s, left_out = %s, version = version + 1 where id = %s",
        [len(chunks) if added else 0, len(chunks) - added, map_id],
    )
    return added


def note_left_out(conn: Connection[Any], map_id: int) -> None:
    """Nothing can be placed on a map without points: don't try until there are more chunks than now."""
    conn.execute(
        "update public.maps m set left_out = c.missing from public.maps o"
        " cross join lateral corpuscope.count_map(o.id, o.index_id) c where o.id = %s and m.id = o.id",
        [map_id],
    )
