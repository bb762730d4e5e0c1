"""Acts of curation: what they change, that each is undone in any order, and what lies in the trash meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection

from rag.corpus.collections import create_collection
from rag.corpus.marks import exclude_span, list_marks, remove_mark, tag_span
from rag.curation import acts
from rag.curation.curation_log import Act, list_acts, redo_act, undo_act
from rag.curation.selecting import Span
from rag.curation.trash import list_trash, restore_documents
from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.store.database import Database
from tests.integration.searchable import add_document

TEXTS = [f"passage number {n} about harbours" for n in range(6)]
QUESTION = "harbours"


class Desk:
    """Alice's two collections, with documents of six passages (characters n·100 to n·100 + 50, from n = 1)."""

    def __init__(self, database: Database, owner: UUID, corpus: UUID) -> None:
        self.database, self.owner, self.corpus = database, owner, corpus
        with database.as_user(owner) as conn:
            self.other = create_collection(conn, "Other")
        self.documents: list[UUID] = []
        for number in range(3):
            vectors = [[1.0, number, place, 0.5] for place in range(len(TEXTS))]
            made, _ = add_document(database, corpus, TEXTS, name=f"{number}.txt", vectors=vectors)
            self.documents.append(made)
        with database.as_owner() as conn:
            conn.execute("update documents set stage = 'ready', char_count = 700")
            conn.execute(
                "insert into document_texts (document_id, revision, text)"
                " select id, 1, repeat('x', 700) from documents on conflict do nothing"
            )

    def span(self, document: int, first: int, last: int | None = None) -> Span:
        """Passages ``first`` to ``last`` of a document, from 1."""
        return Span(0, self.documents[document], first * 100, (last or first) * 100 + 50)

    def do(self, act: Callable[..., Any], *arguments: Any) -> Any:
        with self.database.as_user(self.owner) as conn:
            return act(conn, *arguments)

    def act(self, act: Callable[..., Act], *arguments: Any) -> Act:
        made: Act = self.do(act, self.corpus, *arguments)
        return made

    def found(self) -> int:
        return len(self.do(search, self.corpus))

    def snapshot(self) -> dict[str, list[Any]]:
        """Everything that an undone act must leave as it was."""
        with self.database.as_owner() as conn:
            state = {
                name: conn.execute(query.encode()).fetchall()
                for name, query in {
                    "documents": "select * from documents order by id",
                    "marks": "select id, document_id, collection_id, start_char, end_char, kind, tag, created_by,"
                    " created_at, by_acts from span_marks order by id",
                    "chunks": "select * from chunks order by id",
                    "embeddings": "select *, embedding::text from embeddings order by chunk_id",
                    "counters": "select * from index_documents order by 1, 2",
                    "texts": "select document_id, revision, text from document_texts order by 1, 2",
                    "parked": "select id from corpuscope.parked_chunks",
                    "aside": "select id from corpuscope.cut_marks",
                }.items()
            }
        for collection in (self.corpus, self.other):
            state[f"hits in {collection}"] = self.do(search, collection)
        return state


def search(conn: Connection[Any], collection: UUID) -> list[Any]:
    return conn.execute(
        "select chunk_id, score from search_chunks(%s, %s, '[1,1,1,1]', '{\"k\": 50}') order by 2 desc, 1",
        [collection, QUESTION],
    ).fetchall()


@pytest.fixture
def desk(database: Database, alice: UUID, corpus: UUID) -> Desk:
    return Desk(database, alice, corpus)


def test_an_exclusion_takes_effect_at_once_and_is_one_entry(desk: Desk) -> None:
    assert desk.found() == 18
    assert desk.do(acts.preview, "exclude", [desk.span(0, 1, 3), desk.span(1, 2)]) == (4, 2)
    act = desk.act(acts.exclude, [desk.span(0, 1, 3), desk.span(1, 2)], "off topic")
    assert (act.passages, act.documents, act.words) == (4, 2, "Excluded 4 passages of 2 documents from search")
    assert desk.found() == 14
    assert desk.do(list_acts, desk.corpus) == [act]
    assert desk.do(undo_act, act.id).undone
    assert desk.found() == 18
    assert not desk.do(redo_act, act.id).undone
    assert desk.found() == 14
    with pytest.raises(InvalidInput, match="done already"):
        desk.do(redo_act, act.id)


