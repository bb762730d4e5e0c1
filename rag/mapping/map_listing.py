"""Points of a map as rows: what each passage is and how it begins, for the table beside the map and its downloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

#: Characters of a passage that a row begins with.
FIRST_CHARS = 200


class Target(NamedTuple):
    """Where a passage stands."""

    document_id: UUID
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PointRow:
    """One point. ``words`` is how its passage begins, ``leaf`` its smallest cluster (-1: none).

    At least half of it is tagged with each of ``tags``.
    """

    place: int
    chunk_id: int
    document_id: UUID
    document: str
    title: str | None
    page: int | None
    heading_path: list[str]
    start: int
    end: int
    words: str
    leaf: int
    x: int
    y: int
    excluded: bool
    tags: list[str]


_ROWS = """
    select p.place, p.chunk_id, c.document_id, d.name as document, d.title, c.page, c.heading_path,
           c.start_char as start, c.end_char as end, left(c.text, %(chars)s) as words, p.leaf, p.x, p.y, c.excluded,
           array(
               select s.tag from (
                   select m.tag, range_agg(int4range(m.start_char, m.end_char)) as spans from public.span_marks m
                   where m.document_id = c.document_id and m.kind = 'tag'
                     and m.start_char < c.end_char and m.end_char > c.start_char group by 1
               ) s
               where (
                   select 2 * sum(upper(r) - lower(r)) >= c.end_char - c.start_char
                   from unnest(s.spans * int4multirange(int4range(c.start_char, c.end_char))) r
               )
               order by 1
           ) as tags
    from public.map_points p
    join public.chunks c on c.id = p.chunk_id
    join public.documents d on d.id = c.document_id
    where p.map_id = %(map)s and p.place = any (%(places)s)
    order by p.place
"""


def list_points(
    conn: psycopg.Connection[Any], map_id: int, places: Sequence[int], chars: int = FIRST_CHARS
) -> list[PointRow]:
    """The points at these places that are there and that the person may see, by place."""
    with conn.cursor(row_factory=class_row(PointRow)) as cursor:
        return cursor.execute(_ROWS, {"map": map_id, "places": list(places), "chars": chars}).fetchall()


def read_target(conn: psycopg.Connection[Any], map_id: int, place: int) -> Target | None:
    """Where the passage of a point stands; None when it is gone or isn't shared with the person."""
    row = conn.execute(
        """
        select c.document_id, c.start_char, c.end_char
        from public.map_points p join public.chunks c on c.id = p.chunk_id where p.map_id = %s and p.place = %s
        """,
        [map_id, place],
    ).fetchone()
    return Target(*row) if row else None
