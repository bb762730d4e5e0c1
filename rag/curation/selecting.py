"""What a selection on a map holds, under the viewer's policies. ``conn`` runs as the person who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.curation.selections import Selection, slice_polygon
from rag.mapping.distinctive_words import distinctive

__all__ = ["Sample", "Selection", "Span", "Summary", "resolve", "selected_places", "summarise"]

#: How many chunks stand for a large selection where its words are looked for.
_READ = 600
_SAMPLES = 4


class Span(NamedTuple):
    """A selected passage: characters ``start`` to ``end`` (exclusive) of a document's text."""

    chunk_id: int
    document_id: UUID
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One of the passages, as its text begins."""

    chunk_id: int
    document_id: UUID
    title: str
    page: int | None
    text: str
    start: int
    end: int
    excluded: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """``chunks`` points of ``documents`` documents, ``excluded`` of them out of search.

    ``words`` are the distinctive ones with their scores (against the rest of the index, or against ``other`` if that
    was given), ``titles`` the documents with most points there, with how many.
    """

    chunks: int
    documents: int
    excluded: int
    words: list[tuple[str, float]]
    samples: list[Sample]
    titles: list[tuple[str, int]]


def resolve(conn: Connection[Any], map_id: int, selection: Selection) -> list[Span]:
    """The passages of the selected points that are still there, in the order of the texts."""
    chosen, values = _chosen(map_id, selection)
    rows = conn.execute(
        (f"with chosen as materialized ({chosen})" + _SPANS).encode(),
        values,
    ).fetchall()
    return [Span(*row) for row in rows]


def selected_places(conn: Connection[Any], map_id: int, selection: Selection) -> list[int]:
    """The places of the selected points."""
    chosen, values = _chosen(map_id, selection)
    rows = conn.execute(
        (f"with chosen as materialized ({chosen})" + " select array_agg(place) from chosen").encode(), values
    )
    row = rows.fetchone()
    return list(row[0]) if row and row[0] else []


def summarise(conn: Connection[Any], map_id: int, selection: Selection, other: Selection | None = None) -> Summary:
    """What is selected, in figures, words and samples; its words against those of ``other`` where that is given.

    Of many chunks some are read for the words, always the same ones.
    """
    found = _count(conn, map_id, selection)
    if not found.chunks:
        return Summary(0, 0, 0, [], [], [])
    against = _count(conn, map_id, other).some if other is not None else None
    words = distinctive(conn, found.index_id, found.some, against=against)
    titles = _read_titles(conn, found)
    return Summary(found.chunks, found.documents, found.excluded, words, _read_samples(conn, found.some), titles)


class _Counted(NamedTuple):
    """``some`` are ids of chunks spread by a hash; ``largest`` the documents with most of them, ``shares`` how many."""

    chunks: int
    documents: int
    excluded: int
    some: list[int]
    largest: list[UUID]
    shares: list[int]
    index_id: int


def _count(conn: Connection[Any], map_id: int, selection: Selection) -> _Counted:
    chosen, values = _chosen(map_id, selection)
    row = conn.execute(
        (f"with chosen as materialized ({chosen})" + _COUNTS).encode(),
        values | {"read": _READ},
    ).fetchone()
    return _Counted(*row) if row else _Counted(0, 0, 0, [], [], [], 0)


def _read_samples(conn: Connection[Any], ids: Sequence[int]) -> list[Sample]:
    with conn.cursor(row_factory=class_row(Sample)) as cursor:
        return cursor.execute(
            """
            select c.id as chunk_id, c.document_id, coalesce(d.title, d.name) as title, c.page,
                   left(c.text, 400) as text, c.start_char as start, c.end_char as "end", c.excluded
            from unnest(%s::bigint[]) with ordinality as u (id, n)
            join public.chunks c on c.id = u.id join public.documents d on d.id = c.document_id order by u.n limit %s
            """,
            [list(ids[:40]), _SAMPLES],
        ).fetchall()


def _read_titles(conn: Connection[Any], found: _Counted) -> list[tuple[str, int]]:
    return conn.execute(
        "select coalesce(d.title, d.name), u.points"
        " from unnest(%s::uuid[], %s::int[]) with ordinality as u (id, points, n)"
        " join public.documents d on d.id = u.id order by u.n",
        [found.largest, found.shares],
    ).fetchall()


_POINTS = "select p.place, p.chunk_id, p.document_id from public.map_points p where p.map_id = %(map)s"
_BELOW = (
    _POINTS
    + """
      and p.leaf in (
          with recursive below as (
              select c.cluster, c.finest from public.clusters c
              where c.map_id = %(map)s and c.cluster = any (%(numbers)s)
              union select c.cluster, c.finest from below b
              join public.clusters c on c.map_id = %(map)s and c.parent = b.cluster
          ) select cluster from below where finest = 5
      )
