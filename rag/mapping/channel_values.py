"""The bytes of each channel: one query each that gathers places and numbers on the server, and numpy for the rest.

Rows would cost more than the reading of them: 250,000 take psycopg half a second, as two strings of bytes 2 ms.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
import psycopg
from pgvector import HalfVector

from rag.errors import InvalidInput
from rag.mapping.typed_words import patterns_of
from rag.reading.languages import language_name

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int32]
Places = npt.NDArray[np.intp]
Connection = psycopg.Connection[Any]

#: The byte of a place of which nothing can be said.
NOTHING = 255
#: The leaf of a place whose chunk is gone, in :func:`leaf_values`; -1 is a chunk in no cluster.
HOLE = -2
#: Documents, tags and languages with a colour of their own; beyond, colours can't be told apart.
MOST_OWN = 12
#: Steps of a scale.
STEPS = 10
#: Places that are looked at one by one rather than all texts in a row.
_FEW = 20_000

#: Around a query of place and value: both as bytes, in the same order.
GATHER = "select string_agg(int4send(x.place), ''::bytea), string_agg(int4send(x.value), ''::bytea) from ("


class MapSize(NamedTuple):
    """A map that the person may see; ``places`` is one more than its last place."""

    id: int
    collection_id: UUID
    index_id: int
    places: int
    version: int
    person: UUID | None


def leaf_values(conn: Connection, size: MapSize) -> Integers:
    """The leaf cluster of each place, -1 in none, :data:`HOLE` where there is no chunk any more."""
    row = conn.execute(
        GATHER + "select place, leaf as value from public.map_points where map_id = %s) x", [size.id]
    ).fetchone()
    places, leaves = read_gathered(row)
    found = np.full(size.places, HOLE, np.int32)
    found[places] = leaves
    return found


def position_values(conn: Connection, size: MapSize) -> tuple[Integers, Integers]:
    """x and y of each place, -1 where there is no chunk any more."""
    row = conn.execute(
        """
        select string_agg(int4send(place), ''::bytea), string_agg(int4send(x), ''::bytea),
               string_agg(int4send(y), ''::bytea)
        from public.map_points where map_id = %s
        """,
        [size.id],
    ).fetchone()
    assert row is not None
    found = np.full((2, size.places), -1, np.int32)
    places = read_gathered(row[:2])[0]
    found[:, places] = read_gathered(row[:2])[1], read_gathered(row[1:])[1]
    return found[0], found[1]


def document_values(conn: Connection, size: MapSize) -> tuple[Bytes, list[str], int]:
    """The largest documents by number, the rest as the next one; their names, and how many the rest are."""
    rows = conn.execute(
        """
        select p.document_id, d.name, count(*) over () from (
            select document_id, count(*) as points from public.map_points where map_id = %s group by 1
        ) p join public.documents d on d.id = p.document_id
        order by p.points desc, d.name, d.id limit %s
        """,
        [size.id, MOST_OWN],
    ).fetchall()
    row = conn.execute(
        GATHER
        + """
            select p.place, coalesce(n.n - 1, %(other)s)::int as value from public.map_points p
            left join unnest(%(documents)s::uuid[]) with ordinality as n (id, n) on n.id = p.document_id
            where p.map_id = %(map)s
        ) x
        """,
        {"documents": [row[0] for row in rows], "other": len(rows), "map": size.id},
    ).fetchone()
    return _spread(size, row), [row[1] for row in rows], (rows[0][2] - len(rows)) if rows else 0


def date_values(conn: Connection, size: MapSize) -> tuple[Bytes, list[str]]:
    """When the document came into the collection, in at most :data:`STEPS` steps of equal length; their first days."""
    span = conn.execute(
        """
        select extract(epoch from min(d.created_at))::float8, extract(epoch from max(d.created_at))::float8
        from public.documents d
        where d.id in (select p.document_id from public.map_points p where p.map_id = %s)
        """,
        [size.id],
    ).fetchone()
    if span is None or span[0] is None:
        return np.full(size.places, NOTHING, np.uint8), []
    begin, steps, labels = _days(span[0], span[1])
    row = conn.execute(
        GATHER
        + """
            select p.place,
                   least(%(last)s, floor((extract(epoch from d.created_at) - %(begin)s) / %(step)s))::int as value
            from public.map_points p join public.documents d on d.id = p.document_id where p.map_id = %(map)s
        ) x
        """,
        {"map": size.id, "begin": begin, "step": steps, "last": len(labels) - 1},
    ).fetchone()
    return _spread(size, row), labels


def _days(first: float, last: float) -> tuple[float, float, list[str]]:
    """Where the steps begin and how long each is, in seconds since 1970, and what they are called (UTC)."""
    unit, form = (3600, "%d %b %H:%M") if last - first < 2 * 86_400 else (86_400, "%d %b %Y")
    begin = first // unit * unit
    step = unit * max(1, math.ceil((last - begin + 1) / unit / STEPS))
    days = (datetime.fromtimestamp(begin + n * step, UTC) for n in range(int((last - begin) // step) + 1))
    return begin, step, [f"from {day:{form}}".replace("from 0", "from ") for day in days]


def language_values(conn: Connection, size: MapSize) -> tuple[Bytes, list[str]]:
    """The commonest languages by number; then the others as one, then those of which it isn't known; their names."""
    rows = conn.execute(
        """
        select coalesce(c.language, d.language, ''), count(*) from public.map_points p
        join public.chunks c on c.id = p.chunk_id join public.documents d on d.id = c.document_id
        where p.map_id = %s group by 1 order by 2 desc, 1
        """,
        [size.id],
    ).fetchall()
    known = [row[0] for row in rows if row[0]][:MOST_OWN]
    row = conn.execute(
        GATHER
        + """
            select p.place, case when x.language = '' then %(count)s + 1
                else coalesce(array_position(%(known)s::text[], x.language) - 1, %(count)s) end as value
            from public.map_points p
            join public.chunks c on c.id = p.chunk_id join public.documents d on d.id = c.document_id
            cross join lateral (select coalesce(c.language, d.language, '') as language) x
            where p.map_id = %(map)s
        ) x
        """,
        {"map": size.id, "known": known, "count": len(known)},
    ).fetchone()
    return _spread(size, row), [language_name(code) for code in known]


