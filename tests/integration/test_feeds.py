"""Live hints and answers followed as they grow."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import Connection

from rag.chat.chat_records import AnswerEvent
from rag.chat.chats import stop_answer
from rag.chat.feeds import Feed, tail_answer
from rag.chat.hints import EVERYTHING, NoHints
from rag.errors import NotFound
from rag.store.database import Database, connect
from tests.conftest import ALICE, BOB
from tests.integration.library import LAKE, PUMP, Library, in_thread, settings_for, wait_until
from tests.standin_openai import BreakOff, Say, StandInOpenAI

#: Far longer than a hint takes, so that only a hint can end a wait in time.
LONG_S = 20.0


@pytest.fixture(scope="module")
def library(module_database: Database) -> Library:
    return Library(module_database, ALICE, {"pump.txt": PUMP, "lake.txt": LAKE})


@pytest.fixture
def feed(library: Library) -> Iterator[Feed]:
    made = Feed(library.database)
    yield made
    made.close()


def listening(feed: Feed, library: Library) -> Feed:
    """The feed, once its connection is there."""
    feed.position()
    wait_until(lambda: bool(listeners(library)) and feed.position() > 0)
    return feed


def listeners(library: Library) -> int:
    with connect(library.database.owner_dsn) as conn:
        row = conn.execute(
            "select count(*) from pg_stat_activity where application_name = 'corpuscope listen'"
            " and query like 'listen%' and datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def opener(library: Library, user: UUID = ALICE) -> Any:
    def open_transaction() -> AbstractContextManager[Connection[Any]]:
        return library.database.as_user(user)

    return open_transaction


def deltas_of(library: Library, message: UUID) -> int:
    return int(library.value("select count(*) from public.message_deltas where message_id = %s", message))


def text_of(events: list[AnswerEvent]) -> str:
    """What a viewer shows at the end."""
    shown = ""
    for event in events:
        shown = "" if event.kind == "restart" else shown + event.text
    return shown


def notify(library: Library, key: str) -> None:
    with connect(library.database.owner_dsn) as conn:
        conn.execute("select pg_notify('corpuscope_feed', %s)", [key])


def test_a_hint_ends_the_wait_for_its_key_only(feed: Feed, library: Library) -> None:
    listening(feed, library)
    position = feed.position()
    notify(library, "message:other")
    notify(library, "message:mine")
    assert feed.wait("message:mine", LONG_S, after=position)
    assert not feed.wait("message:third", 0.05, after=position)


def test_hints_that_come_together_are_all_heard(feed: Feed, library: Library) -> None:
    listening(feed, library)
    position = feed.position()
    keys = [f"message:{number}" for number in range(20)]
    with connect(library.database.owner_dsn) as conn:
        conn.execute("select pg_notify('corpuscope_feed', key) from unnest(%s::text[]) key", [keys])
    assert [key for key in keys if not feed.wait(key, LONG_S / len(keys), after=position)] == []


def test_a_hint_between_look_and_wait_is_not_missed(feed: Feed, library: Library) -> None:
    listening(feed, library)
    position = feed.position()
    notify(library, "message:mine")
    assert feed.wait("message:mine", LONG_S, after=position)
    assert feed.wait("message:mine", LONG_S, after=position)
    assert not feed.wait("message:mine", 0.05)


def test_the_feed_comes_back_after_its_connection_is_killed(feed: Feed, library: Library) -> None:
    listening(feed, library)
    with connect(library.database.owner_dsn.replace("user=postgres", "user=supabase_admin")) as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'corpuscope listen' and datname = current_database()"
        )
    position = feed.position()

    def heard() -> bool:
        notify(library, "message:mine")
        return feed.wait("message:mine", 0.2, after=position)

    wait_until(heard)


def test_closing_lets_waiters_go(feed: Feed) -> None:
    with in_thread(lambda: feed.wait("message:mine", LONG_S)) as waiter:
        feed.close()
        waiter.join(5)
        assert not waiter.is_alive()


def test_a_viewer_sees_phases_text_and_the_end(feed: Feed, library: Library) -> None:
    message = library.ask()
    events: list[AnswerEvent] = []
    with in_thread(lambda: events.extend(tail_answer(opener(library), feed, message))):
        answer = library.answer(message, settings_for())
    assert text_of(events) == answer.content
    assert events[-1].kind == "done"
    assert events[-1].phase == "complete"
    assert [event.kind for event in events].count("done") == 1


def test_viewers_who_come_late_or_refresh_see_it_all_without_gap_or_repeat(feed: Feed, library: Library) -> None:
    pieces = [f"word{n} " for n in range(150)]
    message = library.ask()
    early: list[AnswerEvent] = []
    late: list[AnswerEvent] = []
    resumed: list[AnswerEvent] = []

    def refresh() -> None:
        """Leave in the middle and go on from the last event, as a page does when its script runs again."""
        for event in tail_answer(opener(library), feed, message):
            resumed.append(event)
            if event.seq >= 3:
                break
        resumed.extend(tail_answer(opener(library), feed, message, (resumed[-1].attempt, resumed[-1].seq)))

    with (
        StandInOpenAI(chat=[Say(pieces, delay_s=0.01)]) as provider,
        in_thread(lambda: early.extend(tail_answer(opener(library), feed, message))),
        in_thread(refresh),
        in_thread(lambda: library.answer(message, settings_for(provider.base_url))),
    ):
        wait_until(lambda: deltas_of(library, message) > 4)
        late.extend(tail_answer(opener(library), feed, message))
    for events in (early, late, resumed):
        assert text_of(events) == "".join(pieces)
        assert "restart" not in [event.kind for event in events]
        seqs = [event.seq for event in events if event.kind == "text"]
        assert seqs == list(range(1, len(seqs) + 1))
    assert text_of(list(tail_answer(opener(library), feed, message))) == "".join(pieces)


def test_text_reaches_a_viewer_by_the_hint_not_by_polling(feed: Feed, library: Library) -> None:
    listening(feed, library)
    message = library.ask()
    began = threading.Event()
    arrived: list[float] = []

    def watch() -> None:
        for event in tail_answer(opener(library), feed, message, poll_s=LONG_S):
            began.set()
            arrived.append(time.monotonic())
            if event.kind == "done":
                return

    with in_thread(watch):
        assert began.wait(LONG_S)
        library.answer(message, settings_for())
        done = time.monotonic()
    assert arrived[-1] - done < LONG_S / 2


def test_a_second_attempt_is_a_restart_for_who_saw_the_first(feed: Feed, library: Library) -> None:
    message = library.ask()
    with StandInOpenAI(chat=[Say(["stale "] * 300, delay_s=0.05), Say(["fresh [1]"])]) as provider:
        settings = settings_for(provider.base_url)
        events: list[AnswerEvent] = []
        with in_thread(lambda: library.answer(message, settings)):
            wait_until(lambda: deltas_of(library, message) > 0)
            with in_thread(lambda: events.extend(tail_answer(opener(library), feed, message))):
                wait_until(lambda: any(event.kind == "text" for event in events))
                library.answer(message, settings)
    assert [event.kind for event in events].count("restart") == 1
    assert text_of(events) == "fresh [1]"


def test_a_failure_and_a_stop_are_ends_too(feed: Feed, library: Library) -> None:
    failed, stopped = library.ask(), library.ask()
    with StandInOpenAI(chat=[BreakOff(["half "])]) as provider:
        library.answer(failed, settings_for(provider.base_url))
    with library.database.as_user(ALICE) as conn:
        stop_answer(conn, stopped)
    events = list(tail_answer(opener(library), feed, failed))
    assert (text_of(events), events[-1].phase) == ("half ", "failed")
    assert [event.kind for event in tail_answer(opener(library), feed, stopped)] == ["done"]


def test_nothing_new_is_said_too_so_that_a_page_can_look_around(feed: Feed, library: Library) -> None:
    tail = tail_answer(opener(library), feed, library.ask(), poll_s=0.05)
    assert [next(tail).kind for _ in range(3)] == ["phase", "waiting", "waiting"]


def test_viewers_of_one_answer_share_what_one_of_them_reads(feed: Feed, library: Library) -> None:
    """Twelve who follow one answer look into the database hardly more often than one."""
    listening(feed, library)
    message, viewers = library.ask(), 12
    looks: list[int] = [0] * viewers
    events: list[list[AnswerEvent]] = [[] for _ in range(viewers)]

    def follow(number: int) -> None:
        def open_transaction() -> AbstractContextManager[Connection[Any]]:
            looks[number] += 1
            return library.database.as_user(ALICE)

        events[number] += tail_answer(open_transaction, feed, message, poll_s=LONG_S)

    pieces = [f"word{n} " for n in range(100)]
    with StandInOpenAI(chat=[Say(pieces, delay_s=0.02)]) as provider, contextlib.ExitStack() as threads:
        for number in range(viewers):
            threads.enter_context(in_thread(partial(follow, number)))
        wait_until(lambda: all(looks))
        library.answer(message, settings_for(provider.base_url))
    assert {text_of(seen) for seen in events} == {"".join(pieces)}
    hints = deltas_of(library, message) + 20  # changes of the phase come on top
    assert sum(looks) < hints + 3 * viewers < hints * viewers
    assert feed.answers.count == 0


def test_a_viewer_who_may_no_longer_look_is_told_though_others_go_on(feed: Feed, library: Library) -> None:
    message = library.ask()
    mine = iter(tail_answer(opener(library), feed, message, poll_s=0.02))
    assert next(mine).kind == "phase"
    with pytest.raises(NotFound):
        next(iter(tail_answer(opener(library, BOB), feed, message, poll_s=0.02)))
    assert next(mine).kind == "waiting"


class Broadcast:
    """A source of hints that isn't this database."""

    def __init__(self) -> None:
        self.note: Callable[[str], object] | None = None

    def follow(self, note: Callable[[str], object], closed: threading.Event) -> None:
        self.note = note
        closed.wait()


