"""Hints over Realtime: the real client against our stub of the server, which asks the real policies who may join.

On a hosted project the same tests meet Supabase's own server, but those that need an outage at will.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

from rag.chat.broadcast_hints import CHANNEL, BroadcastHints
from rag.chat.chat_records import AnswerEvent
from rag.chat.feeds import Feed, tail_answer
from rag.chat.hints import EVERYTHING
from rag.work.broadcasting import keep_broadcasting
from tests.supabase.broadcasts import Studio
from tests.supabase.gateway import free_port
from tests.supabase.realtime_stub import RealtimeStub, wait_until
from tests.supabase.stack import Project

#: The client's own, in its words about a connection that was cut.
pytestmark = pytest.mark.filterwarnings("ignore:ConnectionClosed:DeprecationWarning")

#: Far longer than a hint takes, so that only a hint can end a wait in time.
LONG_S = 20.0


@pytest.fixture(scope="module")
def stub(project: Project) -> Iterator[RealtimeStub | None]:
    """Realtime of the project here; None where the project has its own."""
    if project.hosted:
        yield None
        return
    server = RealtimeStub(make_conninfo(project.database.owner_dsn, user="supabase_admin"), project.jwt_secret)
    with server.running():
        yield server


@pytest.fixture(scope="module")
def url(project: Project, stub: RealtimeStub | None) -> str:
    """Where Realtime is: the stub without the gateway, which would have its own words for an outage."""
    return stub.address if stub else project.url


@pytest.fixture
def outages(stub: RealtimeStub | None) -> RealtimeStub:
    """The stub, for what can't be done to a hosted server."""
    if stub is None:
        pytest.skip("a hosted project's Realtime doesn't fail at will")
    return stub


@pytest.fixture(scope="module")
def studio(project: Project) -> Iterator[Studio]:
    """Somebody broadcasts all the while, as a worker does."""
    made = Studio(project.database, project.alice.id)
    made.send()  # from now on what changes is noted
    stop = threading.Event()
    thread = threading.Thread(target=keep_broadcasting, args=(project.database, stop))
    thread.start()
    yield made
    stop.set()
    thread.join(10)
    made.run("delete from public.collections where id = %s", made.collection)


