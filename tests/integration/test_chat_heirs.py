"""What becomes of shared conversations when accounts and collections go."""

from __future__ import annotations

from uuid import UUID

import pytest

from rag.auth.administration import delete_person, describe_removal
from rag.chat.chats import get_chat
from rag.chat.conversations import set_collections
from rag.chat.participants import participants
from rag.corpus.collections import delete_collection
from rag.store.database import Database
from tests.conftest import ALICE, BOB
from tests.integration.circle import CAROL, Circle
from tests.integration.townsfolk import open_account, run_as_owner

ADA = UUID("ffffffff-0000-4000-8000-000000000006")


@pytest.fixture
def circle(database: Database) -> Circle:
    made = Circle(database)
    open_account(database, "ada@example.org", id=ADA, administrator=True)
    return made


def remove(circle: Circle, person: UUID) -> tuple[int, int]:
    """Delete the account as an administrator; how many conversations were said to go, and to pass on."""
    with circle.database.as_user(ADA) as conn:
        said = describe_removal(conn, person)
        delete_person(conn, person)
    return said.chats, said.passed_chats


def people(circle: Circle, chat: UUID, person: UUID) -> list[tuple[str, bool]]:
    with circle.database.as_user(person) as conn:
        return [(one.name, one.is_owner) for one in participants(conn, chat)]


def test_a_shared_conversation_passes_to_who_takes_part_the_longest(circle: Circle) -> None:
    own, shared = circle.chat(), circle.chat(CAROL)
    run_as_owner(
        circle.database,
        "insert into public.chat_members (chat_id, user_id, added_at) values (%s, %s, now() + interval '1 minute')",
        shared,
        BOB,
    )
    circle.ask(own)
    answer = circle.ask(shared)
    circle.finish(answer)
    assert remove(circle, ALICE) == (1, 1)
    assert run_as_owner(circle.database, "select id from public.chats") == [(shared,)]
    assert people(circle, shared, BOB) == [("Carol", True), ("Bob", False)]
    with circle.database.as_user(CAROL) as conn:
        assert get_chat(conn, shared).is_owner
    assert [(one.id, one.asked_by) for one in circle.messages(shared, BOB)][-1] == (answer, None)


def test_nobody_inherits_what_they_do_not_see(circle: Circle) -> None:
    chat = circle.chat(CAROL)
    circle.expel(circle.one, CAROL)
    assert remove(circle, ALICE) == (1, 0)
    assert run_as_owner(circle.database, "select id from public.chats where id = %s", chat) == []


def test_with_a_collection_go_those_who_were_not_to_read_what_quotes_it(circle: Circle) -> None:
    chat = circle.chat(BOB, CAROL)
    circle.join(circle.two, CAROL)
    with circle.database.as_user(ALICE) as conn:
        set_collections(conn, chat, [circle.two])
    circle.finish(circle.ask(chat))
    circle.expel(circle.two, CAROL)
    with circle.database.as_user(ALICE) as conn:
        delete_collection(conn, circle.two)
    assert not circle.sees(chat, CAROL)
    assert people(circle, chat, BOB) == [("Alice", True), ("Bob", False)]


def test_nor_does_an_owner_read_on_in_whose_place_others_did(circle: Circle) -> None:
    chat = circle.chat(BOB)
    with circle.database.as_user(ALICE) as conn:
        set_collections(conn, chat, [circle.two])
    run_as_owner(
        circle.database, "update public.collection_members set role = 'owner' where collection_id = %s", circle.two
    )
    circle.expel(circle.two, ALICE)
    circle.finish(circle.ask(chat, BOB))
    with circle.database.as_user(BOB) as conn:
        delete_collection(conn, circle.two)
    assert not circle.sees(chat, ALICE)
    assert people(circle, chat, BOB) == [("Bob", True)]


def test_a_conversation_goes_with_its_home(circle: Circle) -> None:
    chat = circle.chat(BOB)
    with circle.database.as_user(ALICE) as conn:
        delete_collection(conn, circle.one)
    assert run_as_owner(circle.database, "select id from public.chats where id = %s", chat) == []
