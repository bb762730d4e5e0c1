"""The worker parses, embeds, answers, evaluates and maps. Any number of workers on any hosts share the queue."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from psycopg import Connection

from rag.chat.answering import answer_message, fail_answer
from rag.chat.live_updates import is_broadcasting
from rag.chunks.tokens import TokenCounter
from rag.corpus.bucket import Bucket, open_bucket
from rag.errors import ModelError
from rag.mapping.mapmaker import MapMaker
from rag.reading.languages import detect_language
from rag.reading.parsed import ParseLimits
from rag.reading.parsing import Parser
from rag.settings import Settings
from rag.store.database import Database
from rag.vectors.embedders import Embedder, load_embedder, load_tokens
from rag.vectors.modelpool import Load, WaitingEmbedder
from rag.vectors.registration import register_model
from rag.work import jobs
from rag.work.broadcasting import keep_broadcasting
from rag.work.crew import Crew
from rag.work.embedloop import EmbedLoop
from rag.work.evaluating import evaluate_loop
from rag.work.heartbeat import Heartbeat
from rag.work.ingesting import IngestTools, ingest, mark_failed
from rag.work.jobloop import JobLoop
from rag.work.jobs import Backoff, Job, Queue
from rag.work.leases import Lease, LeaseKeeper
from rag.work.mapping import map_loop
from rag.work.modelnotes import ModelNotes, WatchedPool, note_baseline
from rag.work.moving_originals import keep_originals
from rag.work.upkeep import keep_up
from rag.work.wakeup import WakeUp
from rag.work.workplace import Stopping, Workplace

log = logging.getLogger(__name__)

ALL_QUEUES: tuple[Queue, ...] = ("ingest", "embed", "answer", "evaluate", "map")

#: Answers that one worker writes side by side: threads that wait for work, and at most. They mostly wait for a model.
ANSWER_THREADS = (2, 24)
#: Seconds that threads get to end what they are doing when the worker is told to stop.
STOP_LIMIT_S = 8.0

_PARSE_KILLED = "The worker stopped unexpectedly while reading this file."
_ANSWER_KILLED = "The worker stopped unexpectedly while answering."
_FIRST_RESTART_S = 0.5
_LONGEST_RESTART_S = 30.0


def run_worker(
    settings: Settings,
    database: Database,
    *,
    stop: threading.Event,
    load_embedder: Load[Embedder] = load_embedder,
    load_tokens: Load[TokenCounter] = load_tokens,
    queues: Sequence[Queue] = ALL_QUEUES,
    lease_s: float = jobs.LEASE_S,
    backoff: Backoff | None = None,
) -> bool:
    """Work until ``stop`` is set; True if every thread ended in time.

    Threads that hang are daemons and hold no process; their jobs come back when the leases run out.
    """
    notes = ModelNotes()
    workplace = Workplace(
        database,
        WatchedPool(settings, load_embedder, load_tokens, notes),
        LeaseKeeper(database, lease_s),
        Heartbeat(database),
        WakeUp(queues),
        stop,
        backoff or Backoff(),
    )
    over = threading.Event()
    companions = [
        _start("heartbeat", partial(workplace.heartbeat.run, over), over),
        _start("leases", partial(workplace.keeper.run, over), over),
    ]
    bucket = open_bucket(settings)
    threads = [_start(name, target, stop) for name, target in _duties(workplace, settings, queues, bucket)]
    threads.append(_start("model notes", partial(notes.keep, workplace), stop))
    # With a limit, so that a signal's handler runs: an endless wait would keep it out on some systems.
    while not stop.wait(1.0):
        continue
    workplace.heartbeat.announce_stop()
    workplace.wakeup.ring()
    ended = _join(threads, STOP_LIMIT_S)
    over.set()
    workplace.heartbeat.wake()
    _join(companions, 1.0)
    if bucket is not None:
        bucket.close()
    workplace.heartbeat.leave()
    return ended


def _duties(
    workplace: Workplace, settings: Settings, queues: Sequence[Queue], bucket: Bucket | None
) -> list[tuple[str, Callable[[], None]]]:
    """What the threads do, by name."""
    duties: list[tuple[str, Callable[[], None]]] = [
        ("listen", partial(workplace.wakeup.listen, workplace.database, workplace.stop)),
        ("model", partial(_prepare_model, workplace, settings)),
        ("upkeep", partial(keep_up, workplace.database, workplace.stop)),
    ]
    if is_broadcasting(settings):
        duties.append(("broadcasts", partial(keep_broadcasting, workplace.database, workplace.stop)))
    if bucket is not None:
        to_bucket = settings.originals == "supabase"
        duties.append(
            (
                "originals",
                partial(keep_originals, workplace.database, bucket, workplace.stop, to_bucket=to_bucket),
            )
        )
    if "ingest" in queues:
        count = 1 if (os.cpu_count() or 1) <= 2 else 2
        duties += [(f"ingest-{n}", partial(_run_ingest, workplace, settings, bucket)) for n in range(1, count + 1)]
    if "embed" in queues:
        duties.append(("embed", EmbedLoop(workplace).run))
    if "answer" in queues:
        duties.append(("answer", Crew(_answer_loop(workplace, settings), *ANSWER_THREADS).run))
    if "evaluate" in queues:
        duties.append(("evaluate", evaluate_loop(workplace, settings).run))
    if "map" in queues:
        duties.append(("map", partial(_run_maps, workplace, settings)))
    return duties


def _start(name: str, target: Callable[[], None], stop: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=_guarded, args=(name, target, stop), name=name, daemon=True)
    thread.start()
    return thread


def _guarded(name: str, target: Callable[[], None], stop: threading.Event) -> None:
    """Run ``target``; if a bug ends it, say so and start it again, less and less eagerly."""
    pause = _FIRST_RESTART_S
    while not stop.is_set():
        began = time.monotonic()
        try:
            target()
        except Stopping:
            return
        except Exception:
            pause = _FIRST_RESTART_S if time.monotonic() - began > 60 else min(2 * pause, _LONGEST_RESTART_S)
            log.exception("The thread %s failed; it starts again in %.0f s.", name, pause)
            stop.wait(pause)
        else:
            return


def _join(threads: Sequence[threading.Thread], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            log.warning("The thread %s did not end in time.", thread.name)
    return not any(thread.is_alive() for thread in threads)


def _run_ingest(workplace: Workplace, settings: Settings, bucket: Bucket | None) -> None:
    """One ingest thread with a parser process of its own."""
    with Parser(ParseLimits.from_settings(settings)) as parser:
        tools = IngestTools(
            parse=lambda path, name, cancelled: parser.parse(path, name, cancelled=cancelled),
            tokens=workplace.models.tokens,
            detect_language=detect_language,
            originals=bucket,
        )

        def handle(job: Job, lease: Lease) -> None:
            if document := job.subject("document"):
                ingest(workplace.database, document, tools, lambda: workplace.stop.is_set() or lease.lost)

        JobLoop(workplace, "ingest", handle, give_up_document, killed=_PARSE_KILLED).run()


def _run_maps(workplace: Workplace, settings: Settings) -> None:
    """The thread of maps with a process of its own that computes them."""
    with MapMaker(settings.corpuscope_home) as maker:
        map_loop(workplace, settings, maker).run()


def give_up_document(conn: Connection[Any], job: Job, reason: str, hint: str) -> None:
    """List the job, and let its document fail if it is not finished."""
    document = job.subject("document")
    if document is not None:
        mark_failed(conn, document, reason, hint, "internal")
    jobs.record_given_up(
        conn, job, reason=reason, hint=hint, document_id=document, attempts=max(job.attempts, job.kills)
    )


def _answer_loop(workplace: Workplace, settings: Settings) -> JobLoop:
    embedder = WaitingEmbedder(workplace.models)

    def handle(job: Job, lease: Lease) -> None:
        if message := job.subject("message"):
            still_ours = partial(_is_ours, workplace, lease)
            answer_message(
                workplace.database,
                embedder,
                settings,
                message,
                still_ours=still_ours,
                embedder_for=workplace.models.question_embedder,
            )

    return JobLoop(workplace, "answer", handle, give_up_answer, killed=_ANSWER_KILLED)


def _is_ours(workplace: Workplace, lease: Lease) -> bool:
    """Whether an answer should go on: not once another worker has it, nor when this one stops."""
    return not (lease.lost or workplace.stop.is_set())


def give_up_answer(conn: Connection[Any], job: Job, reason: str, hint: str) -> None:
    """Say in the chat that there will be no answer."""
    if message := job.subject("message"):
        # What the queue says of files helps nobody here.
        fail_answer(conn, message, reason, "Try again; if it fails again, the log has more." if job.kills else hint)
    jobs.finish(conn, [job])


def _prepare_model(workplace: Workplace, settings: Settings) -> None:
    """Register the default model, load it, and measure its baseline once. What fails is tried again."""
    heartbeat = workplace.heartbeat
    heartbeat.load("Loading the embedding model.")
    failures = 0
    while not workplace.stop.is_set():
        try:
            workplace.persist(partial(register_model, workplace.database, settings))
            embedder = workplace.models.default_embedder()
        except ModelError as error:
            log.error("%s %s", error, error.hint)
            failures += 1
            pause = workplace.backoff.delay(failures)
            heartbeat.wait(pause, f"{error} {error.hint}".strip())
            workplace.stop.wait(pause)
        else:
            heartbeat.wait(0, "")
            heartbeat.load("")
            note_baseline(workplace.database, workplace.persist, embedder)
            return
