"""The queue of evaluation: runs, questions to draft, settings to search for. A message says by its key which it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from rag.evaluation import draft_requests, drafting, run_rows, running, tuning_job, tuning_rows
from rag.evaluation.errand import Errand
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

    work: Callable[[Errand, int], None]
    give_up: Callable[[Connection[Any], int, str, str], None]


#: By the key of the message.
KINDS: dict[str, Kind] = {
    "run": Kind(running.run, run_rows.fail_run),
    "draft": Kind(drafting.draft, draft_requests.fail_request),
    "tuning": Kind(tuning_job.tune, tuning_rows.fail_tuning),
}


def evaluate_loop(workplace: Workplace, settings: Settings) -> JobLoop:
    """What one thread of a worker does. There is one: side by side, runs would measure each other's haste."""

    def handle(job: Job, lease: Lease) -> None:
        errand = Errand(
            workplace.database, workplace.models, settings, lambda: not (lease.lost or workplace.stop.is_set())
        )
        for kind, number in _subjects(job):
            kind.work(errand, number)

    return JobLoop(workplace, "evaluate", handle, give_up, killed=_KILLED)


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
