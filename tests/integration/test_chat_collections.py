"""What a conversation asks: several collections, a selection, and whose questions these count as."""

from __future__ import annotations

import threading
from functools import partial
from uuid import UUID

import pytest

from rag.chat.chats import create_chat, read_answer, regenerate_answer
from rag.chat.conversations import AskedCollection, list_collections, set_collections
from rag.chat.participants import list_candidates, share_chat
from rag.corpus.limits import my_limits
from rag.errors import InvalidInput, LimitReached
from rag.retrieval.scopes import list_scopes
from rag.store.database import Database
from tests.conftest import ALICE, BOB
from tests.integration.circle import CAROL, Circle
from tests.integration.library import wait_until
from tests.integration.townsfolk import run_as_owner, set_limits


@pytest.fixture
def circle(database: Database) -> Circle:
    return Circle(database)


def test_it_asks_collections_that_all_of_them_may_view(circle: Circle) -> None:
    chat = circle.chat(BOB)
    with circle.database.as_user(ALICE) as conn:
        set_collections(conn, chat, [circle.two, circle.one])
        assert list_collections(conn, chat) == [
            AskedCollection(circle.one, "One", True, True),
            AskedCollection(circle.two, "Two", False, True),
        ]
    with circle.database.as_worker() as conn:
        row = conn.execute("select corpuscope.common_collections(%s)", [chat]).fetchone()
    assert row == ([circle.one, circle.two],)
    assert circle.messages(chat, BOB) == []
    told = circle.tell_alice(lambda conn: share_chat(conn, chat, [CAROL]))
    assert str(told) == "Carol is no member of “Two”, which this conversation asks or has asked."
    assert "access to that collection" in told.hint


def test_a_collection_that_somebody_in_it_may_not_view_is_refused_by_name(circle: Circle) -> None:
    chat = circle.chat(BOB, CAROL)
    told = circle.tell_alice(lambda conn: set_collections(conn, chat, [circle.two]))
    assert str(told) == "Carol takes part in this conversation and is no member of “Two”."
    circle.expel(circle.one, CAROL)
    with circle.database.as_user(ALICE) as conn:
        set_collections(conn, chat, [circle.two])  # she doesn't see the conversation as it is
    circle.join(circle.one, CAROL)
    circle.ask(chat)
    assert not circle.sees(chat, CAROL)
    circle.join(circle.two, CAROL)
    assert circle.sees(chat, CAROL)


def test_nobody_asks_a_collection_that_they_do_not_see(circle: Circle) -> None:
    with circle.database.as_user(CAROL) as conn:
        chat = create_chat(conn, circle.one)
    for hidden in (circle.two, UUID(int=5)):
        circle.refuse(CAROL, partial(set_collections, chat_id=chat, collection_ids=[hidden]))


def test_who_loses_one_of_several_collections_loses_the_conversation(circle: Circle) -> None:
    chat = circle.chat(BOB)
    with circle.database.as_user(ALICE) as conn:
        set_collections(conn, chat, [circle.two])
    answer = circle.ask(chat)
    with circle.database.as_user(BOB) as conn:
        assert read_answer(conn, answer).phase == "queued"
    circle.expel(circle.two, BOB)
    assert not circle.sees(chat, BOB)
    circle.refuse(BOB, lambda conn: read_answer(conn, answer))


@pytest.mark.parametrize("when", ["before it was added", "while it was asked", "is not finished"])
def test_a_collection_that_an_answer_may_quote_stays_a_condition(circle: Circle, when: str) -> None:
    chat = circle.chat()
    if when == "before it was added":
        circle.finish(circle.ask(chat))
    elif when == "is not finished":
        circle.ask(chat)
    with circle.database.as_user(ALICE) as conn:
        set_collections(conn, chat, [circle.two])
    if when == "while it was asked":
        circle.finish(circle.ask(chat))
    with circle.database.as_user(ALICE) as conn:
        set_collections(conn, chat, [])
        quoted = [one.id for one in list_collections(conn, chat) if not one.is_asked]
        candidates = [one.name for one in list_candidates(conn, chat)]
    with circle.database.as_worker() as conn:
        assert conn.execute("select corpuscope.common_collections(%s)", [chat]).fetchone() == ([circle.one],)
    if when == "before it was added":
        assert (quoted, candidates) == ([], ["Bob", "Carol"])
        return
    assert (quoted, candidates) == ([circle.two], ["Bob"])
    with pytest.raises(InvalidInput, match="Carol is no member of “Two”"), circle.database.as_user(ALICE) as conn:
        share_chat(conn, chat, [CAROL])
    with circle.database.as_user(ALICE) as conn:
        set_collections(conn, chat, [circle.two])
        assert [one.is_asked for one in list_collections(conn, chat)] == [True, True]


