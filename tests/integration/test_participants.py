"""Conversations that are shared: who takes part, what they see and may do, and when they stop to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection

from rag.chat.chats import (
    ask,
    create_chat,
    delete_chat,
    deltas_after,
    get_chat,
    list_chats,
    list_messages,
    read_answer,
    regenerate_answer,
    rename_chat,
    retry_answer,
    stop_answer,
)
from rag.chat.conversations import set_collections
from rag.chat.participants import leave_chat, list_candidates, participants, share_chat, unshare_chat
from rag.chat.presence import note_presence, who_is_here
from rag.chat.votes import read_votes, vote
from rag.corpus import sharing
from rag.errors import InvalidInput, NotAllowed
from rag.store.database import Database
from tests.conftest import ALICE, BOB
from tests.integration.circle import CAROL, DAVE, Circle
from tests.integration.townsfolk import open_account, run_as_owner

Act = Callable[[Connection[Any]], object]


@pytest.fixture
def circle(database: Database) -> Circle:
    return Circle(database)


def names(circle: Circle, chat: UUID, person: UUID = ALICE) -> list[tuple[str, bool, bool]]:
    with circle.database.as_user(person) as conn:
        return [(one.name, one.is_owner, one.sees_it) for one in participants(conn, chat)]


def test_a_shared_conversation_is_seen_and_used_by_those_who_take_part(circle: Circle) -> None:
    chat = circle.chat(BOB)
    answer = circle.ask(chat)
    with circle.database.as_user(BOB) as conn:
        (shared,) = list_chats(conn)
        assert (shared.id, shared.is_owner, shared.shared, shared.created_by) == (chat, False, True, ALICE)
        assert [one.asker for one in list_messages(conn, chat)] == ["Alice", "Alice"]
        assert stop_answer(conn, answer)
        assert retry_answer(conn, answer)
        regenerate_answer(conn, answer)
        ask(conn, chat, "And then?")
    assert names(circle, chat, BOB) == [("Alice", True, True), ("Bob", False, True)]
    assert [one.asker for one in circle.messages(chat)] == ["Alice", "Bob", "Bob", "Bob", "Bob"]
    with circle.database.as_user(ALICE) as conn:
        own = get_chat(conn, chat)
    assert (own.is_owner, own.shared) == (True, True)


def test_a_stranger_to_it_sees_and_does_nothing(circle: Circle) -> None:
    """Carol is a member of its collection, but nobody shared the conversation with her."""
    chat = circle.chat(BOB)
    answer = circle.ask(chat)
    with circle.database.as_worker() as conn:
        conn.execute("insert into public.message_deltas values (%s, 0, 1, 'secret')", [answer])
    acts: list[Act] = [
        lambda conn: get_chat(conn, chat),
        lambda conn: list_messages(conn, chat),
        lambda conn: read_answer(conn, answer),
        lambda conn: ask(conn, chat, "Why?"),
        lambda conn: regenerate_answer(conn, answer),
        lambda conn: share_chat(conn, chat, [CAROL]),
        lambda conn: unshare_chat(conn, chat, BOB),
        lambda conn: leave_chat(conn, chat),
        lambda conn: set_collections(conn, chat, []),
        lambda conn: rename_chat(conn, chat, "mine"),
        lambda conn: delete_chat(conn, chat),
        lambda conn: note_presence(conn, chat, UUID(int=1)),
        lambda conn: vote(conn, answer, 1),
    ]
    for person in (CAROL, DAVE):
        for act in acts:
            circle.refuse(person, act)
        assert not circle.sees(chat, person)
        with circle.database.as_user(person) as conn:
            assert not stop_answer(conn, answer)
            assert not retry_answer(conn, answer)
            assert deltas_after(conn, answer, 0, 0) == []
            assert (list_candidates(conn, chat), who_is_here(conn, chat), read_votes(conn, [answer])) == ([], [], [])
            for table in ("message_deltas", "chat_members", "chat_collections", "chat_presence", "message_votes"):
                assert conn.execute(f"select from public.{table}").rowcount == 0, table


def test_what_only_the_owner_does(circle: Circle) -> None:
    chat = circle.chat(BOB, CAROL)
    acts: list[Act] = [
        lambda conn: share_chat(conn, chat, [BOB]),
        lambda conn: unshare_chat(conn, chat, CAROL),
        lambda conn: set_collections(conn, chat, []),
        lambda conn: rename_chat(conn, chat, "mine"),
        lambda conn: delete_chat(conn, chat),
        lambda conn: conn.execute("insert into public.chat_members (chat_id, user_id) values (%s, %s)", [chat, DAVE]),
        lambda conn: conn.execute("delete from public.chat_members"),
        lambda conn: conn.execute("insert into public.chat_collections values (%s, %s)", [chat, circle.two]),
    ]
    for act in acts:
        circle.refuse(BOB, act)
    with circle.database.as_user(BOB) as conn:
        assert list_candidates(conn, chat) == []
        assert conn.execute("update public.chats set title = 'mine', scope_id = null").rowcount == 0
        assert conn.execute("delete from public.chats").rowcount == 0
    assert names(circle, chat) == [("Alice", True, True), ("Bob", False, True), ("Carol", False, True)]


def test_it_is_shared_with_members_of_its_collections_only(circle: Circle) -> None:
    chat = circle.chat()
    with circle.database.as_user(ALICE) as conn:
        assert [(one.name, one.label) for one in list_candidates(conn, chat)] == [
            ("Bob", "Bob (bob@example.org)"),
            ("Carol", "Carol (carol@example.org)"),
        ]
        assert share_chat(conn, chat, [BOB]) == 1
        assert share_chat(conn, chat, [BOB, ALICE]) == 0
        assert [one.name for one in list_candidates(conn, chat)] == ["Carol"]
    for outsider in (DAVE, UUID(int=7)):
        told = circle.tell_alice(partial(share_chat, chat_id=chat, user_ids=[CAROL, outsider]))
        assert str(told) == "A conversation is shared with members of its collections only."
    assert names(circle, chat) == [("Alice", True, True), ("Bob", False, True)], "nobody of a refused list"


def test_guests_and_closed_accounts_take_no_part(circle: Circle) -> None:
    guest = open_account(circle.database, None)
    with circle.database.as_user(ALICE) as conn:
        sharing.set_public(conn, circle.one, True)
    chat = circle.chat()
    run_as_owner(circle.database, "update corpuscope.people set disabled_at = now() where user_id = %s", CAROL)
    with circle.database.as_user(ALICE) as conn:
        assert [one.name for one in list_candidates(conn, chat)] == ["Bob"]
    for person in (guest, CAROL):
        with pytest.raises(InvalidInput), circle.database.as_user(ALICE) as conn:
            share_chat(conn, chat, [person])
    with circle.database.as_user(guest) as conn:
        own = create_chat(conn, circle.one)
        ask(conn, own, "Why?")
        assert [one.asker for one in list_messages(conn, own)] == ["A guest", "A guest"]
        assert list_candidates(conn, own) == []
    with pytest.raises(NotAllowed, match="Guests"), circle.database.as_user(guest) as conn:
        share_chat(conn, own, [BOB])


def test_in_a_public_collection_members_share_with_members(circle: Circle) -> None:
    """Who only reads it because it is public isn't told who its members are, nor are members told of them."""
    with circle.database.as_user(ALICE) as conn:
        sharing.set_public(conn, circle.one, True)
    chat = circle.chat()
    with circle.database.as_user(ALICE) as conn:
        assert [one.name for one in list_candidates(conn, chat)] == ["Bob", "Carol"]
    with circle.database.as_user(DAVE) as conn:
        own = create_chat(conn, circle.one)
        assert list_candidates(conn, own) == []
    with pytest.raises(InvalidInput), circle.database.as_user(DAVE) as conn:
        share_chat(conn, own, [BOB])


