"""Who has a conversation open, what they think of its answers, and the hints that tell the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest

from rag.chat.chats import rename_chat, stop_answer
from rag.chat.conversations import set_collections
from rag.chat.participants import share_chat, unshare_chat
from rag.chat.presence import GONE_AFTER_S, HEARTBEAT_S, end_presence, note_presence, who_is_here
from rag.chat.votes import MAX_REASON_CHARS, read_votes, vote
from rag.errors import InvalidInput, NotAllowed
from rag.store.database import Database, connect
from tests.conftest import ALICE, BOB
from tests.integration.circle import CAROL, Circle
from tests.integration.townsfolk import run_as_owner


@pytest.fixture(scope="module")
def circle(module_database: Database) -> Circle:
    return Circle(module_database)


def visit(circle: Circle, chat: UUID, person: UUID, page: UUID | None = None) -> UUID:
    made = page or uuid4()
    with circle.database.as_user(person) as conn:
        note_presence(conn, chat, made)
    return made


def here(circle: Circle, chat: UUID, person: UUID = ALICE) -> list[tuple[str, bool]]:
    with circle.database.as_user(person) as conn:
        return [(one.name, one.asking) for one in who_is_here(conn, chat)]


@contextmanager
def hints(circle: Circle) -> Iterator[set[str]]:
    """What is announced within the block; read at its end."""
    heard: set[str] = set()
    with connect(circle.database.owner_dsn) as conn:
        conn.execute("listen corpuscope_feed")
        yield heard
        heard |= {notify.payload for notify in conn.notifies(timeout=0.2)}


def fall_silent(circle: Circle, page: UUID) -> None:
    run_as_owner(
        circle.database,
        "update public.chat_presence set seen_at = now() - %s * interval '1 second' where visit = %s",
        GONE_AFTER_S + 1,
        page,
    )


def test_people_are_here_while_a_page_of_theirs_is_open(circle: Circle) -> None:
    chat = circle.chat(BOB)
    first, second = visit(circle, chat, ALICE), visit(circle, chat, ALICE)
    bobs = visit(circle, chat, BOB)
    assert here(circle, chat) == here(circle, chat, BOB) == [("Alice", False), ("Bob", False)]
    answer = circle.ask(chat, BOB)
    assert here(circle, chat) == [("Alice", False), ("Bob", True)]
    with circle.database.as_user(BOB) as conn:
        assert stop_answer(conn, answer)
        end_presence(conn, bobs)
    with circle.database.as_user(ALICE) as conn:
        end_presence(conn, first)
    assert here(circle, chat) == [("Alice", False)], "her other page is open still"
    fall_silent(circle, second)
    assert here(circle, chat) == []


def test_a_heartbeat_keeps_somebody_here_and_two_may_get_lost() -> None:
    assert 2 * HEARTBEAT_S < GONE_AFTER_S


def test_a_page_is_of_the_person_who_opened_it(circle: Circle) -> None:
    chat = circle.chat(BOB)
    page = visit(circle, chat, ALICE)
    visit(circle, chat, BOB, page)
    assert here(circle, chat) == [("Alice", False)]
    with circle.database.as_user(BOB) as conn:
        end_presence(conn, page)
    assert here(circle, chat) == [("Alice", False)]


def test_a_page_shows_one_conversation_at_a_time(circle: Circle) -> None:
    first, second = circle.chat(BOB), circle.chat(BOB)
    page = visit(circle, first, ALICE)
    visit(circle, first, BOB)
    with hints(circle) as heard:
        visit(circle, second, ALICE, page)
    assert (here(circle, first), here(circle, second)) == ([("Bob", False)], [("Alice", False)])
    assert f"presence:{second}" in heard


def test_who_is_taken_out_is_gone_at_once(circle: Circle) -> None:
    chat = circle.chat(BOB, CAROL)
    visit(circle, chat, BOB)
    visit(circle, chat, CAROL)
    with circle.database.as_user(ALICE) as conn:
        unshare_chat(conn, chat, BOB)
    assert here(circle, chat) == [("Carol", False)]
    circle.expel(circle.one, CAROL)
    assert here(circle, chat) == []
    for person in (BOB, CAROL):
        with pytest.raises(NotAllowed, match="may not look into it"):
            visit(circle, chat, person)
    circle.join(circle.one, CAROL)


def test_only_changes_of_who_is_here_are_announced(circle: Circle) -> None:
    chat = circle.chat(BOB)
    with hints(circle) as heard:
        page = visit(circle, chat, ALICE)
    assert heard == {f"presence:{chat}"}
    with hints(circle) as heard:
        visit(circle, chat, ALICE, page)
    assert heard == set()
    fall_silent(circle, page)
    with hints(circle) as heard:
        visit(circle, circle.chat(), ALICE)
    assert f"presence:{chat}" in heard, "whoever looks in elsewhere finds out who fell silent"


def test_presence_does_not_outlive_the_conversation(circle: Circle) -> None:
    chat = circle.chat()
    page = visit(circle, chat, ALICE)
    run_as_owner(circle.database, "delete from public.chats where id = %s", chat)
    assert run_as_owner(circle.database, "select visit from public.chat_presence where visit = %s", page) == []


def test_each_has_one_vote_on_an_answer(circle: Circle) -> None:
    chat = circle.chat(BOB)
    answer = circle.ask(chat)
    with circle.database.as_user(ALICE) as conn:
        vote(conn, answer, 1, "  good\x00  ")
    with circle.database.as_user(BOB) as conn:
        vote(conn, answer, 1)
        vote(conn, answer, -1, "it quotes the wrong page")
        seen = [(one.user_id, one.vote, one.reason, one.mine) for one in read_votes(conn, [answer])]
    assert sorted(seen) == [(ALICE, 1, "good", False), (BOB, -1, "it quotes the wrong page", True)]
    with circle.database.as_user(ALICE) as conn:
        vote(conn, answer, None)
        assert [one.user_id for one in read_votes(conn, [answer])] == [BOB]


def test_a_vote_is_up_or_down_with_a_reason_of_some_length(circle: Circle) -> None:
    chat = circle.chat()
    answer = circle.ask(chat)
    question = circle.messages(chat)[0].id
    with pytest.raises(InvalidInput, match="up or down"), circle.database.as_user(ALICE) as conn:
        vote(conn, answer, 2)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="2,000"), circle.database.as_user(ALICE) as conn:
        vote(conn, answer, 1, "x" * (MAX_REASON_CHARS + 1))
    with pytest.raises(InvalidInput, match="2,000"), circle.database.as_user(ALICE) as conn:
        conn.execute("select public.vote_answer(%s, 1, repeat('x', 2001))", [answer])
    with pytest.raises(NotAllowed), circle.database.as_user(ALICE) as conn:
        vote(conn, question, 1)
    with pytest.raises(NotAllowed), circle.database.as_user(CAROL) as conn:
        vote(conn, answer, 1)


def test_what_a_conversation_shows_is_announced(circle: Circle) -> None:
    chat = circle.chat()
    expected = {f"chat:{chat}"}
    with hints(circle) as heard:
        answer = circle.ask(chat)
    assert heard >= expected
    with hints(circle) as heard, circle.database.as_user(ALICE) as conn:
        rename_chat(conn, chat, "Another")
    assert heard == expected
    with hints(circle) as heard, circle.database.as_user(ALICE) as conn:
        share_chat(conn, chat, [BOB])
    assert heard == expected
    with hints(circle) as heard, circle.database.as_user(ALICE) as conn:
        set_collections(conn, chat, [circle.two])
    assert heard == expected
    with hints(circle) as heard, circle.database.as_user(BOB) as conn:
        vote(conn, answer, 1)
    assert heard == expected
    with hints(circle) as heard:
        attempt = circle.begin(answer)
    assert heard == {f"message:{answer}"}, "phases on the way are announced to those who watch the answer"
    assert attempt is not None
    with hints(circle) as heard:
        run_as_owner(circle.database, "update public.messages set phase = 'complete' where id = %s", answer)
    assert heard == expected | {f"message:{answer}"}
    with hints(circle) as heard:
        run_as_owner(circle.database, "delete from public.chats where id = %s", chat)
    assert heard == expected


def test_nobody_writes_a_vote_or_a_presence_by_hand(circle: Circle) -> None:
    chat = circle.chat(BOB)
    answer = circle.ask(chat)
    for statement, values in (
        ("insert into public.message_votes (message_id, user_id, vote) values (%s, %s, 1)", [answer, ALICE]),
        (
            "insert into public.chat_presence (visit, chat_id, user_id) values (gen_random_uuid(), %s, %s)",
            [chat, ALICE],
        ),
        ("update public.chat_presence set user_id = %s", [BOB]),
        ("delete from public.message_votes where message_id = %s", [answer]),
    ):
        with pytest.raises((NotAllowed, psycopg.errors.InsufficientPrivilege)), circle.database.as_user(BOB) as conn:
            conn.execute(statement, values)