def test_overlapping_exclusions_are_undone_apart(desk: Desk) -> None:
    first = desk.act(acts.exclude, [desk.span(0, 1, 3)])
    desk.act(acts.exclude, [desk.span(0, 3, 5)])
    assert desk.found() == 13
    desk.do(undo_act, first.id)
    assert desk.found() == 15


def test_including_cuts_an_earlier_exclusion_and_undoing_mends_it(desk: Desk) -> None:
    desk.do(exclude_span, desk.documents[0], 0, 700)
    by_hand = desk.do(list_marks, desk.documents[0])
    act = desk.act(acts.include, [desk.span(0, 2)])
    assert (act.passages, desk.found()) == (1, 13)
    desk.do(undo_act, act.id)
    assert desk.found() == 12
    assert desk.do(list_marks, desk.documents[0]) == by_hand


def test_tags_that_were_there_stay(desk: Desk) -> None:
    desk.do(tag_span, desk.documents[0], 100, 150, "old")
    by_hand = desk.do(list_marks, desk.documents[0])
    act = desk.act(acts.tag, [desk.span(0, 1), desk.span(0, 2)], " old ")
    assert len(desk.do(list_marks, desk.documents[0])) == 2
    assert desk.do(acts.list_tags, desk.corpus) == ["old"]
    desk.do(undo_act, act.id)
    assert desk.do(list_marks, desk.documents[0]) == by_hand


def test_what_is_set_or_removed_by_hand_outlives_the_act(desk: Desk) -> None:
    act = desk.act(acts.tag, [desk.span(0, 1), desk.span(0, 3)], "x")
    kept = desk.do(tag_span, desk.documents[0], 100, 150, "x")
    gone = next(mark for mark in desk.do(list_marks, desk.documents[0]) if mark.id != kept)
    desk.do(remove_mark, gone.id)
    desk.act(acts.tag, [desk.span(0, 5)], "x")
    assert [mark.start for mark in desk.do(list_marks, desk.documents[0])] == [100, 500]
    desk.do(undo_act, act.id)
    assert [mark.start for mark in desk.do(list_marks, desk.documents[0])] == [100, 500]


def test_the_trash_hides_a_document_and_gives_it_back_whole(desk: Desk) -> None:
    before = desk.snapshot()
    act = desk.act(acts.trash_documents, desk.documents[:2])
    assert act.words == "Put 2 documents in the trash"
    assert desk.found() == 6
    assert [entry.passages for entry in desk.do(list_trash, desk.corpus)] == [6, 6]
    with desk.database.as_user(desk.owner) as conn:
        assert conn.execute("select count(*) from documents").fetchone() == (1,)
    assert desk.do(restore_documents, desk.documents[:1]) == 1
    assert desk.found() == 12
    assert not desk.do(list_acts, desk.corpus)[0].undone
    assert desk.do(restore_documents, desk.documents[1:2]) == 1
    assert desk.do(list_acts, desk.corpus)[0].undone
    assert desk.snapshot() == before


def test_words_that_were_swept_are_found_again(desk: Desk) -> None:
    before = desk.snapshot()
    act = desk.act(acts.trash_documents, desk.documents)
    with desk.database.as_worker() as conn:
        assert conn.execute("select corpuscope.sweep_lexical(500)").fetchone() == (18,)
    desk.do(undo_act, act.id)
    assert desk.snapshot() == before


def test_a_move_takes_the_document_along_and_back(desk: Desk) -> None:
    before = desk.snapshot()
    desk.do(tag_span, desk.documents[0], 100, 150, "kept")
    act = desk.act(acts.move_documents, desk.documents[:1], desk.other)
    assert act.words == "Moved 1 document to “Other”"
    assert desk.found() == 12
    with desk.database.as_worker() as conn:
        row = conn.execute("select collection_id, stage from documents where id = %s", [desk.documents[0]]).fetchone()
        assert row == (desk.other, "chunking")
        queued = conn.execute(
            "select message ->> 'document' from pgmq.q_ingest order by msg_id desc limit 1"
        ).fetchone()
        assert queued == (str(desk.documents[0]),)
    (mark,) = desk.do(list_marks, desk.documents[0])
    desk.do(undo_act, act.id)
    desk.do(remove_mark, mark.id)
    assert desk.snapshot() == before


