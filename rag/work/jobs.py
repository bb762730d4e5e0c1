"""The queue as leases: claim, extend, finish, put off, fail, split, give up. ``conn`` runs as the worker.

A lease is pgmq's visibility timeout. Whoever reads a message raises its ``read_ct``: a job changes the message only
while that number is still the one it got, so a job that lost its lease can do no harm.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

Queue = Literal["ingest", "embed", "answer", "evaluate", "map"]

#: Seconds that a message stays with its reader; extended while work runs, so it only matters after a kill.
LEASE_S = 30.0
#: Failures of one job before it is given up on.
ATTEMPTS_LIMIT = 8
#: Readers that died over one job before it is given up on; twice before a batch is split.
KILLS_LIMIT = 5
KILLS_BEFORE_SPLIT = 2
#: Pieces that a batch is split into.
PIECES = 8

# Locked in one order: the keeper of the leases and the end of the work touch the same messages.
_OURS = """
    with ours as materialized (
        select q.msg_id from {table} q join unnest(%s::bigint[], %s::int[]) as u (id, reads)
        on q.msg_id = u.id and q.read_ct = u.reads order by q.msg_id for update of q
    )
"""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before trying again: growing, bounded, and spread so that retries don't come together."""

    first_s: float = 2.0
    growth: float = 2.5
    longest_s: float = 600.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures, at least one."""
        return min(self.first_s * self.growth ** (failures - 1), self.longest_s) * random.uniform(0.75, 1.25)


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed message. ``attempts`` counts failures, ``returned`` all claims that ended in order before this one."""

    queue: Queue
    id: int
    message: dict[str, Any]
    reads: int
    attempts: int
    returned: int

    @property
    def kills(self) -> int:
        """How often a reader of this message died or lost it."""
        return max(0, self.reads - 1 - self.returned)

    @property
    def chunks(self) -> list[int]:
        """The chunks that an embed job names; a message that nobody understands names none."""
        named = self.message.get("chunks")
        return [id for id in named if type(id) is int] if isinstance(named, list) else []

    def subject(self, key: str) -> UUID | None:
        """The document or message that a job is about; None if the message doesn't say."""
        try:
            return UUID(self.message[key])
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def number(self, key: str) -> int | None:
        """What a job is about where that has a number; None if the message doesn't say."""
        named = self.message.get(key)
        return named if type(named) is int else None


def claim(conn: Connection[Any], queue: Queue, *, limit: int = 1, lease_s: float = LEASE_S) -> list[Job]:
    """Lease up to ``limit`` visible messages, oldest first."""
    with conn.cursor(row_factory=class_row(Job)) as cursor:
        rows = cursor.execute(
            """
            select %(queue)s as queue, r.msg_id as id, r.message, r.read_ct as reads,
                   coalesce(a.attempts, 0) as attempts, coalesce(a.returned, 0) as returned
            from pgmq.read(%(queue)s, %(lease)s, %(limit)s) r
            left join corpuscope.job_attempts a on a.queue = %(queue)s and a.msg_id = r.msg_id
            order by r.msg_id
            """,
            {"queue": queue, "lease": max(1, round(lease_s)), "limit": limit},
        )
        return rows.fetchall()


def seconds_until_due(conn: Connection[Any], queue: Queue) -> float:
    """When a put-off message becomes visible next, or the lease of a dead worker runs out; infinite if never."""
    row = conn.execute(
        sql.SQL("select extract(epoch from min(vt) - clock_timestamp())::float8 from {}").format(_table(queue))
    ).fetchone()
    return float("inf") if row is None or row[0] is None else max(0.0, float(row[0]))


def extend(conn: Connection[Any], jobs: Sequence[Job], lease_s: float) -> set[tuple[Queue, int]]:
    """Extend the leases; the (queue, id) of those that were still ours."""
    ours: set[tuple[Queue, int]] = set()
    for queue, some in _by_queue(jobs):
        ours |= {(queue, id) for id in _hide(conn, queue, some, lease_s)}
    return ours


def finish(conn: Connection[Any], jobs: Iterable[Job]) -> None:
    """The work is done, or there is nothing left to do: the messages go."""
    for queue, some in _by_queue(jobs):
        ids, reads = _keys(some)
        conn.execute(
            sql.SQL(_OURS + "delete from {table} q using ours where q.msg_id = ours.msg_id").format(
                table=_table(queue)
            ),
            [ids, reads],
        )
        conn.execute("delete from corpuscope.job_attempts where queue = %s and msg_id = any (%s)", [queue, ids])


