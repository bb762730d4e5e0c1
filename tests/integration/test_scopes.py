"""Scopes: what a saved selection keeps a search to, whatever becomes of chunks and texts; and who may use which."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from rag.chat.chats import create_chat
from rag.corpus.collections import create_collection
from rag.corpus.documents import delete_documents
from rag.corpus.marks import exclude_span
from rag.corpus.texts import correct_text
from rag.curation.acts import move_documents, trash_documents
from rag.curation.curation_log import undo_act
from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.scopes import Piece, delete_scope, find_scope, list_scopes, make_scope, name_scope, read_scope
from rag.retrieval.search import search
from rag.store.database import Database
from tests.integration.searchable import active_index, add_document


def save(database: Database, user: UUID, collection: UUID, *spans: Piece, name: str | None = None) -> int:
    with database.as_user(user) as conn:
        return make_scope(conn, collection, name, spans)


def ask(
    database: Database,
    user: UUID,
    collection: UUID,
    scope: int | None,
    documents: list[UUID] | None = None,
    **settings: Any,
) -> list[Hit]:
    with database.as_user(user) as conn:
        profile = RetrievalProfile(**settings)
        return search(conn, collection, "garden", [1.0, 0, 0, 0], profile, documents, scope=scope)


def found(hits: Sequence[Hit]) -> list[int]:
    return [hit.chunk_id for hit in hits]


def members(database: Database, user: UUID, scope: int, index: int | None = None) -> set[int]:
    with database.as_user(user) as conn:
        return {row[0] for row in conn.execute("select * from scope_members(%s, %s)", [scope, index])}


def share(database: Database, collection: UUID, user: UUID, role: str) -> None:
    with database.as_owner() as conn:
        conn.execute(
            "insert into collection_members (collection_id, user_id, role) values (%s, %s, %s)"
            " on conflict (collection_id, user_id) do update set role = excluded.role",
            [collection, user, role],
        )


def fill(database: Database, collection: UUID, *, documents: int = 4, chunks: int = 60) -> dict[UUID, list[int]]:
    """Documents of so many chunks each. Chunk n, from 1, is the characters from 100 n to 100 n + 50."""
    rng = np.random.default_rng(5)
    made = {}
    for n in range(documents):
        texts = [f"The {'garden' if m % 3 else 'house'} number {m} of street {n}." for m in range(chunks)]
        vectors = rng.normal(size=(chunks, 4)).tolist()
        document, ids = add_document(database, collection, texts, name=f"{n}.txt", vectors=vectors)
        made[document] = ids
    return made


def test_a_search_stays_in_the_scope_and_finds_all_of_it(database: Database, corpus: UUID, alice: UUID) -> None:
    (first, one), (second, two) = list(fill(database, corpus).items())[:2]
    scope = save(database, alice, corpus, Piece(first, 100, 550), Piece(second, 0, 10_000))
    inside = {*one[:5], *two}
    for mode in ("dense", "hybrid"):
        assert set(found(ask(database, alice, corpus, scope, mode=mode, k=200))) == inside
        assert len(ask(database, alice, corpus, scope, mode=mode, k=7)) == 7
        both = ask(database, alice, corpus, scope, [first], mode=mode, k=200)
        assert set(found(both)) == set(one[:5])
    words = ask(database, alice, corpus, scope, mode="lexical", k=200)
    everywhere = ask(database, alice, corpus, None, mode="lexical", k=200)
    assert set(found(words)) == set(found(everywhere)) & inside
    assert 0 < len(words) < len(inside)


def test_the_order_in_a_scope_is_the_order_of_all(database: Database, corpus: UUID, alice: UUID) -> None:
    (document, ids), *_ = fill(database, corpus).items()
    scope = save(database, alice, corpus, Piece(document, 0, 10_000))
    everywhere = [id_ for id_ in found(ask(database, alice, corpus, None, mode="dense", k=1000)) if id_ in ids]
    assert found(ask(database, alice, corpus, scope, mode="dense", k=1000)) == everywhere


@pytest.mark.parametrize("passages", [10, 10_000_000])
def test_small_and_large_scopes_find_the_same(database: Database, corpus: UUID, alice: UUID, passages: int) -> None:
    """What a scope is said to hold decides how it is searched, and nothing else: by the graph and by candidates too."""
    made = fill(database, corpus)
    with database.as_owner() as conn:
        conn.execute("select corpuscope.ensure_vector_index(m.id) from embedding_models m where m.name = 'tiny'")
    scope = save(database, alice, corpus, *(Piece(document, 0, 2_050) for document in made))
    inside = {id_ for ids in made.values() for id_ in ids[:20]}
    expected = {mode: ask(database, alice, corpus, scope, mode=mode, k=200) for mode in ("dense", "lexical", "hybrid")}
    with database.as_owner() as conn:
        conn.execute("update scopes set passages = %s where id = %s", [passages, scope])
    for mode, hits in expected.items():
        assert set(found(hits)) <= inside
        assert found(ask(database, alice, corpus, scope, mode=mode, k=200)) == found(hits)


def test_half_of_a_chunk_is_enough(database: Database, corpus: UUID, alice: UUID) -> None:
    (document, ids), *_ = fill(database, corpus, documents=1).items()
    # Of 50 characters 25, 24, and 25 in two parts.
    spans = [Piece(document, 100, 125), Piece(document, 200, 224), Piece(document, 300, 310), Piece(document, 335, 350)]
    assert members(database, alice, save(database, alice, corpus, *spans)) == {ids[0], ids[2]}


def test_membership_is_as_counted_by_hand(database: Database, corpus: UUID, alice: UUID) -> None:
    (document, ids), *_ = fill(database, corpus, documents=1).items()
    for seed in range(20):
        rng = random.Random(seed)
        starts = [rng.randrange(0, 6_000) for _ in range(rng.randrange(1, 60))]
        spans = [Piece(document, start, start + rng.randrange(1, 90)) for start in starts]
        covered = {place for span in spans for place in range(span.start, span.end)}
        expected = {
            chunk
            for n, chunk in enumerate(ids, 1)
            if 2 * sum(place in covered for place in range(100 * n, 100 * n + 50)) >= 50
        }
        if expected:
            assert members(database, alice, save(database, alice, corpus, *spans)) == expected, seed


def test_a_new_chunking_is_covered_too(database: Database, corpus: UUID, alice: UUID) -> None:
    (document, ids), *_ = fill(database, corpus, documents=1, chunks=4).items()
    scope = save(database, alice, corpus, Piece(document, 100, 250))
    assert members(database, alice, scope) == set(ids[:2])
    with database.as_owner() as conn, conn.transaction():
        index = active_index(conn, corpus)
        conn.execute("update chunks set start_char = 240, end_char = 300 where id = %s", [ids[1]])
        conn.execute("delete from chunks where id = %s", [ids[0]])
        row = conn.execute(
            "insert into chunks (index_id, document_id, collection_id, ordinal, start_char, end_char, text)"
            " values (%s, %s, %s, 9, 90, 180, 'a new one') returning id",
            [index, document, corpus],
        ).fetchone()
    assert row is not None
    assert members(database, alice, scope) == {row[0]}
    with database.as_user(alice) as conn:
        assert read_scope(conn, scope).size == "1 passage of 1 document"


def test_spans_follow_a_correction(database: Database, corpus: UUID, alice: UUID) -> None:
    text = "One two three. " * 40
    (document, _), *_ = fill(database, corpus, documents=1, chunks=4).items()
    with database.as_owner() as conn:
        conn.execute("delete from document_texts where document_id = %s", [document])
        conn.execute("insert into document_texts (document_id, revision, text) values (%s, 1, %s)", [document, text])
        conn.execute("update documents set text_revision = 1, char_count = %s where id = %s", [len(text), document])
    scope = save(database, alice, corpus, Piece(document, 100, 150), Piece(document, 200, 250))
    with database.as_user(alice) as conn:
        correct_text(conn, document, 1, 0, 0, "x" * 100)
        spans = conn.execute("select start_char, end_char from scope_spans order by 1").fetchall()
    assert spans == [(200, 250), (300, 350)]
    assert len(members(database, alice, scope)) == 2
    with database.as_user(alice) as conn:
        correct_text(conn, document, 2, 190, 260, "")
        spans = conn.execute("select start_char, end_char from scope_spans order by 1").fetchall()
    assert spans == [(230, 280)]


def test_a_viewers_own_scope_follows_an_editors_correction(
    database: Database, corpus: UUID, alice: UUID, bob: UUID
) -> None:
    (document, _), *_ = fill(database, corpus, documents=1, chunks=4).items()
    with database.as_owner() as conn:
        conn.execute(
            "insert into document_texts (document_id, revision, text) values (%s, 1, %s)", [document, "a " * 400]
        )
    share(database, corpus, bob, "viewer")
    save(database, bob, corpus, Piece(document, 100, 150))
    with database.as_user(alice) as conn:
        assert conn.execute("select count(*) from scope_spans").fetchone() == (0,)
        correct_text(conn, document, 1, 0, 0, "12345")
    with database.as_user(bob) as conn:
        assert conn.execute("select start_char, end_char from scope_spans").fetchall() == [(105, 155)]


def test_deleted_documents_and_excluded_chunks_are_out(database: Database, corpus: UUID, alice: UUID) -> None:
    (first, one), (second, _), *_ = fill(database, corpus).items()
    with database.as_owner() as conn:
        conn.execute("update documents set char_count = 10000")
    scope = save(database, alice, corpus, Piece(first, 100, 350), Piece(second, 100, 350))
    with database.as_user(alice) as conn:
        exclude_span(conn, first, 100, 150)
        assert read_scope(conn, scope).size == "5 passages of 2 documents"
        delete_documents(conn, [second])
        assert read_scope(conn, scope).size == "2 passages of 1 document"
    assert set(found(ask(database, alice, corpus, scope, mode="dense"))) == set(one[1:3])
    with database.as_user(alice) as conn:
        delete_documents(conn, [first])
    assert ask(database, alice, corpus, scope, mode="dense") == []


def test_documents_in_the_trash_or_elsewhere_are_out_until_that_is_undone(
    database: Database, corpus: UUID, alice: UUID
) -> None:
    made = fill(database, corpus, documents=3, chunks=5)
    with database.as_owner() as conn:
        conn.execute("update documents set char_count = 10000, stage = 'ready'")
    scope = save(database, alice, corpus, *(Piece(document, 100, 350) for document in made))
    before = members(database, alice, scope)
    assert len(before) == 9
    first, second, third = made
    with database.as_user(alice) as conn:
        other = create_collection(conn, "Other")
        trashed = trash_documents(conn, corpus, [first])
        moved = move_documents(conn, corpus, [second], other)
        assert read_scope(conn, scope).size == "3 passages of 1 document"
    assert {hit.document_id for hit in ask(database, alice, corpus, scope, mode="dense")} == {third}
    assert save(database, alice, corpus, Piece(third, 0, 900))
    with pytest.raises(InvalidInput, match="Nothing of that selection"):
        save(database, alice, corpus, Piece(first, 0, 900), Piece(second, 0, 900))
    with database.as_user(alice) as conn:
        undo_act(conn, trashed.id)
        undo_act(conn, moved.id)
    assert members(database, alice, scope) == before
    assert len(ask(database, alice, corpus, scope, mode="dense")) == 9


def test_what_overlaps_is_one_span(database: Database, corpus: UUID, alice: UUID) -> None:
    (document, _), *_ = fill(database, corpus, documents=1).items()
    scope = save(
        database, alice, corpus, Piece(document, 100, 200), Piece(document, 150, 300), Piece(document, 300, 310)
    )
    with database.as_user(alice) as conn:
        spans = conn.execute("select start_char, end_char from scope_spans where scope_id = %s", [scope]).fetchall()
    assert spans == [(100, 310)]


def test_names_are_found_listed_given_and_taken(database: Database, corpus: UUID, alice: UUID) -> None:
    (document, _), *_ = fill(database, corpus, documents=1).items()
    piece = Piece(document, 100, 350)
    named = save(database, alice, corpus, piece, name="  Wing \n flutter ")
    unnamed = save(database, alice, corpus, piece)
    with database.as_user(alice) as conn:
        assert [(one.id, one.name) for one in list_scopes(conn, corpus)] == [(named, "Wing flutter")]
        assert find_scope(conn, corpus, "wing  FLUTTER").id == named
        name_scope(conn, unnamed, "Another")
        assert [one.id for one in list_scopes(conn, corpus)] == [unnamed, named]
        with pytest.raises(NotFound, match="no selection named"):
            find_scope(conn, corpus, "wings")
    with pytest.raises(InvalidInput, match="already"), database.as_user(alice) as conn:
        name_scope(conn, unnamed, "wing flutter")
    with pytest.raises(InvalidInput, match="1 to 80"), database.as_user(alice) as conn:
        make_scope(conn, corpus, " ", [piece])
    with pytest.raises(InvalidInput, match="Nothing is selected"), database.as_user(alice) as conn:
        make_scope(conn, corpus, None, [])
    with pytest.raises(InvalidInput, match="Nothing of that selection"), database.as_user(alice) as conn:
        make_scope(conn, corpus, None, [Piece(uuid4(), 0, 10)])


def test_who_may_use_which(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    (document, _), *_ = fill(database, corpus, documents=1).items()
    piece = Piece(document, 100, 350)
    named, own = save(database, alice, corpus, piece, name="Saved"), save(database, alice, corpus, piece)
    for scope in (named, own):
        assert members(database, bob, scope) == set()
        with pytest.raises(NotFound), database.as_user(bob) as conn:
            read_scope(conn, scope)
    with pytest.raises(NotFound):
        save(database, bob, corpus, piece)
    share(database, corpus, bob, "viewer")
    assert len(ask(database, bob, corpus, named, mode="dense")) == 3
    with pytest.raises(NotFound, match="not shared with you"):
        ask(database, bob, corpus, own, mode="dense")
    with pytest.raises(NotFound, match="not shared with you"):
        ask(database, bob, corpus, own, mode="lexical")
    with pytest.raises(NotAllowed, match="not save selections"):
        save(database, bob, corpus, piece, name="Mine")
    theirs = save(database, bob, corpus, piece)
    for scope in (named, own):
        with pytest.raises(NotAllowed), database.as_user(bob) as conn:
            delete_scope(conn, scope)
    with pytest.raises(NotAllowed), database.as_user(bob) as conn:
        name_scope(conn, theirs, "Mine")
    with database.as_user(bob) as conn:
        delete_scope(conn, theirs)
    with pytest.raises(NotFound), database.as_user(alice) as conn:
        read_scope(conn, theirs)


def test_nobody_writes_spans_past_the_functions(database: Database, corpus: UUID, alice: UUID) -> None:
    (document, _), *_ = fill(database, corpus, documents=1).items()
    scope = save(database, alice, corpus, Piece(document, 100, 350))
    for statement in (
        "insert into scope_spans values (%(scope)s, %(document)s, 0, 9)",
        "delete from scope_spans where scope_id = %(scope)s and document_id = %(document)s",
        "delete from scopes where id = %(scope)s and %(document)s is not null",
    ):
        with pytest.raises(NotAllowed), database.as_user(alice) as conn:
            conn.execute(statement.encode(), {"scope": scope, "document": document})


def test_a_scope_that_a_conversation_is_bound_to_stays(
    database: Database, corpus: UUID, alice: UUID, bob: UUID
) -> None:
    (document, _), *_ = fill(database, corpus, documents=1).items()
    scope = save(database, alice, corpus, Piece(document, 100, 350), name="Saved")
    share(database, corpus, bob, "viewer")
    with database.as_user(bob) as conn:
        create_chat(conn, corpus, scope=scope)
    with database.as_user(alice) as conn:
        delete_scope(conn, scope)
        assert list_scopes(conn, corpus) == []
    assert len(ask(database, bob, corpus, scope, mode="dense")) == 3


def test_nobody_binds_a_conversation_to_what_they_may_not_use(
    database: Database, corpus: UUID, alice: UUID, bob: UUID
) -> None:
    """Else they would learn by its answers what somebody else had selected."""
    (document, _), *_ = fill(database, corpus, documents=1).items()
    own = save(database, alice, corpus, Piece(document, 100, 350))
    share(database, corpus, bob, "viewer")
    with pytest.raises(NotFound), database.as_user(bob) as conn:
        create_chat(conn, corpus, scope=own)
    with database.as_user(bob) as conn:
        chat = create_chat(conn, corpus)
    with pytest.raises(NotAllowed), database.as_user(bob) as conn:
        conn.execute("update chats set scope_id = %s where id = %s", [own, chat])


def test_what_was_made_by_the_way_is_not_kept_for_ever(database: Database, corpus: UUID, alice: UUID) -> None:
    (document, _), *_ = fill(database, corpus, documents=1).items()
    piece = Piece(document, 100, 350)
    first = save(database, alice, corpus, piece)
    kept = save(database, alice, corpus, piece)
    with database.as_user(alice) as conn:
        create_chat(conn, corpus, scope=kept)
    for _ in range(60):
        last = save(database, alice, corpus, piece)
    with database.as_user(alice) as conn:
        left = {row[0] for row in conn.execute("select id from scopes")}
    assert {kept, last} <= left
    assert first not in left
    assert len(left) <= 52
