"""Maps of an index as people see them: ask for one, watch, cancel, read, delete. ``conn`` is of the person who asks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rag.errors import InvalidInput, NotAllowed, NotFound

MapState = Literal["queued", "running", "done", "failed", "cancelled"]
Phase = Literal["reading", "neighbours", "layout", "clusters", "labels", "measuring"]

#: The phases in their order. The points are saved, and can be seen, from ``clusters`` on.
PHASES: tuple[Phase, ...] = ("reading", "neighbours", "layout", "clusters", "labels", "measuring")
#: States in which a worker has something to do.
UNFINISHED: frozenset[MapState] = frozenset({"queued", "running"})
#: Largest coordinate on either axis; both have the same scale, and the larger extent fills the square.
EXTENT = 65535

_COLUMNS = (
    "m.id, m.collection_id, m.index_id, m.state, m.phase, m.done, m.total, m.settings as stored_settings, m.seed,"
    " m.points, m.trustworthiness, m.version, m.timings, m.reason, m.hint, m.created_by, m.created_at, m.started_at,"
    " m.drawn_at, m.finished_at, clock_timestamp() as at, c.present, c.later, c.missing"
)
_FROM = "from public.maps m cross join lateral corpuscope.map_counts(m.id) c"


@dataclass(frozen=True, slots=True)
class MapSettings:
    """What a person may choose. ``neighbours`` is UMAP's n_neighbors, 2 to 200; ``min_dist`` from 0 to 0.99."""

    neighbours: int = 15
    min_dist: float = 0.1


@dataclass(frozen=True, slots=True)
class Staleness:
    """How far a map is behind its index.

    ``new`` chunks have a vector but no point yet, ``gone`` points lost their chunk, ``placed`` were put among their
    neighbours later, without making the map anew.
    """

    new: int
    gone: int
    placed: int

    def __bool__(self) -> bool:
        return bool(self.new or self.gone or self.placed)


@dataclass(frozen=True, slots=True)
class CorpusMap:
    """One map. ``done`` of ``total`` are the steps of its phase; ``points`` counts places, those now empty too.

    ``trustworthiness`` is Trustworthiness@15, None until it is measured; ``timings`` has seconds by phase and how the
    figures were come by. ``at`` is when the row was read, by the clock that the other times are of.
    """

    id: int
    collection_id: UUID
    index_id: int
    state: MapState
    phase: Phase | None
    done: int
    total: int
    stored_settings: dict[str, Any]
    seed: int
    points: int
    trustworthiness: float | None
    version: int
    timings: dict[str, Any]
    reason: str | None
    hint: str | None
    created_by: UUID | None
    created_at: datetime
    started_at: datetime | None
    drawn_at: datetime | None
    finished_at: datetime | None
    at: datetime
    present: int | None
    later: int | None
    missing: int | None

    @property
    def settings(self) -> MapSettings:
        """What was asked for."""
        return MapSettings(int(self.stored_settings["neighbours"]), float(self.stored_settings["min_dist"]))

    @property
    def drawn(self) -> bool:
        """Whether there is something to see: its points are saved, though names and figures may still come."""
        return self.drawn_at is not None and self.state in ("running", "done")

    @property
    def staleness(self) -> Staleness:
        """How far it is behind its index; nothing as long as it isn't drawn."""
        if self.present is None:
            return Staleness(0, 0, 0)
        return Staleness(self.missing or 0, self.points - self.present, self.later or 0)


def request_map(
    conn: Connection[Any], collection_id: UUID, settings: MapSettings | None = None, index_id: int | None = None
) -> int:
    """Queue a map of the index, of the active one if none is named; its id.

    :class:`NotAllowed` unless the person may edit, :class:`InvalidInput` for settings out of range, where nothing has a
    vector, or where a map of the index is being made already.
    """
    values = [collection_id, Jsonb(asdict(settings or MapSettings())), index_id]
    try:
        row = conn.execute("select public.start_map(%s, %s, %s)", values).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(error.diag.message_primary, hint="Ask an owner for editing.") from error
    except psycopg.errors.NoDataFound as error:
        raise NotFound(error.diag.message_primary) from error
    except (psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.CheckViolation) as error:
        raise InvalidInput(error.diag.message_primary, hint=error.diag.message_hint) from error
    assert row is not None
    return int(row[0])


def cancel_map(conn: Connection[Any], map_id: int) -> bool:
    """Stop making it; False when there was nothing to stop."""
    row = conn.execute("select public.cancel_map(%s)", [map_id]).fetchone()
    return bool(row and row[0])


def delete_map(conn: Connection[Any], map_id: int) -> None:
    """Delete it with its points and names; :class:`NotAllowed` for those who may only look."""
    if not conn.execute("delete from public.maps where id = %s", [map_id]).rowcount:
        read_map(conn, map_id)
        raise NotAllowed("You may look at this map but not delete it.", hint="Ask an owner for editing.")


def list_maps(conn: Connection[Any], collection_id: UUID, limit: int = 50) -> list[CorpusMap]:
    """The collection's maps, the newest first, in whatever state they are."""
    with conn.cursor(row_factory=class_row(CorpusMap)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} {_FROM} where m.collection_id = %s order by m.id desc limit %s", [collection_id, limit]
        ).fetchall()


def read_map(conn: Connection[Any], map_id: int) -> CorpusMap:
    """One map; :class:`NotFound` when it is gone or isn't shared with the person."""
    with conn.cursor(row_factory=class_row(CorpusMap)) as cursor:
        found = cursor.execute(f"select {_COLUMNS} {_FROM} where m.id = %s", [map_id]).fetchone()
    if found is None:
        raise NotFound("That map is gone, or it isn't shared with you.")
    return found


def latest_map(conn: Connection[Any], collection_id: UUID) -> CorpusMap | None:
    """The newest map of the active index that can be looked at; None if there is none yet.

    A map can be looked at before its names and figures are there: its ``state`` is ``running`` then.
    """
    with conn.cursor(row_factory=class_row(CorpusMap)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} {_FROM} join public.collections o on o.id = m.collection_id"
            " and o.active_index_id = m.index_id where m.collection_id = %s and m.drawn_at is not null"
            " and m.state in ('running', 'done') order by m.id desc limit 1",
            [collection_id],
        ).fetchone()


def unfinished_map(conn: Connection[Any], collection_id: UUID) -> CorpusMap | None:
    """The newest map of the collection that is queued or being made; None if there is none."""
    with conn.cursor(row_factory=class_row(CorpusMap)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} {_FROM} where m.collection_id = %s and m.state in ('queued', 'running')"
            " order by m.id desc limit 1",
            [collection_id],
        ).fetchone()