def similarity_values(conn: Connection, size: MapSize, vector: npt.NDArray[np.float32]) -> tuple[Bytes, list[str]]:
    """:data:`STEPS` equal steps of the cosine to ``vector``, from the median of the map to the best; their bounds.

    What is below the median is the lowest step: half of a corpus has nothing to do with a question.
    """
    try:
        row = conn.execute(
            GATHER
            + """
                select p.place, (10000 - 10000 * n.distance)::int as value
                from public.map_points p join public.embeddings e on e.chunk_id = p.chunk_id
                cross join lateral (select e.embedding operator(extensions.<=>) %(vector)b as distance) n
                where p.map_id = %(map)s
            ) x
            """,
            {"map": size.id, "vector": HalfVector(vector)},
        ).fetchone()
    except psycopg.errors.DataException as error:
        raise InvalidInput("That question was embedded by another model than the map's.") from error
    places, cosines = read_gathered(row)
    found = np.full(size.places, NOTHING, np.uint8)
    if not len(places):
        return found, []
    low, high = float(np.median(cosines)), float(cosines.max())
    width = max((high - low) / STEPS, 1.0)
    found[places] = np.clip((cosines - low) / width, 0, STEPS - 1).astype(np.uint8)
    bounds = (low + width * np.arange(STEPS + 1)) / 10_000
    return found, [f"below {bounds[1]:.2f}", *(f"{bounds[n]:.2f} to {bounds[n + 1]:.2f}" for n in range(1, STEPS))]


def text_values(conn: Connection, size: MapSize, typed: str, within: Places | None = None) -> Bytes:
    """1 where the passage contains every word that was typed, else 0; without a word 1 everywhere.

    ``within`` are places beyond which nothing can be found; many of them are no help.
    """
    patterns = patterns_of(typed)
    if not patterns:
        found = present_values(conn, size)
        found[found == 0] = 1
        return found
    places = within.tolist() if within is not None and len(within) <= _FEW else None
    row = conn.execute(
        """
        select string_agg(int4send(p.place), ''::bytea), null
        from public.map_points p join public.chunks c on c.id = p.chunk_id
        where p.map_id = %(map)s and c.index_id = %(index)s and c.text ilike all (%(patterns)s)
          and (%(places)s::int[] is null or p.place = any (%(places)s::int[]))
        """,
        {"map": size.id, "index": size.index_id, "patterns": patterns, "places": places},
    ).fetchone()
    found = present_values(conn, size)
    found[read_gathered(row)[0]] = 1
    return found


def present_values(conn: Connection, size: MapSize) -> Bytes:
    """0 for each point that is there, else :data:`NOTHING`."""
    return np.where(leaf_values(conn, size) == HOLE, NOTHING, 0).astype(np.uint8)


def read_gathered(row: Any) -> tuple[Integers, Integers]:
    """The two columns of a gathered result; nothing gathered is empty."""
    assert row is not None
    first, second = (np.frombuffer(part or b"", ">i4").astype(np.int32) for part in row[:2])
    return first, second


def _spread(size: MapSize, row: Any) -> Bytes:
    places, numbers = read_gathered(row)
    found = np.full(size.places, NOTHING, np.uint8)
    found[places] = numbers
    return found


def lay_over(found: npt.NDArray[Any], row: Any) -> npt.NDArray[Any]:
    """``found`` with the gathered values in it."""
    places, numbers = read_gathered(row)
    found[places] = numbers
    return found
