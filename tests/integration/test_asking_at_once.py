"""Several people ask one conversation at once, and two real workers answer: in order, one after another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from itertools import pairwise
from uuid import UUID

import pytest

from rag.chat.branches import thread
from rag.chat.chat_records import Message
from rag.chat.chats import ask, create_chat, list_messages, regenerate_answer
from rag.chat.participants import share_chat
from rag.store.database import Database
from rag.work.worker import run_worker
from tests.conftest import ALICE, BOB
from tests.integration.library import LAKE, PUMP, QUESTION, Library, SharedWords, in_thread, settings_for, wait_until
from tests.integration.townsfolk import run_as_owner


@pytest.fixture
def library(database: Database) -> Library:
    """Alice's, which Bob may view."""
    made = Library(database, ALICE, {"pump.txt": PUMP, "lake.txt": LAKE})
    run_as_owner(
        database,
        "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')",
        made.collection,
        BOB,
    )
    return made


@pytest.fixture
def workers(library: Library) -> Iterator[None]:
    """Two, each with its threads."""
    stop = threading.Event()

    def work() -> None:
        run_worker(
            settings_for(),
            library.database,
            stop=stop,
            load_embedder=lambda settings: SharedWords(),
            queues=("answer",),
            lease_s=5,
        )

    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(in_thread(work))
        stack.callback(stop.set)
        yield


def shared_chat(library: Library) -> UUID:
    with library.database.as_user(ALICE) as conn:
        chat = create_chat(conn, library.collection)
        share_chat(conn, chat, [BOB])
    return chat


def read(library: Library, chat: UUID) -> list[Message]:
    with library.database.as_user(BOB) as conn:
        return list_messages(conn, chat)


def span(answer: Message) -> tuple[datetime, datetime]:
    """From when until when it was being made."""
    return datetime.fromisoformat(answer.phases[0].at), answer.phase_at


def test_two_workers_answer_what_people_ask_at_once_in_order(library: Library, workers: None) -> None:
    chat = shared_chat(library)
    start = threading.Barrier(8)

    def put(number: int) -> UUID:
        start.wait()
        with library.database.as_user((ALICE, BOB)[number % 2]) as conn:
            return ask(conn, chat, f"{QUESTION} ({number})")

    with ThreadPoolExecutor(8) as pool:
        asked = set(pool.map(put, range(8)))
    wait_until(lambda: all(one.finished for one in read(library, chat)), 60)
    line = thread(read(library, chat))
    answers = [one for one in line if one.role == "assistant"]
    assert {one.id for one in answers} == asked
    assert {one.phase for one in answers} == {"complete"}
    spans = [span(one) for one in answers]
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans)), "one after another"
    assert {one.attempt for one in answers} == {1}, "nobody was started twice"


def test_branches_are_answered_beside_each_other(library: Library) -> None:
    """Another answer to the first question is begun while later ones wait for the first."""
    chat = shared_chat(library)
    with library.database.as_user(ALICE) as conn:
        first = ask(conn, chat, QUESTION)
        ask(conn, chat, "And then?")
    with library.database.as_user(BOB) as conn:
        other = regenerate_answer(conn, first)
    assert library.answer(other, settings_for()).phase == "complete"
    waiting = [one.phase for one in thread(read(library, chat), first) if one.role == "assistant"]
    assert waiting == ["queued", "queued"]
