"""The queue of maps: maps to make, chunks to place on them, what is said of them. A message says by its key which."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from rag.health import health_job, health_rows
from rag.mapping import label_proposals, map_job, map_rows, naming_rows
from rag.mapping.map_job import MapErrand
from rag.mapping.mapmaker import MapMaker
from rag.settings import Settings
from rag.work import jobs
from rag.work.jobloop import JobLoop
from rag.work.jobs import Job
from rag.work.leases import Lease
from rag.work.workplace import Workplace

log = logging.getLogger(__name__)

_KILLED = "The worker stopped unexpectedly over this, several times."


@dataclass(frozen=True)
class Kind:
    """One kind of job. ``work`` gets the number from the message; ``give_up`` is told (conn, number, reason, hint).

    ``work`` ends what can't be done in its own row, in words; what it raises is tried again later.
    """

    work: Callable[[MapErrand, int], None]
    give_up: Callable[[Connection[Any], int, str, str], None]


def _forget(_conn: Connection[Any], number: int, reason: str, _hint: str) -> None:
    """Placing is asked for again by itself: there is no row to say it in."""
    log.warning("Chunks could not be placed on map %d: %s", number, reason)


#: By the key of the message.
KINDS: dict[str, Kind] = {
    "map": Kind(map_job.make_map, map_rows.fail_map),
    "place": Kind(map_job.place_new, _forget),
    "labels": Kind(label_proposals.name_clusters, naming_rows.fail_naming),
    "health": Kind(health_job.check_health, health_rows.fail_check),
}


def map_loop(workplace: Workplace, settings: Settings, maker: MapMaker) -> JobLoop:
    """What one thread of a worker does. There is one: a map takes all that the machine has."""

    def handle(job: Job, lease: Lease) -> None:
        errand = MapErrand(
            workplace.database,
            workplace.models,
            settings,
            lambda: not (lease.lost or workplace.stop.is_set()),
            maker,
        )
        for kind, number in _subjects(job):
            kind.work(errand, number)

    return JobLoop(workplace, "map", handle, give_up, killed=_KILLED)


def give_up(conn: Connection[Any], job: Job, reason: str, hint: str) -> None:
    """Let what the job is about say why it ended."""
    for kind, number in _subjects(job):
        kind.give_up(conn, number, reason, hint)
    jobs.finish(conn, [job])


def _subjects(job: Job) -> list[tuple[Kind, int]]:
    found = [(kind, number) for key, kind in KINDS.items() if (number := job.number(key)) is not None]
    if not found:
        log.warning("Nobody knows what to do with message %d of queue %s.", job.id, job.queue)
    return found