def test_who_loses_access_while_they_are_being_added_sees_nothing(circle: Circle) -> None:
    """The rows say that Carol takes part; whether she sees anything is asked of her rights each time."""
    chat = circle.chat()
    circle.ask(chat)

    def expel() -> None:
        circle.expel(circle.one, CAROL)

    with circle.database.as_user(ALICE) as conn:
        share_chat(conn, chat, [CAROL])
        other = threading.Thread(target=expel)
        other.start()
        other.join(10)
    wait_until(lambda: not other.is_alive())
    assert not circle.sees(chat, CAROL)


def test_two_owners_acts_at_once_take_turns(circle: Circle) -> None:
    """Carol is added and a collection that she may not view at the same moment: one of the two is refused."""
    chat = circle.chat()
    outcome: list[str] = []

    def add_collection() -> None:
        try:
            with circle.database.as_user(ALICE) as conn:
                set_collections(conn, chat, [circle.two])
            outcome.append("done")
        except InvalidInput as refusal:
            outcome.append(str(refusal))

    with circle.database.as_user(ALICE) as conn:
        share_chat(conn, chat, [CAROL])
        other = threading.Thread(target=add_collection)
        other.start()
        wait_until(lambda: run_as_owner(circle.database, "select pid from pg_locks where not granted") != [])
    other.join(30)
    assert outcome == ["Carol takes part in this conversation and is no member of “Two”."]


def questions_today(circle: Circle, person: UUID) -> int:
    with circle.database.as_user(person) as conn:
        (found,) = [one for one in my_limits(conn) if one.what == "questions today"]
    return found.used


def test_questions_count_for_who_asks_them(circle: Circle) -> None:
    chat = circle.chat(BOB)
    set_limits(circle.database, "person", BOB, questions=2)
    answer = circle.ask(chat, BOB)
    with circle.database.as_user(BOB) as conn:
        regenerate_answer(conn, answer)
    with pytest.raises(LimitReached, match="You have asked 2 questions today"):
        circle.ask(chat, BOB)
    with pytest.raises(LimitReached), circle.database.as_user(BOB) as conn:
        regenerate_answer(conn, answer)
    circle.ask(chat, ALICE)
    assert (questions_today(circle, ALICE), questions_today(circle, BOB)) == (1, 2)


def test_questions_count_for_every_collection_that_is_asked(circle: Circle) -> None:
    chat = circle.chat()
    with circle.database.as_user(ALICE) as conn:
        set_collections(conn, chat, [circle.two])
    set_limits(circle.database, "collection", circle.two, questions=1)
    circle.ask(chat)
    with pytest.raises(LimitReached, match="This collection has answered 1 question today"):
        circle.ask(chat)
    circle.ask(circle.chat())


def test_a_selection_is_used_by_everybody_in_the_conversation(circle: Circle) -> None:
    """Made by the way, it is its maker's own; bound to a conversation, it is theirs who take part."""
    made = run_as_owner(
        circle.database,
        "insert into public.scopes (collection_id, created_by, passages) values (%s, %s, 3) returning id",
        circle.one,
        ALICE,
    )
    scope: int = made[0][0]
    with circle.database.as_user(ALICE) as conn:
        chat = create_chat(conn, circle.one, scope=scope)
        share_chat(conn, chat, [BOB])
    answer = circle.ask(chat, BOB)
    check = "select corpuscope.visible_scopes()"
    with circle.database.as_user(BOB) as conn:
        assert conn.execute(check).fetchone() == ([scope],)
        asked = read_answer(conn, answer).scope
    assert asked is not None
    assert asked.id == scope
    with circle.database.as_user(CAROL) as conn:
        assert conn.execute(check).fetchone() == ([],)
        assert list_scopes(conn, circle.one) == []
    with circle.database.as_user(ALICE) as conn:
        conn.execute("update public.chats set scope_id = null where id = %s", [chat])
    with circle.database.as_user(BOB) as conn:
        assert conn.execute(check).fetchone() == ([scope],), "his answer is still to be made from it"
    circle.finish(answer)
    with circle.database.as_user(BOB) as conn:
        assert conn.execute(check).fetchone() == ([],)


def test_a_conversation_of_somebody_else_is_shown_whole_to_those_who_are_added_late(circle: Circle) -> None:
    chat = circle.chat()
    first = circle.ask(chat)
    circle.finish(first)
    with circle.database.as_user(ALICE) as conn:
        share_chat(conn, chat, [BOB])
    assert [one.id for one in circle.messages(chat, BOB)][-1] == first
