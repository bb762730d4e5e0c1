"""How far a collection's documents have come, how fast, and what they wait for."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import psycopg
from psycopg.rows import class_row, tuple_row

from rag.records import FINAL_STAGES, Stage, WorkerStatus

#: All that a document goes through, in order.
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a collection.

    ``chunks`` and ``embedded`` are of the documents that are not finished; ``embedded_total`` is of all, so it only
    grows while work goes on: feed that to a :class:`RateMeter`. ``longest_wait_s`` is of documents that no worker
    took up yet, None when there are none. While ``stamp`` is the same, nobody has changed anything that a list of the
    documents shows, so a live view may keep the list that it has: each change of a row renews its xmin.
    """

    stages: dict[Stage, int]
    paused: int
    chunks: int
    embedded: int
    embedded_total: int
    waiting: int
    longest_wait_s: float | None
    stamp: str
    worker: WorkerStatus
    at: datetime

    @property
    def documents(self) -> int:
        """All documents of the collection."""
        return sum(self.stages.values())

    @property
    def unfinished(self) -> int:
        """Documents that have not reached a final stage, paused ones included."""
        return sum(n for stage, n in self.stages.items() if stage not in FINAL_STAGES)

    @property
    def remaining(self) -> int | None:
        """Chunks still to be embedded, those of unread documents estimated from the finished; None without any."""
        unread = self.stages["stored"] + self.stages["parsing"] + self.stages["chunking"]
        known = self.chunks - self.embedded
        if not unread:
            return known
        ready = self.stages["ready"]
        return known + round(unread * (self.embedded_total - self.embedded) / ready) if ready else None

    @property
    def active(self) -> bool:
        """Whether something is still to be done without a person's doing: then a live view should keep ticking."""
        return self.unfinished > self.paused


def read_progress(conn: psycopg.Connection[Any], collection_id: UUID) -> Progress:
    """Count a collection's documents and chunks, and ask after the workers, in one short query."""
    # One round trip and rows by position: every open page asks this each second.
    with conn.cursor(row_factory=tuple_row, binary=True) as cursor:
        row = cursor.execute(_COUNTS, {"collection": collection_id}).fetchone()
    assert row is not None
    stages, paused, chunks, embedded, embedded_total, waiting, longest_wait_s, stamp, *worker, at = row
    stages = dict.fromkeys(STAGES, 0) | (stages or {})
    status = WorkerStatus(*worker)
    return Progress(stages, paused, chunks, embedded, embedded_total, waiting, longest_wait_s, stamp, status, at)


_COUNTS = """
    with d as (
        select d.stage, count(*)::int as n, count(*) filter (where d.paused)::int as paused,
               sum(x.chunk_count)::int as chunks, sum(x.embedded_count)::int as embedded,
               sum(d.xmin::text::bigint) as changed, sum(x.xmin::text::bigint) as advanced,
               count(*) filter (where d.stage = 'stored' and not d.paused)::int as waiting,
               min(d.stage_at) filter (where d.stage = 'stored' and not d.paused) as waiting_since
        from public.documents d
        join public.collections c on c.id = d.collection_id
        left join public.index_documents x on x.index_id = c.active_index_id and x.document_id = d.id
        where d.collection_id = %(collection)s
        group by d.stage
    )
    select p.*, w.*, clock_timestamp() as at
    from (
        select jsonb_object_agg(stage, n) as stages, coalesce(sum(paused), 0)::int as paused,
               coalesce(sum(chunks) filter (where stage not in ('ready', 'failed', 'cancelled')), 0)::int as chunks,
               coalesce(sum(embedded) filter (where stage not in ('ready', 'failed', 'cancelled')), 0)::int as embedded,
               coalesce(sum(embedded), 0)::int as embedded_total, coalesce(sum(waiting), 0)::int as waiting,
               extract(epoch from clock_timestamp() - min(waiting_since))::float8 as longest_wait_s,
               concat_ws('/', sum(n), sum(changed), sum(advanced)) as stamp
        from d
    ) p, public.worker_status() w
"""


def read_worker_status(conn: psycopg.Connection[Any]) -> WorkerStatus:
    """What the workers say of themselves."""
    with conn.cursor(row_factory=class_row(WorkerStatus)) as cursor:
        status = cursor.execute("select * from public.worker_status()").fetchone()
    assert status is not None
    return status


class RateMeter:
    """Chunks per second over the last ``window_s`` seconds, from looks at a counter that grows."""

    def __init__(self, window_s: float = 20.0) -> None:
        self._window_s = window_s
        self._looks: deque[tuple[float, int]] = deque()

    def feed(self, time: float, n: int) -> None:
        """Note that the counter stood at ``n`` at ``time`` (seconds of any clock). A falling counter starts anew."""
        if self._looks and n < self._looks[-1][1]:
            self._looks.clear()
        self._looks.append((time, n))
        # One look older than the window stays, so that the rate always spans all of it.
        while len(self._looks) > 2 and self._looks[1][0] <= time - self._window_s:
            self._looks.popleft()

    @property
    def rate(self) -> float | None:
        """Per second; None before there are two looks at least half a second apart."""
        if len(self._looks) < 2:
            return None
        (first, before), (last, now) = self._looks[0], self._looks[-1]
        return (now - before) / (last - first) if last - first >= 0.5 else None

    def eta(self, remaining: int) -> float | None:
        """Seconds until ``remaining`` more are done; None while nothing moves."""
        return remaining / self.rate if self.rate else None


def describe(progress: Progress, rate: float | None = None) -> str:
    """What goes on, in a sentence or two; ``rate`` in chunks per second. Empty when everything is finished."""
    if not progress.active:
        return f"{_documents(progress.paused)} paused." if progress.paused else ""
    work = " · ".join(part for part in (_describe_embedding(progress, rate), _describe_waiting(progress)) if part)
    return f"{_describe_hindrance(progress)} {work}".strip()


def _describe_hindrance(progress: Progress) -> str:
    worker = progress.worker
    if not worker.alive:
        return "No worker is running: start one with `corpuscope worker`."
    if worker.waiting_until is not None and worker.waiting_until > progress.at:
        until = worker.waiting_until.astimezone().strftime("%H:%M")
        return f"Waiting for the provider until {until}: {(worker.waiting_reason or 'it is busy').rstrip('.')}."
    if worker.loading >= worker.alive:
        return "The model is still loading."
    return ""


def _describe_embedding(progress: Progress, rate: float | None) -> str:
    if not progress.chunks:
        reading = progress.stages["parsing"] + progress.stages["chunking"]
        return f"Reading {_documents(reading)}" if reading else ""
    parts = [f"Embedding {progress.embedded:,} of {progress.chunks:,} chunks"]
    if rate and progress.worker.alive:
        parts.append(f"{rate:,.0f}/s" if rate >= 9.95 else f"{rate:.1f}/s")
        if progress.remaining is not None:
            parts.append(f"about {describe_duration(progress.remaining / rate)} left")
    return " · ".join(parts)


def _describe_waiting(progress: Progress) -> str:
    if not progress.waiting or progress.longest_wait_s is None:
        return ""
    longest = f"the longest for {describe_duration(progress.longest_wait_s)}"
    verb = "waits" if progress.waiting == 1 else "wait"
    return f"{_documents(progress.waiting)} {verb} to be read, {longest}"


def _documents(n: int) -> str:
    return f"{n:,} document" if n == 1 else f"{n:,} documents"


def describe_duration(seconds: float) -> str:
    """A length of time as one says it: "8 s", "1 min 30 s", "2 h 5 min"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        whole = round(whole / 10) * 10 if whole > 90 else whole
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(whole / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