def test_hints_may_come_from_elsewhere_and_all_may_have_changed_after_a_new_connection(library: Library) -> None:
    source = Broadcast()
    feed = Feed(library.database, source)
    position = feed.position()
    wait_until(lambda: source.note is not None)
    assert source.note is not None
    source.note("chat:one")
    assert feed.heard_since("chat:one", position)
    assert not feed.heard_since("chat:two", position)
    source.note(EVERYTHING)
    assert feed.wait("chat:two", LONG_S, after=position)
    assert not feed.wait("chat:two", 0.01)
    feed.close()


def test_without_any_hints_polling_finds_the_end(library: Library) -> None:
    feed = Feed(library.database, NoHints())
    message = library.ask()
    events: list[AnswerEvent] = []
    with in_thread(lambda: events.extend(tail_answer(opener(library), feed, message, poll_s=0.05))):
        answer = library.answer(message, settings_for())
    assert (text_of(events), events[-1].kind) == (answer.content, "done")
    feed.close()


def test_changes_of_documents_are_announced_for_their_collection(feed: Feed, library: Library) -> None:
    listening(feed, library)
    key = f"documents:{library.collection}"

    def changes(act: Callable[[], object]) -> bool:
        position = feed.position()
        act()
        return feed.wait(key, LONG_S, after=position)

    def run(statement: str, *values: object) -> None:
        with connect(library.database.owner_dsn) as conn:
            conn.execute(statement.encode(), values)

    added: list[UUID] = []
    assert changes(lambda: added.append(library.add("new.txt", "Something new about pumps.")))
    assert changes(lambda: run("update public.documents set stage = 'embedding' where id = %s", added[0]))
    assert changes(
        lambda: run("update public.index_documents set chunk_count = chunk_count where document_id = %s", added[0])
    )
    assert changes(lambda: run("delete from public.documents where id = %s", added[0]))
    assert not feed.wait(f"documents:{uuid4()}", 0.01)


def test_somebody_else_can_t_follow(feed: Feed, library: Library) -> None:
    with pytest.raises(NotFound):
        next(iter(tail_answer(opener(library, BOB), feed, library.ask())))
