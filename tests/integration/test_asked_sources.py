"""What a conversation is kept to: documents, which become a selection, or a selection that there is."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from rag.chat.asked_sources import keep_to, list_searchable, scope_of_documents, whole_documents
from rag.chat.chats import create_chat, list_chats
from rag.corpus.collections import create_collection
from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.records import LOCAL_USER
from rag.retrieval.scopes import Piece, make_scope, read_scope
from rag.store.database import Database
from tests.integration.library import LAKE, PUMP, QUESTION, Library, settings_for


@pytest.fixture
def library(database: Database) -> Library:
    return Library(database, LOCAL_USER, {"pump.md": PUMP, "Lake.txt": LAKE})


def document(library: Library, name: str) -> UUID:
    found: UUID = library.value("select id from public.documents where name = %s", name)
    return found


def test_documents_become_a_selection_of_their_whole_texts(library: Library) -> None:
    lake, pump = document(library, "Lake.txt"), document(library, "pump.md")
    with library.database.as_user(library.user) as conn:
        assert [one.name for one in list_searchable(conn, library.collection, 9)] == ["Lake.txt", "pump.md"]
        assert [one.id for one in list_searchable(conn, library.collection, 1)] == [lake]
        assert [one.id for one in list_searchable(conn, library.collection, 9, " PUMP")] == [pump]
        assert list_searchable(conn, library.collection, 9, "%") == []
        scope = scope_of_documents(conn, library.collection, [pump, lake])
        assert read_scope(conn, scope).size == "2 passages of 2 documents"
        assert whole_documents(conn, scope) == [(lake, "Lake.txt"), (pump, "pump.md")]


def test_passages_are_no_whole_documents(library: Library) -> None:
    lake, pump = document(library, "Lake.txt"), document(library, "pump.md")
    with library.database.as_user(library.user) as conn:
        part = make_scope(conn, library.collection, None, [Piece(pump, 0, len(PUMP)), Piece(lake, 1, len(LAKE))])
        assert whole_documents(conn, part) is None
        assert whole_documents(conn, part + 1) is None


def test_documents_without_a_text_or_of_another_collection_are_none(library: Library) -> None:
    with library.database.as_user(library.user) as conn:
        other = create_collection(conn, "Other")
        with pytest.raises(InvalidInput, match="has a text"):
            scope_of_documents(conn, other, [document(library, "pump.md")])
        with pytest.raises(InvalidInput):
            scope_of_documents(conn, library.collection, [])


def test_a_conversation_is_kept_to_documents_from_the_next_question_on(library: Library) -> None:
    with library.database.as_user(library.user) as conn:
        chat = create_chat(conn, library.collection)
    before = library.answer(library.ask(QUESTION, chat=chat), settings_for())
    assert before.scope is None
    assert "27 months" in before.content
    with library.database.as_user(library.user) as conn:
        scope = scope_of_documents(conn, library.collection, [document(library, "Lake.txt")])
        keep_to(conn, chat, scope)
        assert [one.scope_id for one in list_chats(conn, library.collection)] == [scope]
    after = library.answer(library.ask(QUESTION, chat=chat), settings_for())
    assert after.scope is not None
    assert {passage.document for passage in after.passages} <= {"Lake.txt"}


def test_what_cannot_be_used_there_is_refused(library: Library, bob: UUID) -> None:
    lake = document(library, "Lake.txt")
    with library.database.as_user(library.user) as conn:
        chat = create_chat(conn, library.collection)
        elsewhere = create_chat(conn, create_collection(conn, "Other"))
        scope = scope_of_documents(conn, library.collection, [lake])
    for wrong in ((chat, scope + 1), (elsewhere, scope)):
        with pytest.raises(NotFound, match="selection"), library.database.as_user(library.user) as conn:
            keep_to(conn, *wrong)
    with pytest.raises(NotAllowed), library.database.as_user(library.user) as conn:
        keep_to(conn, uuid4(), scope)
    with pytest.raises(NotAllowed), library.database.as_user(bob) as conn:
        keep_to(conn, chat, scope)