"""
)


def _chosen(map_id: int, selection: Selection) -> tuple[str, dict[str, Any]]:
    """A query of the selected points (place, chunk_id, document_id), and its values."""
    values: dict[str, Any] = {"map": map_id, "numbers": list(selection.numbers), "documents": list(selection.documents)}
    match selection.kind:
        case "polygon":
            edges = slice_polygon(selection.corners)
            xs = [x for x, _ in selection.corners]
            box = {"left": min(xs), "right": max(xs), "low": edges.heights[0], "high": edges.heights[-1]}
            values |= box | {
                "heights": edges.heights,
                "slabs": edges.slabs,
                "xs": edges.x,
                "ys": edges.y,
                "slopes": edges.slope,
            }
            return _POLYGON, values
        case "clusters":
            return _BELOW, values
        case "documents":
            return _POINTS + " and p.document_id = any (%(documents)s::uuid[])", values
        case "chunks":
            return _POINTS + " and p.chunk_id = any (%(numbers)s::bigint[])", values
        case "places":
            return _POINTS + " and p.place = any (%(numbers)s::bigint[])", values


#: What is asked of the chosen points.
_SPANS = """
    select c.id, c.document_id, c.start_char, c.end_char from chosen s join public.chunks c on c.id = s.chunk_id
    order by c.document_id, c.start_char, c.id
"""
_COUNTS = """, picked as (
        select chunk_id from chosen order by hashint8(chunk_id), chunk_id limit %(read)s
    ), shares as materialized (
        select document_id, count(*) as points from chosen group by 1
    ), largest as (
        select document_id, points from shares order by points desc, document_id limit 8
    )
    select (select coalesce(sum(points), 0)::int from shares), (select count(*) from shares),
           (select count(*) from chosen where chunk_id in (
               select c.id from public.chunks c where c.index_id = m.index_id and c.excluded
           )),
           coalesce((select array_agg(chunk_id) from picked), '{}'),
           coalesce((select array_agg(document_id order by points desc, document_id) from largest), '{}'),
           coalesce((select array_agg(points::int order by points desc, document_id) from largest), '{}'),
           m.index_id
    from public.maps m where m.id = %(map)s
"""

#: The box first; then, of each point, the sides in its slab that lie to its right are counted.
_POLYGON = """
    with edges as materialized (
        select * from unnest(%(slabs)s::int[], %(xs)s::float8[], %(ys)s::float8[], %(slopes)s::float8[])
            as e (slab, x, y, slope)
    ), boxed as materialized (
        select p.place, p.chunk_id, p.document_id, p.x, p.y, width_bucket(p.y, %(heights)s::int[]) as slab
        from public.map_points p
        where p.map_id = %(map)s and p.x between %(left)s and %(right)s and p.y between %(low)s and %(high)s
    ), inside as (
        select b.place from boxed b join edges e on e.slab = b.slab and e.x + (b.y - e.y) * e.slope > b.x
        group by b.place having count(*) %% 2 = 1
    )
    select b.place, b.chunk_id, b.document_id from boxed b join inside using (place)
"""
