"""The worker as a whole: what it says of itself, what it survives, how it stops."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from uuid import UUID

import pytest

from rag.errors import DatabaseUnavailable, InvalidInput, ModelError, ModelNotReady, ProviderBusy
from rag.settings import Settings, load_settings
from rag.store.database import Database
from rag.vectors.embedders import Embedder, load_embedder, load_tokens
from rag.vectors.modelpool import ModelPool
from rag.work import embedding, jobs, upkeep
from rag.work.heartbeat import Heartbeat
from rag.work.jobloop import Handle, JobLoop
from rag.work.jobs import Backoff, Job
from rag.work.leases import Lease, LeaseKeeper
from rag.work.wakeup import POLL_S, WakeUp
from rag.work.worker import ALL_QUEUES, _guarded, give_up_document
from rag.work.workplace import Stopping, Workplace
from tests.integration.workshop import Workshop, prose, wait_for

IMPATIENT = Backoff(first_s=0.02, growth=1.1)


@pytest.fixture
def shop(database: Database, alice: UUID) -> Workshop:
    return Workshop(database, load_settings(None), alice)


@pytest.fixture
def workplace(shop: Workshop) -> Workplace:
    """A worker's shared things without its threads."""
    pool = ModelPool(shop.settings, lambda settings: shop.embedder, load_tokens)
    heartbeat = Heartbeat(shop.database)
    keeper = LeaseKeeper(shop.database)
    return Workplace(shop.database, pool, keeper, heartbeat, WakeUp(ALL_QUEUES), threading.Event(), IMPATIENT)


def test_a_worker_says_what_it_does_and_leaves_no_trace(shop: Workshop) -> None:
    load_slowly = threading.Event()

    def load(settings: Settings) -> Embedder:
        assert load_slowly.wait(30)
        return shop.embedder

    states = "select state, detail from corpuscope.workers"
    with shop.working(load_embedder=load):
        wait_for(lambda: shop.rows(states) == [("loading model", "Loading the embedding model.")])
        assert shop.rows("select alive, loading, busy from public.worker_status()") == [(1, 1, 0)]
        load_slowly.set()
        wait_for(lambda: shop.rows(states) == [("idle", "")])
    assert shop.rows(states) == []
    assert shop.rows("select alive from public.worker_status()") == [(0,)]


def test_files_are_parsed_while_the_model_still_loads(shop: Workshop) -> None:
    loaded = threading.Event()

    def load(settings: Settings) -> Embedder:
        assert loaded.wait(30)
        return shop.embedder

    document = shop.store("a.txt", prose(20))
    with shop.working(load_embedder=load):
        wait_for(lambda: shop.stage(document) == "embedding")
        assert shop.value("select count(*) from public.embeddings") == 0
        loaded.set()
        wait_for(shop.is_finished)
    assert shop.stage(document) == "ready"


def test_a_model_that_cannot_be_had_is_said_and_tried_again(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(5))
    broken = threading.Event()

    def load(settings: Settings) -> Embedder:
        if not broken.is_set():
            raise ModelError("The weights are gone.", hint="Fetch them.")
        return shop.embedder

    with shop.working(load_embedder=load, backoff=Backoff(first_s=0.5, growth=1.0)):
        reason = "select waiting_reason from public.worker_status()"
        wait_for(lambda: str(shop.value(reason)).startswith("The weights are gone."))
        broken.set()
        wait_for(shop.is_finished)
    assert shop.stage(document) == "ready"
    assert shop.value("select count(*) from public.failed_jobs") == 0


def test_the_similarity_of_unrelated_texts_is_measured_once(shop: Workshop) -> None:
    measured = "select random_mean, random_p95 from public.embedding_models where name like 'all-%%'"
    shop.work_until(lambda: shop.rows(measured) != [(None, None)])
    [(mean, p95)] = shop.rows(measured)
    assert -0.1 < mean < p95 < 0.5
    with shop.database.as_owner() as conn:
        conn.execute("update public.embedding_models set random_mean = 0.25")
    shop.finish()
    assert shop.rows(measured)[0][0] == 0.25


def test_a_waiting_worker_stops_at_once_and_gives_its_jobs_back(shop: Workshop) -> None:
    shop.store("a.txt", prose(100))

    def busy(texts: object) -> None:
        raise ProviderBusy("Later.", retry_after=600)

    shop.embedder.before = busy
    with shop.working():
        wait_for(lambda: shop.value("select count(*) from corpuscope.workers where state = 'waiting'") == 1)
        began = time.monotonic()
    assert time.monotonic() - began < 15
    assert shop.value("select max(vt) > now() + interval '500 s' from pgmq.q_embed")


