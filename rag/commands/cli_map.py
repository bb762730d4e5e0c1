"""`corpuscope map`: make a map of a collection, list the maps, say how far one is, cancel or delete one."""

from __future__ import annotations

from argparse import Namespace

from rag.commands.cli_output import Output, table
from rag.commands.cli_session import Session, open_session
from rag.corpus.collections import find_collection
from rag.errors import InvalidInput
from rag.mapping.maps import (
    PHASES,
    UNFINISHED,
    CorpusMap,
    MapSettings,
    cancel_map,
    delete_map,
    list_maps,
    read_map,
    request_map,
)
from rag.settings import Settings

_DOING = {
    "reading": "Reading vectors",
    "neighbours": "Finding neighbours",
    "layout": "Laying out",
    "clusters": "Finding clusters",
    "labels": "Naming clusters",
    "measuring": "Measuring",
}


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """What the first argument says."""
    actions = {"make": _make, "list": _list, "status": _status, "cancel": _cancel, "delete": _delete}
    with open_session(settings, out) as session:
        return actions[arguments.action](arguments, session, out)


def _make(arguments: Namespace, session: Session, out: Output) -> int:
    """Ask for a map; with --wait, until it is made."""
    defaults = MapSettings()
    wanted = MapSettings(
        defaults.neighbours if arguments.neighbours is None else arguments.neighbours,
        defaults.min_dist if arguments.min_dist is None else arguments.min_dist,
    )
    with session.as_user() as conn:
        collection = find_collection(conn, arguments.collection).id
        number = request_map(conn, collection, wanted, arguments.index)
    out.say(f"Map {number} is being made.")
    if arguments.wait:
        _wait(session, number, out)
    return _tell(session, number, out)


def _wait(session: Session, number: int, out: Output) -> None:
    def finished() -> bool:
        with session.as_user() as conn:
            found = read_map(conn, number)
        out.show(_progress(found))
        return found.state not in UNFINISHED

    session.wait(finished)


def _list(arguments: Namespace, session: Session, out: Output) -> int:
    with session.as_user() as conn:
        found = list_maps(conn, find_collection(conn, arguments.collection).id)
    header = ("map", "index", "state", "points", "new", "gone", "neighbours", "min. distance", "trust", "made")
    rows = [
        (
            one.id,
            one.index_id,
            one.state,
            one.points,
            one.staleness.new,
            one.staleness.gone,
            one.settings.neighbours,
            one.settings.min_dist,
            "" if one.trustworthiness is None else f"{one.trustworthiness:.3f}",
            f"{one.created_at:%Y-%m-%d %H:%M}",
        )
        for one in found
    ]
    out.result({"maps": [_fields(one) for one in found]}, table(rows, header))
    return 0


def _status(arguments: Namespace, session: Session, out: Output) -> int:
    """Say how far a map is; with --wait, until it is made."""
    number = _number(arguments, session)
    if arguments.wait:
        _wait(session, number, out)
    return _tell(session, number, out)


def _cancel(arguments: Namespace, session: Session, out: Output) -> int:
    number = _number(arguments, session)
    with session.as_user() as conn:
        if not cancel_map(conn, number):
            raise InvalidInput(f"Map {number} isn't being made.")
    return _tell(session, number, out, fine=("cancelled",))


def _delete(arguments: Namespace, session: Session, out: Output) -> int:
    number = _number(arguments, session)
    with session.as_user() as conn:
        delete_map(conn, number)
    out.result({"map": number, "state": "deleted"}, f"Map {number} is deleted.")
    return 0


def _number(arguments: Namespace, session: Session) -> int:
    """The map that is named; of the collection, else nothing is done."""
    with session.as_user() as conn:
        known = [one.id for one in list_maps(conn, find_collection(conn, arguments.collection).id)]
    if arguments.map in known:
        return int(arguments.map)
    if arguments.map is None and arguments.action == "status" and known:
        return known[0]
    raise InvalidInput(
        "Which map?" if arguments.map is None else f"The collection has no map {arguments.map}.",
        hint="See: corpuscope map list --collection NAME",
    )


def _tell(session: Session, number: int, out: Output, fine: tuple[str, ...] = ("queued", "running", "done")) -> int:
    with session.as_user() as conn:
        found = read_map(conn, number)
    out.result(_fields(found), _progress(found))
    return 0 if found.state in fine else 1


def _progress(found: CorpusMap) -> str:
    """Where it is, in words."""
    if found.state == "queued":
        return f"Map {found.id} waits for a worker."
    if found.state == "done":
        stale = found.staleness
        trust = "" if found.trustworthiness is None else f", trustworthiness {found.trustworthiness:.3f}"
        late = f"; {stale.new:,} new chunks are not on it yet" if stale.new else ""
        gone = f"; {stale.gone:,} of its points are gone" if stale.gone else ""
        return " ".join([f"Map {found.id}: {found.points:,} points{trust}{late}{gone}.", found.reason or ""]).strip()
    if found.state != "running" or found.phase is None:
        return " ".join([f"Map {found.id}: {found.state}.", found.reason or "", found.hint or ""]).strip()
    share = f": {found.done:,} of {found.total:,}" if found.total else ""
    return f"Map {found.id}, step {PHASES.index(found.phase) + 1} of {len(PHASES)}: {_DOING[found.phase]}{share}"


def _fields(found: CorpusMap) -> dict[str, object]:
    return {
        "map": found.id,
        "index": found.index_id,
        "state": found.state,
        "phase": found.phase,
        "done": found.done,
        "total": found.total,
        "neighbours": found.settings.neighbours,
        "min_dist": found.settings.min_dist,
        "points": found.points,
        "new": found.staleness.new,
        "gone": found.staleness.gone,
        "placed_later": found.staleness.placed,
        "trustworthiness": None if found.trustworthiness is None else round(found.trustworthiness, 4),
        "timings": found.timings,
        "reason": found.reason,
        "hint": found.hint,
    }