def test_who_loses_access_sees_nothing_of_it_any_more(circle: Circle) -> None:
    chat = circle.chat(BOB, CAROL)
    circle.ask(chat, CAROL)
    assert circle.sees(chat, CAROL)
    circle.expel(circle.one, CAROL)
    assert not circle.sees(chat, CAROL)
    circle.refuse(CAROL, lambda conn: ask(conn, chat, "Still?"))
    assert names(circle, chat) == [("Alice", True, True), ("Bob", False, True), ("Carol", False, False)]
    assert [one.asker for one in circle.messages(chat)] == ["Carol", "Carol"]
    circle.join(circle.one, CAROL)
    assert circle.sees(chat, CAROL)


def test_an_owner_who_loses_access_loses_it_too_and_the_others_go_on(circle: Circle) -> None:
    chat = circle.chat(BOB)
    circle.ask(chat)
    with circle.database.as_user(ALICE) as conn:
        sharing.share(conn, circle.one, "carol@example.org", "owner")
    circle.expel(circle.one, ALICE)
    assert not circle.sees(chat, ALICE)
    circle.refuse(ALICE, lambda conn: rename_chat(conn, chat, "mine"))
    assert circle.sees(chat, BOB)
    circle.ask(chat, BOB)


def test_a_closed_account_sees_nothing(circle: Circle) -> None:
    chat = circle.chat(BOB)
    circle.ask(chat)
    run_as_owner(circle.database, "update corpuscope.people set disabled_at = now() where user_id = %s", BOB)
    assert not circle.sees(chat, BOB)
    circle.refuse(BOB, lambda conn: leave_chat(conn, chat))


def test_people_are_taken_out_and_go(circle: Circle) -> None:
    chat = circle.chat(BOB, CAROL)
    circle.ask(chat, BOB)
    with circle.database.as_user(ALICE) as conn:
        unshare_chat(conn, chat, BOB)
    circle.refuse(ALICE, lambda conn: unshare_chat(conn, chat, BOB))
    assert not circle.sees(chat, BOB)
    with circle.database.as_user(CAROL) as conn:
        leave_chat(conn, chat)
    assert not circle.sees(chat, CAROL)
    assert names(circle, chat) == [("Alice", True, True)]
    assert [one.asker for one in circle.messages(chat)] == ["Bob", "Bob"], "what they asked stays, under their name"
    circle.refuse(ALICE, lambda conn: leave_chat(conn, chat))
    with circle.database.as_user(ALICE) as conn:
        assert not get_chat(conn, chat).shared


def test_a_deleted_account_leaves_its_questions(circle: Circle) -> None:
    chat = circle.chat(BOB)
    circle.ask(chat, BOB)
    run_as_owner(circle.database, "delete from auth.users where id = %s", BOB)
    assert [(one.asked_by, one.asker) for one in circle.messages(chat)] == [(None, ""), (None, "")]
    assert names(circle, chat) == [("Alice", True, True)]
    attempt = circle.begin(circle.messages(chat)[1].id)
    assert attempt is not None