def test_a_worker_stops_between_slices_and_another_goes_on(shop: Workshop) -> None:
    shop.store("a.txt", prose(300))
    stop_now = threading.Event()
    with shop.working() as stop:

        def before(texts: object) -> None:
            stop.set()
            stop_now.set()

        shop.embedder.before = before
        assert stop_now.wait(30)
    asked = sum(shop.embedder.asked.values())
    assert 0 < asked <= 128
    assert shop.value("select bool_and(vt <= clock_timestamp()) from pgmq.q_embed")
    shop.embedder.before = lambda texts: None
    shop.finish()
    shop.check_vectors()
    assert set(shop.embedder.asked.values()) == {1}


def test_the_real_model_end_to_end(shop: Workshop, tmp_path: Path) -> None:
    """Exporting, loading, encoding and writing, without any stand-in."""
    shop.settings = shop.settings.model_copy(update={"corpuscope_home": tmp_path})
    document = shop.store("heron.md", "# Birds\n\nThe heron fishes in shallow water.\n\n# Stones\n\nGranite is hard.")
    shop.finish(load_embedder=load_embedder)
    assert shop.stage(document) == "ready"
    embedder = load_embedder(shop.settings)
    [(text, context, vector)] = shop.rows(
        "select text, context, embedding::text from public.chunks c"
        " join public.embeddings e on e.chunk_id = c.id limit 1"
    )
    expected = embedder.embed_passages([f"{context}\n{text}" if context else text])[0]
    found = [float(number) for number in vector.strip("[]").split(",")]
    assert sum(a * b for a, b in zip(found, expected, strict=True)) > 0.999


# Jobs that fail, and jobs that kill -----------------------------------------------------------------------------------


def loop_of(workplace: Workplace, handle: Handle) -> JobLoop:
    return JobLoop(workplace, "ingest", handle, give_up_document, killed="It killed the worker.")


def work_off(loop: JobLoop, shop: Workshop) -> None:
    """Do jobs until none is left, however long they were put off."""
    while shop.value("select count(*) from pgmq.q_ingest"):
        with shop.database.as_owner() as conn:
            conn.execute("update pgmq.q_ingest set vt = clock_timestamp()")
        assert loop.step()
    assert not loop.step()


@pytest.mark.parametrize(
    ("error", "reason"),
    [(InvalidInput("These settings are odd."), "These settings are odd."), (KeyError("x"), "KeyError")],
)
def test_a_job_that_keeps_failing_is_given_up_on_in_words(
    shop: Workshop, workplace: Workplace, error: Exception, reason: str
) -> None:
    document = shop.store("a.txt", "x")
    tries: list[int] = []

    def handle(job: Job, lease: Lease) -> None:
        tries.append(job.attempts)
        raise error

    work_off(loop_of(workplace, handle), shop)
    assert tries == list(range(jobs.ATTEMPTS_LIMIT))
    [(stage, said, code)] = shop.rows("select stage, error, error_code from public.documents")
    assert (stage, code) == ("failed", "internal")
    assert reason in said
    assert shop.rows("select queue, document_id, reason from public.failed_jobs") == [("ingest", document, said)]
    shop.run("select public.retry_documents(array [%s])", document)
    assert shop.value("select count(*) from public.failed_jobs") == 0
    shop.finish()
    assert shop.stage(document) == "ready"


def test_interruptions_are_not_blamed_on_the_job(shop: Workshop, workplace: Workplace) -> None:
    shop.store("a.txt", "x")
    errors = [DatabaseUnavailable(), Stopping(), ModelNotReady(), ProviderBusy(), None] * 4

    def handle(job: Job, lease: Lease) -> None:
        if error := errors.pop(0):
            raise error

    loop = loop_of(workplace, handle)
    for n in range(1, 5):
        with shop.database.as_owner() as conn:
            conn.execute("update pgmq.q_ingest set vt = clock_timestamp()")
        assert loop.step()
        assert shop.rows("select attempts, returned from corpuscope.job_attempts") == [(0, n)]
    work_off(loop, shop)
    assert shop.value("select count(*) from public.failed_jobs") == 0


def test_a_file_that_kills_its_workers_is_given_up_on(shop: Workshop, workplace: Workplace) -> None:
    document = shop.store("a.txt", "x")
    begun: list[int] = []

    class Killed(BaseException):
        """What kill -9 does: nothing after it runs."""

    def handle(job: Job, lease: Lease) -> None:
        begun.append(job.kills)
        raise Killed

    for _ in range(jobs.KILLS_LIMIT):
        with pytest.raises(Killed):
            work_off(loop_of(workplace, handle), shop)
    work_off(loop_of(workplace, handle), shop)
    assert begun == list(range(jobs.KILLS_LIMIT))
    assert shop.rows("select stage, error from public.documents") == [("failed", "It killed the worker.")]
    assert shop.value("select document_id from public.failed_jobs") == document


