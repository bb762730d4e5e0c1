"""The socket that tells a page to look again: who gets hints, when they end, and who counts as here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from rag.auth.sessions import SIGNED_OUT, Session, end, open_session
from rag.chat.chats import rename_chat
from rag.chat.feeds import Feed
from rag.chat.participants import share_chat, unshare_chat
from rag.chat.presence import who_is_here
from rag.chat.watching import MOST, read_topics
from rag.errors import InvalidInput
from rag.settings import Settings
from rag.store.database import Database
from rag.web.entrance import SESSION_HEADER, Entrance
from rag.web.live import LATER, REFUSED, routes
from tests.conftest import ALICE, BOB, temporary_home
from tests.integration.circle import Circle
from tests.integration.library import wait_until

ROOT = Path(__file__).resolve().parents[2]
OURS = {"origin": "http://testserver"}


@pytest.fixture(scope="module")
def circle(module_database: Database) -> Circle:
    return Circle(module_database)


@pytest.fixture
def feed(circle: Circle) -> Iterator[Feed]:
    made = Feed(circle.database)
    wait_until(lambda: made.position() > 0)
    yield made
    made.close()


class Door:
    """The route behind a gate that has let somebody in."""

    def __init__(self, circle: Circle, feed: Feed | None, home: Path) -> None:
        settings = Settings(_env_file=None, auth="local", corpuscope_home=home)
        self.entrance = Entrance(settings, lambda: circle.database)
        self.database = circle.database
        self.browser = TestClient(Starlette(routes=routes(self.entrance, lambda: feed, check_s=0.05)))

    def let_in(self, person: UUID) -> Session:
        with self.database.as_accounts() as conn:
            return open_session(conn, person, "password", device="", address="", lasts=timedelta(days=1))[1]

    def open(self, session: Session, *topics: str, after: str = "", **headers: str) -> Any:
        word = self.entrance.signer("tab").sign(str(session.id))
        address = f"/api/live?topics={','.join(topics)}&after={after}"
        return self.browser.websocket_connect(address, headers={**OURS, SESSION_HEADER: word, **headers})


@pytest.fixture
def door(circle: Circle, feed: Feed) -> Iterator[Door]:
    with temporary_home() as home:
        home.mkdir(parents=True)
        yield Door(circle, feed, home)


def now(feed: Feed) -> str:
    return f"{feed.name}.{feed.position()}"


def code_of(socket: Any) -> int:
    """With what the other side closes."""
    with pytest.raises(WebSocketDisconnect) as closed:
        deque(iter(socket.receive_text, ""), 0)
    return closed.value.code


def rename(circle: Circle, chat: UUID, title: str) -> None:
    with circle.database.as_user(ALICE) as conn:
        rename_chat(conn, chat, title)


def test_a_change_is_said_to_who_listens(circle: Circle, feed: Feed, door: Door) -> None:
    chat = circle.chat(BOB)
    with door.open(door.let_in(BOB), f"chat:{chat}", after=now(feed)) as socket:
        rename(circle, chat, "Pumps")
        assert socket.receive_text() == "look"


def test_what_happened_since_the_page_looked_is_said_at_once(circle: Circle, feed: Feed, door: Door) -> None:
    chat = circle.chat()
    before, session = now(feed), door.let_in(ALICE)
    rename(circle, chat, "Pumps")
    wait_until(lambda: feed.heard_since(f"chat:{chat}", int(before.partition(".")[2])))
    for after in (before, "another-process.7", "", "nonsense"):
        with door.open(session, f"chat:{chat}", after=after) as socket:
            assert socket.receive_text() == "look"


def test_strangers_and_other_sites_hear_nothing(circle: Circle, feed: Feed, door: Door) -> None:
    chat, session = circle.chat(), door.let_in(ALICE)
    with door.open(door.let_in(BOB), f"chat:{chat}") as socket:
        assert code_of(socket) == REFUSED
    with door.open(session, f"chat:{chat}", f"chat:{uuid4()}") as socket:
        assert code_of(socket) == REFUSED
    for headers in ({"origin": "https://evil.example"}, {SESSION_HEADER: "forged"}, {SESSION_HEADER: ""}):
        with pytest.raises(WebSocketDisconnect), door.open(session, f"chat:{chat}", **headers):
            raise AssertionError("it was let in")


def test_the_socket_closes_when_the_session_ends_or_the_conversation_is_no_longer_shared(
    circle: Circle, feed: Feed, door: Door
) -> None:
    chat, session = circle.chat(BOB), door.let_in(BOB)
    with door.open(session, f"chat:{chat}", after=now(feed)) as socket:
        with circle.database.as_user(ALICE) as conn:
            unshare_chat(conn, chat, BOB)
        assert code_of(socket) == REFUSED
    with circle.database.as_user(ALICE) as conn:
        share_chat(conn, chat, [BOB])
    with door.open(session, f"chat:{chat}", after=now(feed)) as socket:
        with circle.database.as_accounts() as conn:
            end(conn, session.id, SIGNED_OUT)
        assert code_of(socket) == REFUSED


def test_who_listens_for_presence_is_here_until_the_page_is_closed(circle: Circle, feed: Feed, door: Door) -> None:
    chat = circle.chat(BOB)

    def here() -> list[UUID]:
        with circle.database.as_user(ALICE) as conn:
            return [one.user_id for one in who_is_here(conn, chat)]

    session = door.let_in(BOB)
    with door.open(session, f"chat:{chat}"):
        assert here() == []
    with door.open(session, f"chat:{chat}", f"presence:{chat}"):
        assert here() == [BOB]
    wait_until(lambda: here() == [])


def test_without_a_feed_it_is_too_early(circle: Circle) -> None:
    with temporary_home() as home:
        home.mkdir(parents=True)
        door = Door(circle, None, home)
        with door.open(door.let_in(ALICE), f"chat:{circle.chat()}") as socket:
            assert code_of(socket) == LATER


def test_only_topics_can_be_listened_to() -> None:
    chat = uuid4()
    assert [str(topic) for topic in read_topics(f"chat:{chat},presence:{chat},chat:{chat}")] == [
        f"chat:{chat}",
        f"presence:{chat}",
    ]
    many = ",".join(f"message:{uuid4()}" for _ in range(MOST + 1))
    for text in ("", "chat:", "chat:1", f"users:{chat}", f"chat:{chat} ", f"chat:{chat},", many):
        with pytest.raises(InvalidInput):
            read_topics(text)


def test_a_changed_script_has_another_name() -> None:
    [script] = (ROOT / "corpuscope" / "live").glob("*.js")
    assert script.stem == f"listen-{sha256(script.read_bytes()).hexdigest()[:8]}"
