"""The queue as leases, as the worker's role uses it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from rag.store.database import Database
from rag.work import jobs
from rag.work.jobs import Backoff, Job
from rag.work.leases import LeaseKeeper, LeaseLost


@pytest.fixture
def conn(database: Database) -> Iterator[Connection[Any]]:
    """One transaction of a worker's."""
    with database.as_worker() as conn:
        yield conn


def send(conn: Connection[Any], *chunks: int) -> None:
    conn.execute("select corpuscope.send_jobs('embed', array [%s::jsonb])", [Jsonb({"chunks": list(chunks)})])


def claim_one(conn: Connection[Any], lease_s: float = 30) -> Job:
    [job] = jobs.claim(conn, "embed", lease_s=lease_s)
    return job


def show(conn: Connection[Any]) -> None:
    """Make every message visible at once, as time would."""
    conn.execute("update pgmq.q_embed set vt = clock_timestamp()")


def count(conn: Connection[Any], table: str) -> int:
    row = conn.execute(f"select count(*) from {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_a_claimed_job_is_nobody_elses_until_its_lease_runs_out(conn: Connection[Any]) -> None:
    send(conn, 1, 2)
    job = claim_one(conn)
    assert (job.chunks, job.reads, job.attempts, job.kills) == ([1, 2], 1, 0, 0)
    assert jobs.claim(conn, "embed") == []
    show(conn)
    assert claim_one(conn).kills == 1


def test_finished_jobs_are_gone(conn: Connection[Any]) -> None:
    send(conn, 1)
    jobs.fail(conn, claim_one(conn), "first", 0.0)
    jobs.finish(conn, [claim_one(conn)])
    assert count(conn, "pgmq.q_embed") == 0
    assert count(conn, "corpuscope.job_attempts") == 0


def test_who_lost_the_lease_changes_nothing(conn: Connection[Any]) -> None:
    send(conn, 1)
    lost = claim_one(conn)
    show(conn)
    held = claim_one(conn)
    assert jobs.extend(conn, [lost], 99) == set()
    jobs.finish(conn, [lost])
    jobs.put_off(conn, [lost])
    jobs.fail(conn, lost, "late", 0.0)
    assert jobs.claim(conn, "embed") == []
    assert jobs.extend(conn, [held], 99) == {("embed", held.id)}
    assert count(conn, "corpuscope.job_attempts") == 0


def test_failures_are_counted_and_put_offs_are_not_blamed(conn: Connection[Any]) -> None:
    send(conn, 1)
    assert jobs.fail(conn, claim_one(conn), "first", 0.0) == 1
    jobs.put_off(conn, [claim_one(conn)])
    job = claim_one(conn)
    assert (job.attempts, job.returned, job.kills) == (1, 2, 0)
    assert jobs.fail(conn, job, "second", 0.0) == 2
    assert conn.execute("select last_error from corpuscope.job_attempts").fetchone() == ("second",)


def test_a_failed_job_waits_for_its_delay(conn: Connection[Any]) -> None:
    send(conn, 1)
    jobs.fail(conn, claim_one(conn), "no", 60)
    assert jobs.claim(conn, "embed") == []
    show(conn)
    assert claim_one(conn).attempts == 1


@pytest.mark.parametrize(("size", "pieces"), [(64, 8), (9, 5), (8, 8), (2, 2)])
def test_a_batch_is_split_into_fresh_pieces(conn: Connection[Any], size: int, pieces: int) -> None:
    send(conn, *range(size))
    for _ in range(3):
        show(conn)
        job = claim_one(conn)
    jobs.split(conn, job)
    found = jobs.claim(conn, "embed", limit=100)
    assert len(found) == pieces
    assert [id for piece in found for id in piece.chunks] == list(range(size))
    assert {piece.kills for piece in found} == {0}


@pytest.mark.parametrize("message", [{}, {"chunks": None}, {"chunks": "x"}, {"chunks": [True, "1", 2.5]}])
def test_a_message_that_nobody_understands_names_nothing(message: dict[str, Any]) -> None:
    job = Job("embed", 1, message, 1, 0, 0)
    assert job.chunks == []
    assert job.subject("document") is None


def test_delays_grow_to_a_bound() -> None:
    backoff = Backoff()
    delays = [backoff.delay(failures) for failures in range(1, jobs.ATTEMPTS_LIMIT)]
    assert all(later > earlier for earlier, later in pairwise(delays))
    assert sum(delays) > 300
    assert backoff.delay(50) <= 1.25 * backoff.longest_s


def test_what_is_due_next_is_known(conn: Connection[Any]) -> None:
    assert jobs.seconds_until_due(conn, "embed") == float("inf")
    send(conn, 1)
    assert jobs.seconds_until_due(conn, "embed") == 0
    jobs.fail(conn, claim_one(conn), "no", 100)
    assert 90 < jobs.seconds_until_due(conn, "embed") <= 100


def test_counts_of_messages_that_are_gone_are_forgotten(conn: Connection[Any]) -> None:
    send(conn, 1)
    jobs.fail(conn, claim_one(conn), "kept", 0.0)
    conn.execute("insert into corpuscope.job_attempts (queue, msg_id) values ('embed', 999)")
    conn.execute("update corpuscope.job_attempts set updated_at = now() - interval '1 day'")
    jobs.forget_old_attempts(conn)
    assert conn.execute("select last_error from corpuscope.job_attempts").fetchall() == [("kept",)]


def test_the_keeper_extends_what_is_held_and_notices_what_is_lost(database: Database) -> None:
    with database.as_worker() as conn:
        send(conn, 1)
        send(conn, 2)
        kept, lost = jobs.claim(conn, "embed", limit=2, lease_s=1)
    keeper = LeaseKeeper(database, lease_s=60)
    with keeper.holding([kept]) as one, keeper.holding([lost]) as other:
        with database.as_worker() as conn:
            conn.execute("update pgmq.q_embed set read_ct = read_ct + 1 where msg_id = %s", [lost.id])
        keeper.extend()
        assert not one.lost
        one.check()
        assert other.lost
        with pytest.raises(LeaseLost):
            other.check()
    with database.as_worker() as conn:
        rows = conn.execute("select msg_id from pgmq.q_embed where vt > clock_timestamp() + interval '30 s'").fetchall()
    assert rows == [(kept.id,)]


def test_a_lease_that_could_not_be_extended_in_time_is_lost(database: Database) -> None:
    keeper = LeaseKeeper(database, lease_s=0.0)
    with keeper.holding([Job("embed", 1, {}, 1, 0, 0)]) as lease:
        assert lease.lost


@pytest.mark.parametrize("still", ["0 s", "1 hour"])
def test_lost_messages_are_made_again(database: Database, store: Any, still: str) -> None:
    document = store("a.txt", b"some text").document_id
    with database.as_worker() as conn:
        conn.execute("delete from pgmq.q_ingest")
        conn.execute("select corpuscope.requeue_missing(%s::interval)", [still])
        conn.execute("select corpuscope.requeue_missing(%s::interval)", [still])
        found = [job.subject("document") for job in jobs.claim(conn, "ingest", limit=9)]
    assert found == ([document] if still == "0 s" else [])
