"""An answer outlives whatever is killed while it is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from rag.chat.chat_records import AnswerEvent
from rag.chat.chats import create_chat, retry_answer
from rag.chat.feeds import Feed, tail_answer
from rag.store.bootstrap import ensure_user
from rag.store.database import Database, connect, open_embedded
from rag.store.postgres import EmbeddedPostgres
from rag.work.jobs import KILLS_LIMIT
from tests.integration.library import LAKE, PUMP, Library, in_thread, wait_until
from tests.standin_openai import Say, StandInOpenAI

ROOT = Path(__file__).parents[2]
LEASE_S = 2.0
FINAL = "The warranty is 27 months [1]."


@pytest.fixture
def library(database: Database, alice: UUID) -> Library:
    return Library(database, alice, {"pump.txt": PUMP, "lake.txt": LAKE})


@contextmanager
def worker(library: Library, provider: StandInOpenAI) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process of its own; killed at the end of the block if it still runs."""
    database = library.database
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.integration.answer_worker"),
            *(database.app_dsn, database.owner_dsn, provider.base_url, str(LEASE_S)),
        ],
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def feed(library: Library) -> Iterator[Feed]:
    made = Feed(library.database)
    yield made
    made.close()


def wait_for(process: subprocess.Popen[bytes], condition: Callable[[], bool], limit_s: float = 90) -> None:
    """Wait until ``condition`` is true, as long as the worker lives."""

    def check() -> bool:
        assert process.poll() is None, "the worker ended"
        return condition()

    wait_until(check, limit_s)


def text_count(library: Library, message: UUID) -> int:
    return int(library.value("select count(*) from public.message_deltas where message_id = %s", message))


@pytest.mark.drill
def test_a_worker_killed_while_it_writes_is_replaced_and_the_viewer_is_told(library: Library, feed: Feed) -> None:
    provider = StandInOpenAI(chat=[Say(["stale "] * 5000, delay_s=0.05)], default_chat=Say([FINAL]))
    events: list[AnswerEvent] = []
    message = library.ask()

    def watch() -> None:
        events.extend(tail_answer(lambda: library.database.as_user(library.user), feed, message))

    with provider, in_thread(watch):
        with worker(library, provider) as first:
            wait_for(first, lambda: text_count(library, message) > 2)
            first.send_signal(signal.SIGKILL)
            first.wait()
        assert not library.read(message).finished
        with worker(library, provider) as second:
            wait_for(second, lambda: library.read(message).finished)
            wait_for(second, lambda: library.value("select count(*) from pgmq.q_answer") == 0)
    answer = library.read(message)
    assert (answer.phase, answer.content, answer.attempt) == ("complete", FINAL, 2)
    assert answer.phases[0].phase == "restarted"
    assert "started again" in answer.phases[0].detail
    library.check_citations(answer)
    kinds = [event.kind for event in events]
    assert kinds.count("restart") == 1
    after = events[kinds.index("restart") :]
    assert "".join(event.text for event in after) == FINAL
    assert "stale" in "".join(event.text for event in events)
    assert library.value("select count(*) from public.message_deltas where text like '%%stale%%'") == 0


def test_many_conversations_are_answered_side_by_side(library: Library) -> None:
    messages = [library.ask() for _ in range(12)]
    slow = Say([FINAL, *["…"] * 3000], delay_s=0.1)
    with StandInOpenAI(default_chat=slow) as provider, worker(library, provider) as running:
        wait_for(running, lambda: len(provider.chat_requests()) == len(messages))
        wait_for(running, lambda: all(text_count(library, message) for message in messages))


@pytest.mark.drill
def test_an_answer_that_kills_its_workers_fails_in_words_and_the_next_question_is_answered(library: Library) -> None:
    with library.database.as_user(library.user) as conn:
        chat = create_chat(conn, library.collection)
    deadly, waiting = library.ask(chat=chat), library.ask("What does the Falcon pump weigh?", chat=chat)
    with library.database.as_worker() as conn:
        assert conn.execute("select count(*) from pgmq.q_answer").fetchone() == (1,), "the second one waits"
        conn.execute("update pgmq.q_answer set read_ct = %s", [KILLS_LIMIT])
    with StandInOpenAI(default_chat=Say([FINAL])) as provider, worker(library, provider) as running:
        wait_for(running, lambda: library.read(deadly).finished and library.read(waiting).finished)
        failed = library.read(deadly)
        assert (failed.phase, failed.error) == ("failed", "The worker stopped unexpectedly while answering.")
        assert failed.error_hint
        assert "file" not in failed.error_hint
        assert library.read(waiting).content == FINAL
        with library.database.as_user(library.user) as conn:
            assert retry_answer(conn, deadly)
        wait_for(running, lambda: library.read(deadly).finished)
    assert library.read(deadly).content == FINAL


@pytest.mark.drill
def test_a_worker_told_to_stop_leaves_its_answer_to_the_next(library: Library) -> None:
    provider = StandInOpenAI(chat=[Say(["stale "] * 5000, delay_s=0.05)], default_chat=Say([FINAL]))
    message = library.ask()
    with provider:
        with worker(library, provider) as first:
            wait_for(first, lambda: text_count(library, message) > 2)
            first.terminate()
            first.wait(30)
        assert not library.read(message).finished
        with worker(library, provider) as second:
            wait_for(second, lambda: library.read(message).finished)
    assert library.read(message).content == FINAL


@pytest.mark.drill
def test_an_answer_survives_the_death_of_the_app_that_asked(library: Library) -> None:
    """The app's part is one committed transaction: killed right after it, nothing of the answer is lost."""
    provider = StandInOpenAI(default_chat=Say([FINAL]))
    script = (
        "import os, sys, signal; from uuid import UUID\n"
        "from rag.store.database import Database; from rag.chat.chats import *\n"
        "db = Database(sys.argv[1])\n"
        "with db.as_user(sys.argv[2]) as conn:\n"
        "    print(ask(conn, create_chat(conn, UUID(sys.argv[3])), sys.argv[4]))\n"
        "sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    asked = subprocess.run(
        [sys.executable, "-c", script, library.database.app_dsn, str(library.user), str(library.collection), "Why 27?"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == -signal.SIGKILL, asked.stderr
    message = UUID(asked.stdout.strip())
    with provider, worker(library, provider) as running:
        wait_for(running, lambda: library.read(message).finished)
    assert library.read(message).content == FINAL


@pytest.mark.drill
def test_an_answer_outlives_a_killed_postgres(tmp_path: Path, alice: UUID) -> None:
    """The worker goes on where the outage was short enough, else it starts again; nothing is lost or said twice."""
    provider = StandInOpenAI(chat=[Say(["first "] * 200, delay_s=0.05)], default_chat=Say([FINAL]))
    with EmbeddedPostgres(tmp_path / "home") as server, open_embedded(server) as database:
        with connect(database.owner_dsn) as conn:
            ensure_user(conn, alice, "alice@example.org")
        library = Library(database, alice, {"pump.txt": PUMP, "lake.txt": LAKE})
        message = library.ask()
        with provider, worker(library, provider) as running:
            wait_for(running, lambda: text_count(library, message) > 2)
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            wait_until(server.ensure_running, 60)
            # A pool that found nobody there asks again after ever longer pauses.
            wait_for(running, lambda: library.read(message).finished, 180)
        answer = library.read(message)
    restarted = answer.phases[0].phase == "restarted"
    assert answer.phase == "complete"
    assert answer.content.split() == (FINAL.split() if restarted else ["first"] * 200)
