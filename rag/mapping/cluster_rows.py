"""Clusters of a map as people see them: list, rename, have them named. ``conn`` as the person who asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from rag.errors import InvalidInput, NotAllowed

NamingState = Literal["queued", "running", "done", "failed", "cancelled"]
MAX_NAME = 80

#: The leaves of each cluster, and the points that are there now: chunks come and go after a map was made.
_LIST = """
    with recursive standing as (
        select c.* from public.clusters c
        where c.map_id = %(map)s and %(granularity)s between c.coarsest and c.finest
    ), below as (
        select s.cluster as top, s.cluster, s.finest from standing s
        union all
        select b.top, c.cluster, c.finest from below b
        join public.clusters c on c.map_id = %(map)s and c.parent = b.cluster
    ), counted as (
        select p.leaf, count(*) as points from public.map_points p where p.map_id = %(map)s and p.leaf >= 0 group by 1
    ), sizes as (
        select b.top, array_agg(b.cluster order by b.cluster) as leaves, coalesce(sum(n.points), 0)::int as points
        from below b left join counted n on n.leaf = b.cluster where b.finest = 5 group by 1
    )
    select s.cluster as number,
           coalesce(s.name, s.proposed, nullif(s.label, ''), 'Cluster ' || s.cluster + 1) as label,
           s.label as automatic, s.proposed, s.name, s.words,
           case when k.id is null then '' else s.sentence end as sentence, k.id as chunk_id,
           z.points, s.x, s.y, z.leaves, s.parent
    from standing s join sizes z on z.top = s.cluster left join public.chunks k on k.id = s.chunk_id
    order by z.points desc, s.cluster
"""
_GROUPS = """
    with recursive below as (
        select c.cluster as top, c.cluster, c.finest from public.clusters c
        where c.map_id = %(map)s and %(granularity)s between c.coarsest and c.finest
        union all
        select b.top, c.cluster, c.finest from below b
        join public.clusters c on c.map_id = %(map)s and c.parent = b.cluster
    )
    select cluster, top from below where finest = 5 order by 1
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster at a granularity. ``label`` is the name that a person gave, else the proposed or the automatic one.

    ``sentence`` is word for word from ``chunk_id`` and empty where there is none to show; ``points`` are those that
    are there now; ``x``, ``y`` are map units.
    """

    number: int
    label: str
    automatic: str
    proposed: str | None
    name: str | None
    words: list[str]
    sentence: str
    chunk_id: int | None
    points: int
    x: int
    y: int
    leaves: list[int]
    parent: int | None


@dataclass(frozen=True, slots=True)
class Naming:
    """How far the chat model is with naming a map's clusters; ``writer`` is the model."""

    state: NamingState
    named: int
    total: int
    writer: str
    reason: str | None
    hint: str | None
    created_at: datetime

    @property
    def active(self) -> bool:
        """Whether a worker has it or will."""
        return self.state in ("queued", "running")


def list_clusters(conn: Connection[Any], map_id: int, granularity: int) -> list[Cluster]:
    """The clusters at a granularity, 1 coarse to 5 fine, largest first. None of a map that one may not see."""
    with conn.cursor(row_factory=class_row(Cluster)) as cursor:
        return cursor.execute(_LIST, {"map": map_id, "granularity": granularity}).fetchall()


def leaf_groups(conn: Connection[Any], map_id: int, granularity: int) -> dict[int, int]:
    """The cluster that each leaf is in at a granularity; at 5 each is its own."""
    return dict(conn.execute(_GROUPS, {"map": map_id, "granularity": granularity}).fetchall())


def rename_cluster(conn: Connection[Any], map_id: int, cluster: int, name: str | None) -> None:
    """Give a cluster a name; None or blanks take it back, and the proposed or automatic label stands again."""
    given = " ".join((name or "").split()) or None
    if given and len(given) > MAX_NAME:
        raise InvalidInput(f"A name has at most {MAX_NAME} characters.")
    if not conn.execute(
        "update public.clusters set name = %s where map_id = %s and cluster = %s", [given, map_id, cluster]
    ).rowcount:
        raise NotAllowed("That cluster is gone, or you may not name it.", hint="Ask an owner for editing.")


def request_names(conn: Connection[Any], map_id: int) -> bool:
    """Ask the chat model for names; False when it is at it already."""
    with _refusals():
        row = conn.execute("select public.name_clusters(%s)", [map_id]).fetchone()
    return bool(row and row[0])


def stop_naming(conn: Connection[Any], map_id: int) -> bool:
    """Ask the worker to stop; names that are there stay. False when there was nothing to stop."""
    row = conn.execute("select public.stop_naming(%s)", [map_id]).fetchone()
    return bool(row and row[0])


def read_naming(conn: Connection[Any], map_id: int) -> Naming | None:
    """The latest request for names; None where there was none."""
    with conn.cursor(row_factory=class_row(Naming)) as cursor:
        return cursor.execute(
            "select state, named, total, writer, reason, hint, created_at from public.cluster_namings"
            " where map_id = %s",
            [map_id],
        ).fetchone()


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise InvalidInput(error.diag.message_primary, hint="Wait until the map's labels are done.") from error