def test_the_same_file_in_the_target_stays_where_it_is(desk: Desk) -> None:
    add_document(desk.database, desk.other, ["the same"], name="0.txt")
    check = desk.do(acts.check_move, desk.documents, desk.other)
    assert (check.movable, check.already_there) == (2, ["0.txt"])
    assert desk.act(acts.move_documents, desk.documents, desk.other).documents == 2
    with pytest.raises(InvalidInput, match="has the same files already"):
        desk.act(acts.move_documents, desk.documents[:1], desk.other)


@pytest.mark.parametrize("seed", range(8))
def test_acts_undone_in_a_random_order_leave_everything_as_it_was(desk: Desk, seed: int) -> None:
    chance = random.Random(seed)
    for document in range(3):
        first = chance.randint(1, 5)
        desk.do(exclude_span, desk.documents[document], first * 100, first * 100 + chance.choice([30, 50, 170]))
        desk.do(tag_span, desk.documents[document], 100, 350, "a")
    before = desk.snapshot()
    done: list[int] = []
    for _ in range(24):
        if (made := _random_act(desk, chance)) is not None:
            done.append(made)
        if done and chance.random() < 0.25:
            done.remove(struck := chance.choice(done))
            desk.do(undo_act, struck)
            if chance.random() < 0.5:
                desk.do(redo_act, struck)
                done.append(struck)
    assert len(done) > 2
    assert desk.snapshot() != before
    chance.shuffle(done)
    for act_id in done:
        desk.do(undo_act, act_id)
    assert desk.snapshot() == before


def _random_act(desk: Desk, chance: random.Random) -> int | None:
    spans = []
    for _ in range(chance.randint(1, 4)):
        first = chance.randint(1, 6)
        spans.append(desk.span(chance.randint(0, 2), first, min(6, first + chance.randint(0, 2))))
    home, away = chance.choice([(desk.corpus, desk.other)] * 2 + [(desk.other, desk.corpus)])
    some = chance.sample(desk.documents, chance.randint(1, 2))
    choices: list[Callable[[], Act]] = [
        lambda: desk.do(acts.exclude, home, spans),
        lambda: desk.do(acts.include, home, spans),
        lambda: desk.do(acts.tag, home, spans, chance.choice("ab")),
        lambda: desk.do(acts.untag, home, spans, chance.choice("ab")),
        lambda: desk.do(acts.trash_documents, home, some),
        lambda: desk.do(acts.move_documents, home, some, away),
    ]
    try:
        return chance.choice(choices)().id
    except InvalidInput:
        return None  # nothing of it is there


def test_a_stranger_and_a_viewer_change_nothing(desk: Desk, bob: UUID) -> None:
    act = desk.act(acts.exclude, [desk.span(0, 1)])
    before = desk.snapshot()
    with desk.database.as_user(bob) as conn:
        assert list_acts(conn, desk.corpus) == []
        assert list_trash(conn, desk.corpus) == []
    attempts: list[Callable[[Connection[Any]], Any]] = [
        lambda conn: acts.exclude(conn, desk.corpus, [desk.span(1, 1)]),
        lambda conn: acts.trash_documents(conn, desk.corpus, desk.documents),
        lambda conn: undo_act(conn, act.id),
    ]
    for attempt in attempts:
        with pytest.raises((NotAllowed, NotFound)), desk.database.as_user(bob) as conn:
            attempt(conn)
    with desk.database.as_owner() as conn:
        conn.execute("insert into collection_members values (%s, %s, 'viewer')", [desk.corpus, bob])
    with desk.database.as_user(bob) as conn:
        assert [one.id for one in list_acts(conn, desk.corpus)] == [act.id]
    with pytest.raises(NotAllowed), desk.database.as_user(bob) as conn:
        undo_act(conn, act.id)
    assert desk.snapshot() == before
