"""The bytes of the channels that say what people marked: tags, exclusions, judgements; and what lags behind."""

from __future__ import annotations

import numpy as np

from rag.mapping.channel_values import GATHER, MOST_OWN, Bytes, Connection, MapSize, lay_over, present_values
from rag.mapping.overlays import run_overlay


def judged_values(conn: Connection, size: MapSize, set_id: int | None) -> Bytes:
    """1 where a judged answer overlaps the chunk, 2 where it was only judged to be none, else 0."""
    row = conn.execute(
        GATHER
        + """
            select p.place, min(case when j.grade > 0 then 1 else 2 end) as value
            from public.judgements j join public.questions q on q.id = j.question_id
            join public.chunks c on c.index_id = %(index)s and c.document_id = j.document_id
                and (j.start_char is null or (c.start_char < j.end_char and c.end_char > j.start_char))
            join public.map_points p on p.map_id = %(map)s and p.chunk_id = c.id
            where j.collection_id = %(collection)s and (%(set)s::bigint is null or q.set_id = %(set)s) group by 1
        ) x
        """,
        {"index": size.index_id, "map": size.id, "collection": size.collection_id, "set": set_id},
    ).fetchone()
    return lay_over(present_values(conn, size), row)


def missed_values(conn: Connection, size: MapSize, run_id: int) -> Bytes:
    """2 where an answer lies that the run missed, 1 where one lies that it found, else 0."""
    found = present_values(conn, size)
    for answer in sorted(run_overlay(conn, size.id, run_id).answers, key=lambda one: not one.found):
        if answer.point is not None:
            found[answer.point.place] = 1 if answer.found else 2
    return found


def lag_values(conn: Connection, size: MapSize) -> Bytes:
    """0 in the layout, 1 placed later, 2 of a document of which some chunks still wait for their vectors."""
    row = conn.execute(
        GATHER
        + """
            select p.place, case when i.document_id is null then 1 else 2 end as value
            from public.map_points p
            left join public.index_documents i
                on i.index_id = %(index)s and i.document_id = p.document_id and i.embedded_count < i.chunk_count
            where p.map_id = %(map)s and (p.placed_later or i.document_id is not null)
        ) x
        """,
        {"index": size.index_id, "map": size.id},
    ).fetchone()
    return lay_over(present_values(conn, size), row)


def excluded_values(conn: Connection, size: MapSize) -> Bytes:
    """1 where the chunk is left out of search, else 0. Only documents with exclusions are looked into."""
    row = conn.execute(
        GATHER
        + """
            select p.place, 1 as value from public.chunks c
            join public.map_points p on p.map_id = %(map)s and p.chunk_id = c.id
            where c.excluded and c.index_id = %(index)s and c.document_id in (
                select m.document_id from public.span_marks m
                where m.collection_id = %(collection)s and m.kind = 'exclusion'
            )
        ) x
        """,
        {"index": size.index_id, "map": size.id, "collection": size.collection_id},
    ).fetchone()
    return lay_over(present_values(conn, size), row)


def tag_values(conn: Connection, size: MapSize) -> tuple[Bytes, list[str]]:
    """0 without a tag, else the number of the tag from 1, and after the last for several or a rarer one; the tags.

    A chunk has a tag when at least half of it lies in spans with that tag, as with exclusions.
    """
    row = conn.execute(
        """
        with spans as (
            select document_id, tag, range_agg(int4range(start_char, end_char)) as spans
            from public.span_marks where collection_id = %(collection)s and kind = 'tag' group by 1, 2
        ), tagged as materialized (
            select p.place, s.tag
            from spans s
            join public.chunks c on c.index_id = %(index)s and c.document_id = s.document_id
            join public.map_points p on p.map_id = %(map)s and p.chunk_id = c.id
            where (
                select 2 * sum(upper(r) - lower(r)) >= c.end_char - c.start_char
                from unnest(s.spans * int4multirange(int4range(c.start_char, c.end_char))) r
            )
        ), numbered as (
            select tag, row_number() over (order by count(*) desc, tag)::int as n
            from tagged group by 1 order by 2 limit %(most)s
        )
        select string_agg(int4send(x.place), ''::bytea), string_agg(int4send(x.value), ''::bytea),
               (select array_agg(n.tag order by n.n) from numbered n)
        from (
            select t.place, case when count(*) = 1 then coalesce(min(n.n), -1) else -1 end as value
            from tagged t left join numbered n using (tag) group by 1
        ) x
        """,
        {"collection": size.collection_id, "index": size.index_id, "map": size.id, "most": MOST_OWN},
    ).fetchone()
    assert row is not None
    tags = row[2] or []
    found = lay_over(present_values(conn, size).astype(np.int32), row[:2])
    return np.where(found == -1, len(tags) + 1, found).astype(np.uint8), tags
