"""A thread that works on one queue, job by job: claim, handle, and end it whatever happened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from psycopg import Connection

from rag.errors import CorpuscopeError, DatabaseUnavailable, ModelNotReady, ProviderBusy
from rag.work import jobs
from rag.work.jobs import Job, Queue
from rag.work.leases import Lease, LeaseLost
from rag.work.workplace import Stopping, Workplace

log = logging.getLogger(__name__)

#: Does the work of a job. Returning means done; raising means "try again later".
Handle = Callable[[Job, Lease], None]

#: Says to a person that a job was given up on: (connection, job, reason, hint). The message goes with it.
GiveUp = Callable[[Connection[Any], Job, str, str], None]

_MODEL_PAUSE_S = 5.0


class JobLoop:
    """Works on ``queue`` until the worker stops. ``killed`` is what to say of a job that killed its workers."""

    def __init__(self, workplace: Workplace, queue: Queue, handle: Handle, give_up: GiveUp, *, killed: str) -> None:
        self.workplace = workplace
        self.queue = queue
        self.handle = handle
        self.give_up = give_up
        self.killed = killed

    def run(self) -> None:
        """Work until the worker stops."""
        while not self.workplace.stop.is_set():
            seen = self.workplace.wakeup.count(self.queue)
            if not self.step():
                self.wait(seen)

    def wait(self, seen: int) -> None:
        """Until the bell has rung more than ``seen`` times, something is due, or it is time to look again."""
        self.workplace.wakeup.wait(self.queue, seen, self.workplace.persist(self._look_ahead))

    def step(self, taken: Callable[[], AbstractContextManager[None]] = nullcontext) -> bool:
        """Do one job, within ``taken()``; False when there is none."""
        job = self.workplace.persist(self._claim)
        if job is None:
            return False
        if job.kills >= jobs.KILLS_LIMIT:
            self.workplace.persist(partial(self._end, partial(self._bury, job)))
            return True
        with taken(), self.workplace.heartbeat.busy(), self.workplace.keeper.holding([job]) as lease:
            self.workplace.persist(partial(self._end, self._try(job, lease)))
        return True

    def _claim(self) -> Job | None:
        with self.workplace.database.as_worker() as conn:
            found = jobs.claim(conn, self.queue, lease_s=self.workplace.keeper.lease_s)
        return found[0] if found else None

    def _look_ahead(self) -> float:
        with self.workplace.database.as_worker() as conn:
            return jobs.seconds_until_due(conn, self.queue)

    def _end(self, outcome: Callable[[Connection[Any]], None]) -> None:
        with self.workplace.database.as_worker() as conn:
            outcome(conn)

    def _try(self, job: Job, lease: Lease) -> Callable[[Connection[Any]], None]:
        """Do the work; returns how the job ends."""
        try:
            self.handle(job, lease)
        except (Stopping, LeaseLost, DatabaseUnavailable) as error:
            # Of a job that another worker took over meanwhile, giving it back changes nothing.
            log.info("A job of queue %s was interrupted: %s", job.queue, error)
            return lambda conn: jobs.put_off(conn, [job])
        except ProviderBusy as error:
            pause = error.retry_after or self.workplace.backoff.delay(job.returned + 1)
            return lambda conn: jobs.put_off(conn, [job], pause)
        except ModelNotReady as error:
            log.info("%s %s", error, error.hint)
            return lambda conn: jobs.put_off(conn, [job], _MODEL_PAUSE_S)
        except Exception as error:
            log.exception("A job of queue %s failed.", job.queue)
            return partial(self._fail, job, error)
        if self.workplace.stop.is_set():
            # It may have ended early; if not, the next look finds nothing left to do.
            return lambda conn: jobs.put_off(conn, [job])
        return lambda conn: jobs.finish(conn, [job])

    def _fail(self, job: Job, error: Exception, conn: Connection[Any]) -> None:
        attempts = jobs.fail(conn, job, str(error), self.workplace.backoff.delay(job.attempts + 1))
        if attempts < jobs.ATTEMPTS_LIMIT:
            return
        if isinstance(error, CorpuscopeError):
            self.give_up(conn, job, str(error), error.hint)
        else:
            self.give_up(conn, job, f"This failed unexpectedly: {type(error).__name__}.", "The log has the details.")

    def _bury(self, job: Job, conn: Connection[Any]) -> None:
        self.give_up(conn, job, self.killed, "Retry it; if that fails again, leave this file out.")