def test_a_chunk_that_kills_its_workers_is_isolated_and_given_up_on(shop: Workshop) -> None:
    """Simulated where the kill hits: jobs are claimed, and nobody ever ends them."""
    shop.store("a.txt", prose(200))
    shop.work_until(lambda: shop.value("select count(*) from pgmq.q_embed") > 1, queues=("ingest",))
    poison = shop.value("select id from public.chunks where text like '%%Paragraph 0-99 %%' limit 1")
    deaths = 0
    while shop.value("select count(*) from pgmq.q_embed"):
        with shop.database.as_owner() as conn:
            conn.execute("update pgmq.q_embed set vt = clock_timestamp()")
        with shop.database.as_worker() as conn:
            held = embedding.weed_out(conn, jobs.claim(conn, "embed", limit=4))
        if any(poison in job.chunks for job in held):
            deaths += 1
            continue
        with shop.database.as_worker() as conn:
            pieces = embedding.find_missing(conn, embedding.chunk_ids(held))
            if pieces:
                embedding.store(conn, {piece: shop.embedder.vector(piece.input) for piece in pieces})
            jobs.finish(conn, held)
    assert deaths <= 2 * jobs.KILLS_BEFORE_SPLIT + jobs.KILLS_LIMIT
    assert shop.rows("select chunk_id, attempts from public.failed_jobs") == [(poison, jobs.KILLS_LIMIT)]
    assert "unexpectedly" in shop.value("select reason from public.failed_jobs")
    shop.check_vectors()


# Upkeep ---------------------------------------------------------------------------------------------------------------


def test_dead_workers_are_removed_and_live_ones_stay(shop: Workshop, workplace: Workplace) -> None:
    workplace.heartbeat.beat()
    dead = Heartbeat(shop.database)
    dead.beat()
    with shop.database.as_worker() as conn:
        conn.execute(
            "update corpuscope.workers set heartbeat_at = now() - interval '2 minutes' where id = %s", [dead.id]
        )
        upkeep.bury_the_dead(conn)
    assert shop.rows("select id from corpuscope.workers") == [(workplace.heartbeat.id,)]


def test_lost_chunks_are_found_and_excused_ones_are_not(shop: Workshop) -> None:
    document, paused = shop.store("a.txt", prose(9)), shop.store("b.txt", prose(9, seed=1))
    shop.work_until(lambda: shop.stage(document) == shop.stage(paused) == "embedding", queues=("ingest",))
    shop.run("select public.pause_documents(array [%s])", paused)
    with shop.database.as_owner() as conn:
        conn.execute("delete from pgmq.q_embed")
    with shop.database.as_worker() as conn:
        count = conn.execute("select count(*) from public.chunks where document_id = %s", [document]).fetchone()
        for expected in (count, (0,)):
            assert conn.execute("select corpuscope.requeue_missing('0 s')").fetchone() == expected


def test_every_step_of_upkeep_runs_as_the_worker(shop: Workshop) -> None:
    shop.store("a.txt", prose(9))
    shop.finish()
    shop.run("delete from public.chunks where ordinal < 3")
    for step in upkeep.STEPS:
        with shop.database.as_worker() as conn:
            step(conn)


# Threads --------------------------------------------------------------------------------------------------------------


def test_a_thread_that_dies_of_a_bug_is_started_again_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    runs: list[int] = []

    def buggy() -> None:
        runs.append(1)
        if len(runs) < 2:
            raise ZeroDivisionError("a bug")

    _guarded("demo", buggy, stop)
    assert len(runs) == 2
    assert "The thread demo failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_ring_between_two_waits_is_not_lost() -> None:
    bells = WakeUp(["ingest", "embed"])
    seen = bells.count("embed")
    bells.ring("embed")
    began = time.monotonic()
    bells.wait("embed", seen)
    assert time.monotonic() - began < 0.5 * POLL_S
    assert bells.count("ingest") == 0
    bells.ring()
    assert bells.count("ingest") == 1


def test_the_database_rings_when_work_is_queued(shop: Workshop) -> None:
    bells, stop = WakeUp(ALL_QUEUES), threading.Event()
    thread = threading.Thread(target=bells.listen, args=(shop.database, stop))
    thread.start()
    try:
        wait_for(lambda: shop.value("select count(*) from pg_stat_activity where query like 'listen%%'") > 0)
        assert bells.count("ingest") == 0
        shop.store("a.txt", "x")
        wait_for(lambda: bells.count("ingest") == 1)
        assert bells.count("embed") == 0
    finally:
        stop.set()
        thread.join()
