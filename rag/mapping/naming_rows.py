"""A request to name the clusters of a map, as the worker carries it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.evaluation.errand import ErrandEnded


@dataclass(frozen=True, slots=True)
class NamingRequest:
    """``named`` clusters are done already, in the order of :func:`read_unnamed`."""

    map_id: int
    named: int
    asker: UUID | None


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A cluster with what its name may be made of: passages in its thick, cut."""

    number: int
    words: list[str]
    sentence: str
    passages: list[str]


# As the worker ---------------------------------------------------------------------------------------------------


def begin_naming(conn: Connection[Any], map_id: int, writer: str) -> NamingRequest | None:
    """Take it up, or go on with it; None when it is over or gone."""
    with conn.cursor(row_factory=class_row(NamingRequest)) as cursor:
        return cursor.execute(
            "update public.cluster_namings set state = 'running', writer = %s, reason = null, hint = null,"
            " touched_at = now() where map_id = %s and state in ('queued', 'running')"
            " returning map_id, named, created_by as asker",
            [writer, map_id],
        ).fetchone()


def note_named(conn: Connection[Any], map_id: int, named: int, total: int) -> None:
    """How many clusters were looked at. :class:`ErrandEnded` when it is not to go on."""
    if not conn.execute(
        "update public.cluster_namings set named = %s, total = %s, reason = null, touched_at = now()"
        " where map_id = %s and state = 'running'",
        [named, total, map_id],
    ).rowcount:
        raise ErrandEnded


def store_proposals(conn: Connection[Any], map_id: int, names: Mapping[int, str]) -> None:
    """Write the proposed names of clusters, by their numbers."""
    conn.execute(
        "update public.clusters c set proposed = u.name from unnest(%s::int[], %s::text[]) u (cluster, name)"
        " where c.map_id = %s and c.cluster = u.cluster",
        [list(names), list(names.values()), map_id],
    )


def finish_naming(conn: Connection[Any], map_id: int) -> None:
    """All are named that could be."""
    conn.execute(
        "update public.cluster_namings set state = 'done', touched_at = now() where map_id = %s and state = 'running'",
        [map_id],
    )


def note_naming_waits(conn: Connection[Any], map_id: int, reason: str) -> None:
    """Say why nothing happens for a while."""
    conn.execute(
        "update public.cluster_namings set reason = %s, touched_at = now() where map_id = %s and state = 'running'",
        [reason, map_id],
    )


def fail_naming(conn: Connection[Any], map_id: int, reason: str, hint: str) -> None:
    """Given up on: why, and what to do. Names that are there stay."""
    conn.execute(
        "update public.cluster_namings set state = 'failed', reason = %s, hint = %s, touched_at = now()"
        " where map_id = %s and state in ('queued', 'running')",
        [reason, hint or None, map_id],
    )


# As the person who asked -----------------------------------------------------------------------------------------

_UNNAMED = """
    with recursive chosen as (
        select c.* from public.clusters c where c.map_id = %(map)s and c.cluster = any (%(clusters)s)
    ), below as (
        select c.cluster as top, c.cluster from chosen c
        union all
        select b.top, c.cluster from below b join public.clusters c on c.map_id = %(map)s and c.parent = b.cluster
    )
    select c.cluster as number, c.words, case when c.chunk_id is null then '' else c.sentence end as sentence,
           array (
               select left(k.text, %(longest)s)
               from public.map_points p join public.chunks k on k.id = p.chunk_id
               where p.map_id = %(map)s and p.leaf = any (array (select b.cluster from below b where b.top = c.cluster))
                 and not k.excluded
               order by (p.x - c.x)::bigint ^ 2 + (p.y - c.y)::bigint ^ 2, p.place limit %(passages)s
           ) as passages
    from chosen c order by c.coarsest, c.cluster
"""


def list_nameable(conn: Connection[Any], map_id: int) -> list[int]:
    """The numbers of all clusters of a map, coarse ones first."""
    rows = conn.execute(
        "select cluster from public.clusters where map_id = %s order by coarsest, cluster", [map_id]
    ).fetchall()
    return [number for (number,) in rows]


def read_unnamed(
    conn: Connection[Any], map_id: int, clusters: Sequence[int], *, passages: int, longest: int
) -> list[Unnamed]:
    """Some clusters with up to ``passages`` texts, cut to ``longest`` characters."""
    with conn.cursor(row_factory=class_row(Unnamed)) as cursor:
        return cursor.execute(
            _UNNAMED, {"map": map_id, "clusters": list(clusters), "passages": passages, "longest": longest}
        ).fetchall()
