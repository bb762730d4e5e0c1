"""Chats as their owner and as somebody else: asking, reading, stopping, retrying."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection

from rag.chat.chats import (
    ask,
    create_chat,
    delete_chat,
    deltas_after,
    list_chats,
    list_messages,
    read_answer,
    rename_chat,
    retry_answer,
    stop_answer,
)
from rag.errors import CorpuscopeError, DatabaseError, InvalidInput, NotFound
from rag.store.database import Database
from tests.conftest import ALICE, BOB
from tests.integration.library import LAKE, PUMP, QUESTION, Library, settings_for


@pytest.fixture(scope="module")
def filled(module_database: Database) -> Library:
    return Library(module_database, ALICE, {"pump.txt": PUMP, "lake.txt": LAKE})


@pytest.fixture
def library(filled: Library) -> Library:
    with filled.database.as_user(ALICE) as conn:
        for chat in list_chats(conn):
            delete_chat(conn, chat.id)
    with filled.database.as_worker() as conn:
        conn.execute("delete from pgmq.q_answer")
    return filled


def queued(library: Library) -> list[str]:
    return list(
        library.value("select coalesce(array_agg(message ->> 'message' order by msg_id), '{}') from pgmq.q_answer")
    )


def test_a_question_becomes_two_rows_and_a_job(library: Library) -> None:
    with library.database.as_user(ALICE) as conn:
        chat = create_chat(conn, library.collection)
        answer = ask(conn, chat, f"  {QUESTION}\x00 ", {"k": 3})
        question, waiting = list_messages(conn, chat)
    assert (question.role, question.content, question.phase) == ("user", QUESTION, "complete")
    assert (waiting.id, waiting.role, waiting.phase, waiting.content) == (answer, "assistant", "queued", "")
    assert queued(library) == [str(answer)]


def test_the_first_question_becomes_the_title(library: Library) -> None:
    with library.database.as_user(ALICE) as conn:
        chat = create_chat(conn, library.collection)
        ask(conn, chat, QUESTION)
        ask(conn, chat, "Another one?")
        named = create_chat(conn, library.collection, "Pumps")
        ask(conn, named, QUESTION)
        assert {chat.title for chat in list_chats(conn)} == {QUESTION, "Pumps"}


def test_chats_are_renamed_deleted_and_listed_by_use(library: Library) -> None:
    with library.database.as_user(ALICE) as conn:
        older = create_chat(conn, library.collection, "older")
    with library.database.as_user(ALICE) as conn:
        newer = create_chat(conn, library.collection, "newer")
    with library.database.as_user(ALICE) as conn:
        ask(conn, older, QUESTION)
        rename_chat(conn, older, "  used   last ")
    with library.database.as_user(ALICE) as conn:
        assert [chat.title for chat in list_chats(conn, library.collection)] == ["used last", "newer"]
        delete_chat(conn, older)
        assert [chat.id for chat in list_chats(conn)] == [newer]
    assert library.value("select count(*) from public.messages where chat_id = %s", older) == 0


@pytest.mark.parametrize("question", ["", "   ", "x" * 8001])
def test_questions_of_a_wrong_length_are_refused(library: Library, question: str) -> None:
    with library.database.as_user(ALICE) as conn:
        chat = create_chat(conn, library.collection)
        with pytest.raises(InvalidInput, match="8,000"):
            ask(conn, chat, question)


@pytest.mark.parametrize("title", ["", " ", "x" * 201])
def test_titles_of_a_wrong_length_are_refused(library: Library, title: str) -> None:
    with library.database.as_user(ALICE) as conn, pytest.raises(InvalidInput, match="200"):
        create_chat(conn, library.collection, title)


@pytest.mark.parametrize("profile", ["[1]", '{"junk": "' + "x" * 10_000 + '"}'])
def test_settings_that_are_none_are_refused_by_the_database(library: Library, profile: str) -> None:
    with library.database.as_user(ALICE) as conn:
        chat = create_chat(conn, library.collection)
    with pytest.raises(InvalidInput, match="settings"), library.database.as_user(ALICE) as conn:
        conn.execute("select public.ask(%s, 'Why?', %s::jsonb)", [chat, profile])


def test_an_answer_is_read_with_passages_and_citations(library: Library) -> None:
    made = library.answer(library.ask(), settings_for())
    with library.database.as_user(ALICE) as conn:
        question, answer = list_messages(conn, made.chat_id)
        assert answer == read_answer(conn, made.id) == made
        deltas = deltas_after(conn, made.id, made.attempt, 0)
        assert "".join(delta.text for delta in deltas) == made.content
        assert deltas_after(conn, made.id, made.attempt, deltas[0].seq) == deltas[1:]
        assert deltas_after(conn, made.id, made.attempt + 1, 0) == []
    assert answer.finished
    assert question.passages == []


def test_a_queued_answer_is_stopped_at_once_and_can_be_retried(library: Library) -> None:
    message = library.ask()
    with library.database.as_user(ALICE) as conn:
        assert not retry_answer(conn, message)
        assert stop_answer(conn, message)
        assert not stop_answer(conn, message)
        assert read_answer(conn, message).phase == "stopped"
    stopped = library.answer(message, settings_for())
    assert (stopped.phase, stopped.passages) == ("stopped", [])
    with library.database.as_user(ALICE) as conn:
        assert retry_answer(conn, message)
        waiting = read_answer(conn, message)
    assert (waiting.phase, waiting.phases, waiting.stop_requested) == ("queued", [], False)
    assert queued(library) == [str(message)] * 2
    assert library.answer(message, settings_for()).phase == "complete"


def test_a_document_that_goes_leaves_its_quotes(library: Library) -> None:
    extra = library.add("extra.txt", "The zebra valve is rated at 40 bar in cold water.")
    answer = library.answer(library.ask("How is the zebra valve rated?"), settings_for())
    with library.database.as_user(ALICE) as conn:
        conn.execute("delete from public.documents where id = %s", [extra])
    kept = library.read(answer.id)
    assert [citation.quote for citation in kept.citations] == ["The zebra valve is rated at 40 bar in cold water."]
    assert kept.passages[kept.citations[0].number - 1].document_id is None


def test_lost_answers_are_queued_again(library: Library) -> None:
    message = library.ask()
    with library.database.as_worker() as conn:
        conn.execute("delete from pgmq.q_answer")
        assert conn.execute("select corpuscope.requeue_answers('1 hour')").fetchone() == (0,)
        assert conn.execute("select corpuscope.requeue_answers('0')").fetchone() == (1,)
        assert conn.execute("select corpuscope.requeue_answers('0')").fetchone() == (0,)
    assert queued(library) == [str(message)]


def refused(database: Database, statement: str, *values: Any) -> None:
    """Bob gets an error or changes nothing."""
    try:
        with database.as_user(BOB) as conn:
            done = conn.execute(statement, values)
            assert done.rowcount == 0 or done.fetchall() in ([], [(False,)], [(0,)])
    except (DatabaseError, CorpuscopeError):
        return


def test_somebody_else_sees_and_changes_nothing(library: Library) -> None:
    answer = library.answer(library.ask(), settings_for())
    chat = answer.chat_id
    calls: list[Any] = [
        lambda conn: list_messages(conn, chat),
        lambda conn: read_answer(conn, answer.id),
        lambda conn: rename_chat(conn, chat, "mine"),
        lambda conn: delete_chat(conn, chat),
        lambda conn: ask(conn, chat, QUESTION),
        lambda conn: create_chat(conn, library.collection),
    ]
    for call in calls:
        with library.database.as_user(BOB) as conn, pytest.raises(NotFound):
            call(conn)
    with library.database.as_user(BOB) as conn:
        assert list_chats(conn) == []
        assert deltas_after(conn, answer.id, answer.attempt, 0) == []
        assert not stop_answer(conn, answer.id)
        assert not retry_answer(conn, answer.id)
    for table in ("chats", "messages", "message_deltas", "passages", "citations"):
        refused(library.database, f"select count(*) from public.{table}")
    refused(library.database, "select public.ask(%s, 'Why?')", chat)
    refused(library.database, "insert into public.chats (collection_id) values (%s)", library.collection)
    assert library.read(answer.id) == answer


@pytest.mark.parametrize(
    "statement",
    [
        "update public.messages set content = 'forged'",
        "insert into public.messages (chat_id, position, role) select chat_id, 99, 'assistant' from public.messages",
        "insert into public.message_deltas select id, 1, 99, 'forged' from public.messages",
        "update public.citations set quote = 'forged'",
        "delete from public.passages",
        "select corpuscope.requeue_answers()",
    ],
)
def test_even_the_owner_can_t_forge_an_answer(library: Library, statement: str) -> None:
    library.answer(library.ask(), settings_for())
    with pytest.raises(CorpuscopeError), library.database.as_user(ALICE) as conn:
        conn.execute(statement)


def test_a_chat_disappears_with_the_right_to_see_its_collection(library: Library) -> None:
    def member(conn: Connection[Any]) -> UUID:
        return create_chat(conn, library.collection)

    with library.database.as_user(ALICE) as conn:
        conn.execute(
            "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')",
            [library.collection, BOB],
        )
    with library.database.as_user(BOB) as conn:
        chat = member(conn)
        ask(conn, chat, QUESTION)
    with library.database.as_user(ALICE) as conn:
        assert list_chats(conn) == []
        conn.execute("delete from public.collection_members where user_id = %s", [BOB])
    with library.database.as_user(BOB) as conn, pytest.raises(NotFound):
        list_messages(conn, chat)