class Heard:
    """A listener in a thread of its own, and what it was told."""

    def __init__(self, source: BroadcastHints) -> None:
        self.source = source
        self.keys: list[str] = []
        self.closed = threading.Event()
        self._thread = threading.Thread(target=source.follow, args=(self.keys.append, self.closed), daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """How often it connected."""
        return self.keys.count(EVERYTHING)

    def close(self) -> float:
        """Seconds until it has ended."""
        began = time.monotonic()
        self.closed.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        return time.monotonic() - began


@pytest.fixture
def heard(project: Project, url: str) -> Iterator[Heard]:
    listener = Heard(BroadcastHints(url, project.secret_key, first_pause_s=0.1))
    wait_until(lambda: listener.connections == 1)
    yield listener
    listener.close()


def test_what_changes_in_the_database_is_heard(heard: Heard, studio: Studio) -> None:
    answer = studio.ask()
    wait_until(lambda: f"message:{answer}" in heard.keys and f"chat:{studio.chat}" in heard.keys)
    studio.add_document()
    wait_until(lambda: f"documents:{studio.collection}" in heard.keys)


def test_a_hint_ends_a_wait(project: Project, url: str, studio: Studio) -> None:
    feed = Feed(project.database, BroadcastHints(url, project.secret_key))
    feed.position()
    wait_until(lambda: feed.position() > 0)
    answer = studio.ask()
    position = feed.position()
    studio.write(answer, "word")
    assert feed.wait(f"message:{answer}", LONG_S, after=position)
    feed.close()


def test_an_answer_is_followed_to_its_end_by_hints_alone(project: Project, url: str, studio: Studio) -> None:
    """Polling is put off for so long that only hints can bring the text."""
    feed = Feed(project.database, BroadcastHints(url, project.secret_key))
    feed.position()
    wait_until(lambda: feed.position() > 0)
    answer = studio.ask()
    studio.begin(answer)
    events: list[AnswerEvent] = []
    opened = partial(project.database.as_user, project.alice.id)
    reading = threading.Thread(target=lambda: events.extend(tail_answer(opened, feed, answer, poll_s=LONG_S)))
    reading.start()
    for word in ("Up ", "to ", "40 ", "m."):
        studio.write(answer, word)
        time.sleep(0.3)
    studio.phase(answer, "complete", "Up to 40 m.")
    reading.join(LONG_S - 2)
    assert not reading.is_alive()
    assert "".join(event.text for event in events) == "Up to 40 m."
    assert len([event for event in events if event.kind == "text"]) == 4
    feed.close()


def test_a_cut_connection_is_made_again_and_all_may_have_changed(
    heard: Heard, outages: RealtimeStub, studio: Studio
) -> None:
    wait_until(lambda: outages.connections == 1)  # an earlier test's has hung up
    for times in range(2, 6):
        assert outages.drop() == 1
        wait_until(lambda times=times: heard.connections == times)
        answer = studio.ask()
        wait_until(lambda answer=answer: f"message:{answer}" in heard.keys)
    assert outages.connections == 1
    assert outages.listeners(CHANNEL) == 1


@pytest.mark.filterwarnings("error:ConnectionClosed:DeprecationWarning")
def test_a_client_that_stopped_reading_is_replaced(heard: Heard, outages: RealtimeStub, studio: Studio) -> None:
    """The warning, which is an error here, ends the client's task: it would be deaf for ever, and say nothing."""
    outages.drop()
    wait_until(lambda: heard.connections == 2)
    answer = studio.ask()
    wait_until(lambda: f"message:{answer}" in heard.keys)


def test_a_channel_whose_token_has_expired_is_opened_again(heard: Heard, outages: RealtimeStub, studio: Studio) -> None:
    outages.expire()
    wait_until(lambda: heard.connections == 2)
    answer = studio.ask()
    wait_until(lambda: f"message:{answer}" in heard.keys)
    wait_until(lambda: outages.connections == 1)


def test_an_outage_is_one_warning_and_its_end_one_line(
    heard: Heard, outages: RealtimeStub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outages.is_down = True
    outages.drop()
    wait_until(lambda: "can't be heard" in caplog.text)
    time.sleep(1.0)
    assert not heard.source.is_connected
    outages.is_down = False
    wait_until(lambda: "is back" in caplog.text)
    ours = [record for record in caplog.records if record.name == "rag.chat.broadcast_hints"]
    assert [record.levelname for record in ours] == ["WARNING", "INFO"]
    assert "status 503" in ours[0].getMessage()
    assert not [record for record in caplog.records if record.name.startswith("realtime")]
    assert heard.source._key not in caplog.text


def test_the_channel_of_hints_is_closed_to_people(
    project: Project, url: str, stub: RealtimeStub | None, studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    """A person's token, an anonymous key and none at all: each is refused for as long as it tries."""
    joined = stub.joins.get(CHANNEL, 0) if stub else 0
    for key in (project.alice.token, project.publishable_key, "nonsense"):
        listener = Heard(BroadcastHints(url, key, first_pause_s=0.05))
        studio.ask()
        time.sleep(0.8)
        assert listener.keys == []
        assert not listener.source.is_connected
        listener.close()
    assert (stub.joins.get(CHANNEL, 0) if stub else 0) == joined
    assert "can't be heard" in caplog.text


def test_where_nothing_listens_polling_finds_the_end(project: Project, studio: Studio) -> None:
    feed = Feed(project.database, BroadcastHints(f"http://127.0.0.1:{free_port()}", "key"))
    answer = studio.ask()
    events: list[AnswerEvent] = []
    opened = partial(project.database.as_user, project.alice.id)
    reading = threading.Thread(target=lambda: events.extend(tail_answer(opened, feed, answer, poll_s=0.1)))
    reading.start()
    studio.phase(answer, "complete", "Deep.")
    reading.join(10)
    assert events[-1].kind == "done"
    feed.close()


def test_closing_ends_the_thread_soon_also_while_it_waits_to_try_again(project: Project, url: str) -> None:
    connected = Heard(BroadcastHints(url, project.secret_key))
    wait_until(lambda: connected.connections == 1)
    assert connected.close() < 3
    waiting = Heard(BroadcastHints(f"http://127.0.0.1:{free_port()}", "key", first_pause_s=60))
    time.sleep(0.3)
    assert waiting.close() < 3


def test_many_apps_hear_the_same(project: Project, url: str, studio: Studio) -> None:
    with ExitStack() as stack:
        apps = [Heard(BroadcastHints(url, project.secret_key)) for _ in range(5)]
        for one in apps:
            stack.callback(one.close)
        wait_until(lambda: all(one.connections for one in apps))
        answer = studio.ask(f"And {uuid4()}?")
        wait_until(lambda: all(f"message:{answer}" in one.keys for one in apps))
