"""Limits on files, bytes and questions: the database keeps them, whatever way somebody tries."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from rag.chat.chats import ask, create_chat, delete_chat, list_messages, retry_answer, stop_answer
from rag.corpus import sharing
from rag.corpus.collections import create_collection
from rag.corpus.documents import delete_documents, list_documents, store_document
from rag.corpus.limits import Usage, describe_left, my_limits, say_bytes, tightest
from rag.errors import CorpuscopeError, LimitReached
from rag.store.database import Database
from tests.integration.conftest import Store
from tests.integration.library import wait_until
from tests.integration.townsfolk import open_account, run_as_owner, set_limits


@pytest.fixture(autouse=True)
def accounts(database: Database, alice: UUID, bob: UUID) -> None:
    open_account(database, "alice@example.org", id=alice)
    open_account(database, "bob@example.org", id=bob)


def files_in(database: Database, corpus: UUID, user: UUID) -> set[str]:
    with database.as_user(user) as conn:
        return {document.name for document in list_documents(conn, corpus)}


def usage(database: Database, user: UUID, corpus: UUID | None, scope: str, what: str) -> tuple[int, int | None]:
    with database.as_user(user) as conn:
        (found,) = [one for one in my_limits(conn, corpus) if (one.scope, one.what) == (scope, what)]
    return found.used, found.allowed


def question(database: Database, user: UUID, corpus: UUID) -> UUID:
    with database.as_user(user) as conn:
        chat = create_chat(conn, corpus)
        ask(conn, chat, "How long is it?")
    return chat


@pytest.mark.parametrize(("scope", "whose"), [("person", "You"), ("collection", "This collection")])
def test_files_are_counted(database: Database, corpus: UUID, alice: UUID, store: Store, scope: str, whose: str) -> None:
    set_limits(database, scope, alice if scope == "person" else corpus, files=2)
    store("a.txt", b"a")
    store("b.txt", b"b")
    with pytest.raises(LimitReached, match=f"{whose} can hold 2 files, and this would be number 3") as refusal:
        store("c.txt", b"c")
    assert "Delete documents that are not needed" in refusal.value.hint
    assert files_in(database, corpus, alice) == {"a.txt", "b.txt"}
    assert store("again.txt", b"a").outcome == "duplicate"
    assert usage(database, alice, corpus, scope, "files") == (2, 2)


@pytest.mark.parametrize("scope", ["person", "collection"])
def test_bytes_are_counted(database: Database, corpus: UUID, alice: UUID, store: Store, scope: str) -> None:
    set_limits(database, scope, alice if scope == "person" else corpus, bytes=2000)
    store("a.txt", b"a" * 1500)
    with pytest.raises(LimitReached, match="can hold 2 KB, and this would be 100 bytes too much"):
        store("b.txt", b"b" * 600)
    store("c.txt", b"c" * 500)
    assert usage(database, alice, corpus, scope, "bytes") == (2000, 2000)


def test_deleting_makes_room_and_defaults_hold_for_everybody(
    database: Database, corpus: UUID, alice: UUID, store: Store
) -> None:
    set_limits(database, "person", None, files=1)
    stored = store("a.txt", b"a")
    with pytest.raises(LimitReached):
        store("b.txt", b"b")
    assert stored.document_id is not None
    with database.as_user(alice) as conn:
        delete_documents(conn, [stored.document_id])
    store("b.txt", b"b")
    set_limits(database, "person", alice, files=2)
    store("c.txt", b"c")


def test_a_persons_files_count_in_all_collections_and_an_editors_are_the_editors(
    database: Database, corpus: UUID, alice: UUID, bob: UUID, store: Store
) -> None:
    set_limits(database, "person", None, files=1)
    with database.as_user(alice) as conn:
        sharing.share(conn, corpus, "bob@example.org", "editor")
        other = create_collection(conn, "Other")
    store("a.txt", b"a")
    with pytest.raises(LimitReached), database.as_user(alice) as conn:
        store_document(conn, other, "b.txt", io.BytesIO(b"b"), max_bytes=100)
    store("b.txt", b"b", user=bob)
    assert usage(database, bob, corpus, "person", "files") == (1, 1)


def test_nobody_says_whose_a_document_is_but_the_database(database: Database, corpus: UUID, alice: UUID) -> None:
    set_limits(database, "person", alice, files=0)
    for column in ("created_by", "created_at"):
        with pytest.raises(CorpuscopeError), database.as_user(alice) as conn:
            conn.execute(
                f"insert into public.documents (collection_id, name, size, sha256, {column})"
                " values (%s, 'a.txt', 1, sha256('a'), null)",
                [corpus],
            )
    assert files_in(database, corpus, alice) == set()


def test_a_lie_about_the_size_is_found_out(database: Database, corpus: UUID, alice: UUID) -> None:
    set_limits(database, "collection", corpus, bytes=10)
    with database.as_user(alice) as conn:
        document = insert_document(conn, corpus, 5)
        conn.execute("insert into public.document_files values (%s, 0, '123')", [document])
    for part in ("456", "456789"):
        with pytest.raises(CorpuscopeError, match="larger than was said"), database.as_user(alice) as conn:
            conn.execute("insert into public.document_files values (%s, 1, %s)", [document, part.encode()])
    with database.as_user(alice) as conn:
        conn.execute("insert into public.document_files values (%s, 1, '45')", [document])
    with pytest.raises(CorpuscopeError), database.as_user(alice) as conn:
        conn.execute("update public.documents set size = 1 where id = %s", [document])


def insert_document(conn: psycopg.Connection[Any], corpus: UUID, size: int) -> UUID:
    row = conn.execute(
        "insert into public.documents (collection_id, name, size, sha256)"
        " values (%s, 'a.txt', %s, sha256('a')) returning id",
        [corpus, size],
    ).fetchone()
    assert row is not None
    made: UUID = row[0]
    return made


Act = Callable[[psycopg.Connection[Any]], object]


def at_once(database: Database, user: UUID, first: Act, second: Act) -> list[str]:
    """What became of two transactions, of which the second acts while the first is done and not committed yet.

    Where the second has to wait for the first, that commits as soon as it waits; else the second ends before it.
    """
    outcomes: list[str] = []

    def run_second() -> None:
        try:
            with database.as_user(user) as conn:
                second(conn)
            outcomes.append("done")
        except CorpuscopeError as error:
            outcomes.append(type(error).__name__ if isinstance(error, LimitReached) else str(error))

    with database.as_user(user) as conn:
        first(conn)
        thread = threading.Thread(target=run_second)
        thread.start()
        wait_until(lambda: not thread.is_alive() or waits(database))
    thread.join(60)
    return ["done", *outcomes]


def waits(database: Database) -> bool:
    """Whether anybody waits for somebody else's lock; the server is this run's own."""
    return bool(run_as_owner(database, "select 1 from pg_locks where not granted"))


@pytest.mark.parametrize("scope", ["person", "collection"])
def test_of_two_uploads_at_once_one_gets_the_last_place(
    database: Database, corpus: UUID, alice: UUID, store: Store, scope: str
) -> None:
    set_limits(database, scope, alice if scope == "person" else corpus, files=2)
    store("first.txt", b"first")

    def upload(data: bytes) -> Act:
        return lambda conn: store_document(conn, corpus, f"{data.decode()}.txt", io.BytesIO(data), max_bytes=100)

    assert at_once(database, alice, upload(b"left"), upload(b"right")) == ["done", "LimitReached"]
    assert len(files_in(database, corpus, alice)) == 2


def test_pieces_written_at_once_count_each_other(database: Database, corpus: UUID, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        document = insert_document(conn, corpus, 4)

    def write(part: int) -> Act:
        return lambda conn: conn.execute("insert into public.document_files values (%s, %s, '1234')", [document, part])

    assert at_once(database, alice, write(0), write(1)) == ["done", "This file is larger than was said of it."]


def test_of_two_questions_at_once_one_is_the_last(database: Database, corpus: UUID, alice: UUID) -> None:
    set_limits(database, "collection", corpus, questions=1)

    def put(conn: psycopg.Connection[Any]) -> None:
        ask(conn, create_chat(conn, corpus), "How long?")

    assert at_once(database, alice, put, put) == ["done", "LimitReached"]


def test_questions_are_counted_by_person(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    set_limits(database, "person", None, questions=2)
    with database.as_user(alice) as conn:
        sharing.share(conn, corpus, "bob@example.org", "viewer")
    question(database, alice, corpus)
    question(database, alice, corpus)
    with pytest.raises(LimitReached, match="You have asked 2 questions today, which is the limit") as refusal:
        question(database, alice, corpus)
    assert "midnight UTC" in refusal.value.hint
    question(database, bob, corpus)
    assert usage(database, alice, corpus, "person", "questions today") == (2, 2)
    assert usage(database, bob, corpus, "person", "questions today") == (1, 2)


def test_questions_are_counted_by_collection(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    set_limits(database, "collection", corpus, questions=2)
    with database.as_user(alice) as conn:
        sharing.share(conn, corpus, "bob@example.org", "viewer")
    question(database, alice, corpus)
    question(database, bob, corpus)
    with pytest.raises(LimitReached, match="This collection has answered 2 questions today, which is its limit"):
        question(database, alice, corpus)
    assert usage(database, bob, corpus, "collection", "questions today") == (2, 2)


def test_a_refused_question_leaves_nothing_and_costs_nothing(database: Database, corpus: UUID, alice: UUID) -> None:
    set_limits(database, "person", alice, questions=1)
    question(database, alice, corpus)
    with pytest.raises(LimitReached):
        question(database, alice, corpus)
    assert run_as_owner(database, "select count(*) from public.chats") == [(1,)]
    assert run_as_owner(database, "select distinct questions from corpuscope.question_counts") == [(1,)]


def test_deleting_a_chat_gives_nothing_back(database: Database, corpus: UUID, alice: UUID) -> None:
    set_limits(database, "person", alice, questions=1)
    chat = question(database, alice, corpus)
    with database.as_user(alice) as conn:
        delete_chat(conn, chat)
    assert usage(database, alice, corpus, "person", "questions today") == (1, 1)
    with pytest.raises(LimitReached):
        question(database, alice, corpus)


def test_trying_again_costs_a_question(database: Database, corpus: UUID, alice: UUID) -> None:
    set_limits(database, "person", alice, questions=1)
    chat = question(database, alice, corpus)
    with database.as_user(alice) as conn:
        answer = list_messages(conn, chat)[-1].id
        assert stop_answer(conn, answer)
    with pytest.raises(LimitReached), database.as_user(alice) as conn:
        retry_answer(conn, answer)


def test_a_new_day_begins_anew(database: Database, corpus: UUID, alice: UUID) -> None:
    set_limits(database, "person", alice, questions=1)
    question(database, alice, corpus)
    run_as_owner(database, "update corpuscope.question_counts set day = day - 1")
    question(database, alice, corpus)


def test_nobody_touches_the_counts_or_the_limits(database: Database, corpus: UUID, alice: UUID) -> None:
    question(database, alice, corpus)
    for statement in (
        "delete from corpuscope.question_counts",
        "update corpuscope.limits set files = null",
        "insert into corpuscope.limits values ('person', null, 1, 1, 1)",
        "select corpuscope.count_question('person', auth.uid())",
        "select public.set_limits('person', null, null, null, 5)",
        "insert into public.messages (chat_id, position, role, content) select id, 9, 'user', '?' from public.chats",
    ):
        with pytest.raises(CorpuscopeError), database.as_user(alice) as conn:
            conn.execute(statement.encode())


def test_guests_have_limits_from_the_start(database: Database, corpus: UUID, alice: UUID) -> None:
    guest = open_account(database, None)
    with database.as_user(alice) as conn:
        sharing.set_public(conn, corpus, True)
    assert usage(database, guest, corpus, "person", "questions today") == (0, 20)
    assert usage(database, guest, corpus, "person", "files") == (0, 0)
    set_limits(database, "guest", None, files=0, bytes=0, questions=1)
    question(database, guest, corpus)
    with pytest.raises(LimitReached, match="You have asked 1 question today"):
        question(database, guest, corpus)
    with pytest.raises(CorpuscopeError, match="Guests can read and ask"), database.as_user(guest) as conn:
        create_collection(conn, "Mine")


def test_what_is_left_is_told_to_members_only(database: Database, corpus: UUID, bob: UUID) -> None:
    with database.as_user(bob) as conn:
        assert {one.scope for one in my_limits(conn, corpus)} == {"person"}


def test_without_limits_nothing_is_said(database: Database, corpus: UUID, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        usages = my_limits(conn, corpus)
    assert {one.allowed for one in usages} == {None}
    assert describe_left(usages) == ""


def test_the_tighter_limit_is_said(database: Database, corpus: UUID, alice: UUID, store: Store) -> None:
    set_limits(database, "person", alice, files=9, questions=3)
    set_limits(database, "collection", corpus, files=3, bytes=1_500_000)
    store("a.txt", b"a" * 500)
    with database.as_user(alice) as conn:
        usages = my_limits(conn, corpus)
    assert describe_left(usages) == "Room for 2 more files and 1.5 MB. 3 questions left today."
    assert tightest(usages, "files") == Usage("collection", "files", 1, 3)


def test_a_full_place_is_said_to_be_full() -> None:
    full = [Usage("person", "files", 5, 5), Usage("person", "bytes", 1, 10)]
    assert describe_left(full) == "No room for more files."
    assert describe_left([Usage("person", "questions today", 7, 5)]) == "0 questions left today."


@pytest.mark.parametrize("number", [0, 1, 999, 1000, 1500, 99_900, 3_200_000, 5 * 2**20, 10**9, 25 * 10**8])
def test_bytes_are_said_as_the_database_says_them(database: Database, number: int) -> None:
    assert run_as_owner(database, "select corpuscope.say_bytes(%s::bigint)", number) == [(say_bytes(number),)]
