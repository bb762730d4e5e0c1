"""Collections as their members see and change them, and their indexes."""

from __future__ import annotations

from uuid import UUID

import pytest

from rag.corpus.collections import (
    create_collection,
    delete_collection,
    describe_deletion,
    find_collection,
    get_collection,
    list_collections,
    rename_collection,
)
from rag.corpus.indexes import activate_index, build_index, list_indexes, retire_index
from rag.errors import InvalidInput, ModelNotReady, NotAllowed, NotFound
from rag.store.database import Database
from tests.integration.conftest import Store


def share(database: Database, corpus: UUID, owner: UUID, user: UUID, role: str) -> None:
    with database.as_user(owner) as conn:
        conn.execute("insert into public.collection_members values (%s, %s, %s)", [corpus, user, role])


def test_a_new_collection_is_its_makers(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    with database.as_user(alice) as conn:
        (mine,) = list_collections(conn)
    assert (mine.id, mine.name, mine.role, mine.document_count) == (corpus, "Corpus", "owner", 0)
    assert mine.active_index_id is not None
    with database.as_user(bob) as conn:
        assert list_collections(conn) == []
        with pytest.raises(NotFound, match="isn't shared with you"):
            get_collection(conn, corpus)
        with pytest.raises(NotFound, match="no collection named “Corpus”"):
            find_collection(conn, "Corpus")


def test_names_are_found_whatever_their_case_and_own_ones_first(
    database: Database, corpus: UUID, alice: UUID, bob: UUID
) -> None:
    share(database, corpus, alice, bob, "viewer")
    with database.as_user(bob) as conn:
        assert find_collection(conn, " CORPUS ").id == corpus
        own = create_collection(conn, "corpus")
        assert find_collection(conn, "Corpus").id == own


def test_a_name_can_be_used_once_a_person(database: Database, corpus: UUID, alice: UUID) -> None:
    with pytest.raises(InvalidInput, match="already have a collection named “corpus”"), database.as_user(alice) as conn:
        create_collection(conn, "corpus")
    with database.as_user(alice) as conn:
        other = create_collection(conn, "Other")
    with pytest.raises(InvalidInput, match="already have"), database.as_user(alice) as conn:
        rename_collection(conn, other, "CORPUS")


@pytest.mark.parametrize("name", ["", "  ", "\x00", "x" * 201])
def test_a_name_has_1_to_200_characters(database: Database, alice: UUID, corpus: UUID, name: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 200 characters"), database.as_user(alice) as conn:
        create_collection(conn, name)


def test_without_a_model_that_is_said(database: Database, alice: UUID) -> None:
    with pytest.raises(ModelNotReady), database.as_user(alice) as conn:
        create_collection(conn, "Too early")


def test_only_owners_rename_and_delete(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    share(database, corpus, alice, bob, "editor")
    with database.as_user(bob) as conn:
        with pytest.raises(NotAllowed, match="Only an owner of “Corpus” may rename it"):
            rename_collection(conn, corpus, "Mine")
        with pytest.raises(NotAllowed, match="may delete it"):
            delete_collection(conn, corpus)
    with database.as_user(alice) as conn:
        rename_collection(conn, corpus, "  New   name ")
        assert get_collection(conn, corpus).name == "New name"
        delete_collection(conn, corpus)
        assert list_collections(conn) == []


def test_deleting_says_what_goes(database: Database, corpus: UUID, alice: UUID, store: Store) -> None:
    store("a.txt", b"a")
    store("b.txt", b"b")
    with database.as_user(alice) as conn:
        gone = describe_deletion(conn, corpus)
        assert gone == {"documents": 2, "chunks": 0, "marks": 0, "chats": 0, "profiles": 0, "questions": 0}
        assert get_collection(conn, corpus).document_count == 2


def test_an_index_is_built_beside_and_swapped_when_complete(
    database: Database, corpus: UUID, alice: UUID, store: Store
) -> None:
    stored = store("a.txt", b"a")
    with database.as_worker() as conn:
        conn.execute(
            "insert into public.document_texts (document_id, revision, text) values (%s, 1, 'a')", [stored.document_id]
        )
        conn.execute("update public.documents set stage = 'ready' where id = %s", [stored.document_id])
        conn.execute(
            "insert into public.index_documents (index_id, document_id, collection_id, text_revision)"
            " select active_index_id, %s, id, 1 from public.collections where id = %s",
            [stored.document_id, corpus],
        )
    with database.as_user(alice) as conn:
        second = build_index(conn, corpus, {"size": 100})
        first = get_collection(conn, corpus).active_index_id
    with pytest.raises(InvalidInput, match="not complete yet"), database.as_user(alice) as conn:
        activate_index(conn, second)
    with database.as_worker() as conn:
        conn.execute(
            "insert into public.index_documents (index_id, document_id, collection_id, text_revision)"
            " values (%s, %s, %s, 1)",
            [second, stored.document_id, corpus],
        )
    with database.as_user(alice) as conn:
        activate_index(conn, second)
        states = {row.id: (row.state, row.chunking) for row in list_indexes(conn, corpus)}
        assert states == {second: ("active", {"size": 100}), first: ("ready", {})}
        assert first is not None
        retire_index(conn, first)
        assert [row.state for row in list_indexes(conn, corpus)] == ["active", "retired"]


def test_strangers_build_no_index(database: Database, corpus: UUID, bob: UUID) -> None:
    with pytest.raises(NotAllowed), database.as_user(bob) as conn:
        build_index(conn, corpus, {})