def put_off(conn: Connection[Any], jobs: Iterable[Job], delay_s: float = 0.0) -> None:
    """Give the messages back for later without blaming them: a busy provider, a worker that stops."""
    for queue, some in _by_queue(jobs):
        ours = _hide(conn, queue, some, delay_s)
        _note(conn, queue, ours, failures=0, error="")


def fail(conn: Connection[Any], job: Job, error: str, delay_s: float) -> int:
    """Count a failure and try again after ``delay_s``; the failures so far."""
    attempts = job.attempts + 1
    ours = _hide(conn, job.queue, [job], delay_s)
    _note(conn, job.queue, ours, failures=1, error=error)
    return attempts


def split(conn: Connection[Any], job: Job) -> None:
    """Replace a batch of chunks by smaller batches; what makes a worker die is alone in the end."""
    chunks = job.chunks
    size = max(1, -(-len(chunks) // PIECES))
    pieces = [Jsonb({"chunks": chunks[start : start + size]}) for start in range(0, len(chunks), size)]
    conn.execute("select corpuscope.send_jobs(%s, %s::jsonb[])", [job.queue, pieces])
    finish(conn, [job])


def record_given_up(
    conn: Connection[Any], job: Job, *, reason: str, hint: str, document_id: UUID | None = None, attempts: int = 0
) -> None:
    """List a job that was given up on for a person, and take its message out of the queue."""
    conn.execute(
        """
        insert into public.failed_jobs (queue, message, collection_id, document_id, reason, hint, attempts)
        select %(queue)s, %(message)s, (select collection_id from public.documents where id = %(document)s),
               (select id from public.documents where id = %(document)s), %(reason)s, %(hint)s, %(attempts)s
        """,
        {
            "queue": job.queue,
            "message": Jsonb(job.message),
            "document": document_id,
            "reason": reason,
            "hint": hint,
            "attempts": attempts,
        },
    )
    finish(conn, [job])


def forget_old_attempts(conn: Connection[Any]) -> None:
    """Drop the counts of messages that are gone by other ways than :func:`finish`."""
    for queue in get_args(Queue):
        conn.execute(
            sql.SQL(
                "delete from corpuscope.job_attempts a where a.queue = {} and a.updated_at < now() - interval '1 hour'"
                " and not exists (select from {} q where q.msg_id = a.msg_id)"
            ).format(sql.Literal(queue), _table(queue))
        )


def _hide(conn: Connection[Any], queue: Queue, jobs: Sequence[Job], delay_s: float) -> list[int]:
    ids, reads = _keys(jobs)
    rows = conn.execute(
        sql.SQL(
            _OURS + "update {table} q set vt = clock_timestamp() + make_interval(secs => %s)"
            " from ours where q.msg_id = ours.msg_id returning q.msg_id"
        ).format(table=_table(queue)),
        [ids, reads, delay_s],
    )
    return [id for (id,) in rows]


def _note(conn: Connection[Any], queue: Queue, ids: list[int], *, failures: int, error: str) -> None:
    conn.execute(
        """
        insert into corpuscope.job_attempts as a (queue, msg_id, attempts, returned, last_error)
        select %(queue)s, unnest(%(ids)s::bigint[]), %(failures)s, 1, %(error)s
        on conflict (queue, msg_id) do update
        set attempts = a.attempts + excluded.attempts, returned = a.returned + 1, updated_at = now(),
            last_error = case when excluded.last_error = '' then a.last_error else excluded.last_error end
        """,
        {"queue": queue, "ids": ids, "failures": failures, "error": error},
    )


def _by_queue(jobs: Iterable[Job]) -> list[tuple[Queue, list[Job]]]:
    queues: dict[Queue, list[Job]] = {}
    for job in jobs:
        queues.setdefault(job.queue, []).append(job)
    return list(queues.items())


def _keys(jobs: Sequence[Job]) -> tuple[list[int], list[int]]:
    return [job.id for job in jobs], [job.reads for job in jobs]


def _table(queue: str) -> sql.Identifier:
    return sql.Identifier("pgmq", f"q_{queue}")
