"""What became of an answer's passages since, and whether a conversation looks as it did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import Connection

from rag.chat.chat_records import Message
from rag.chat.chats import ask, create_chat, delete_chat, rename_chat, stop_answer
from rag.chat.passage_changes import PassageNow, compare_passages, summarise_changes
from rag.chat.pulse import read_pulse
from rag.chat.votes import vote
from rag.corpus.documents import delete_documents
from rag.corpus.marks import exclude_span
from rag.store.database import Database
from tests.conftest import ALICE, BOB
from tests.integration.library import LAKE, PUMP, Library, settings_for


@pytest.fixture
def library(database: Database) -> Library:
    return Library(database, ALICE, {"pump.txt": PUMP, "lake.txt": LAKE})


@pytest.fixture
def answer(library: Library) -> Message:
    return library.answer(library.ask("How long is the warranty of the Falcon pump, and do ducks eat?"), settings_for())


def states(library: Library, answer: Message) -> dict[str, PassageNow]:
    with library.database.as_user(ALICE) as conn:
        now = {one.number: one for one in compare_passages(conn, answer.id)}
    return {passage.document: now[passage.number] for passage in answer.passages}


def correct(library: Library, name: str, change: Callable[[str], str]) -> None:
    """A later revision of a document's text, as reading a corrected file gives it."""
    document = library.value("select id from public.documents where name = %s", name)
    text = library.value("select text from public.document_texts where document_id = %s and revision = 1", document)
    with library.database.as_worker() as conn:
        conn.execute(
            "insert into public.document_texts (document_id, revision, text) values (%s, 2, %s)",
            [document, change(text)],
        )
        conn.execute("update public.documents set text_revision = 2 where id = %s", [document])


def test_passages_of_documents_as_they_were_are_the_same(library: Library, answer: Message) -> None:
    found = states(library, answer)
    assert {one.state for one in found.values()} == {"same"}
    assert summarise_changes(list(found.values())).startswith("The documents still say all of this")


def test_passages_that_moved_changed_or_went_are_told_apart(library: Library, answer: Message) -> None:
    correct(library, "pump.txt", lambda text: "A new first line.\n" + text)
    found = states(library, answer)
    assert found["pump.txt"].state == "moved"
    assert found["pump.txt"].start == len("A new first line.\n")
    assert found["lake.txt"].state == "same"
    correct(library, "lake.txt", lambda text: text.replace("Ducks", "Geese"))
    assert states(library, answer)["lake.txt"].state == "changed"
    lake = library.value("select id from public.documents where name = 'lake.txt'")
    with library.database.as_user(ALICE) as conn:
        delete_documents(conn, [lake])
    found = states(library, answer)
    assert found["lake.txt"].state == "deleted"
    said = summarise_changes(list(found.values()))
    assert "stands elsewhere in its document now" in said
    assert "is of a document that is gone" in said


def test_a_passage_that_was_left_out_of_search_since_says_so(library: Library, answer: Message) -> None:
    pump = library.value("select id from public.documents where name = 'pump.txt'")
    with library.database.as_user(ALICE) as conn:
        exclude_span(conn, pump, 3, 9)
    assert states(library, answer)["pump.txt"].state == "excluded"


def test_somebody_else_is_told_nothing_of_the_passages(library: Library, answer: Message) -> None:
    with library.database.as_user(BOB) as conn:
        assert compare_passages(conn, answer.id) == []
    assert summarise_changes([]) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda conn, chat, answer: rename_chat(conn, chat, "Another title"),
        lambda conn, chat, answer: ask(conn, chat, "And its weight?"),
        lambda conn, chat, answer: vote(conn, answer, 1),
        lambda conn, chat, answer: stop_answer(conn, answer),
        lambda conn, chat, answer: delete_chat(conn, chat),
    ],
    ids=["title", "question", "vote", "stop", "deletion"],
)
def test_the_pulse_of_a_conversation_tells_every_change(
    library: Library, change: Callable[[Connection[Any], UUID, UUID], object]
) -> None:
    with library.database.as_user(ALICE) as conn:
        chat = create_chat(conn, library.collection)
        message = ask(conn, chat, "How long is the warranty?")
    with library.database.as_user(ALICE) as conn:
        before = read_pulse(conn, chat)
        assert before is not None
        assert read_pulse(conn, chat) == before
        change(conn, chat, message)
        assert read_pulse(conn, chat) != before


def test_nobody_else_feels_the_pulse(library: Library) -> None:
    with library.database.as_user(ALICE) as conn:
        chat = create_chat(conn, library.collection)
    with library.database.as_user(BOB) as conn:
        assert read_pulse(conn, chat) is None
        assert read_pulse(conn, uuid4()) is None
