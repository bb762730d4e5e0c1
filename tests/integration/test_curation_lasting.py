"""What curation outlives and respects: corrections, limits of a target, rights, uploads of what lies in the trash."""

from __future__ import annotations

from uuid import UUID

import pytest

from rag.corpus.documents import get_document, list_documents
from rag.corpus.marks import list_marks
from rag.corpus.texts import correct_text
from rag.curation import acts
from rag.curation.curation_log import undo_act
from rag.curation.trash import delete_for_good, empty_trash, list_trash
from rag.errors import LimitReached, NotAllowed
from rag.store.database import Database
from rag.work import upkeep
from tests.integration.conftest import Store
from tests.integration.test_curation import Desk


@pytest.fixture
def desk(database: Database, alice: UUID, corpus: UUID) -> Desk:
    return Desk(database, alice, corpus)


def test_an_act_moves_with_a_correction_and_is_undone_after_it(desk: Desk) -> None:
    act = desk.act(acts.tag, [desk.span(0, 2), desk.span(0, 4)], "x")
    cut = desk.act(acts.untag, [desk.span(0, 4)], "x")
    desk.do(correct_text, desk.documents[0], 1, 0, 10, "longer than that")
    assert [(mark.start, mark.end) for mark in desk.do(list_marks, desk.documents[0])] == [(206, 256)]
    desk.do(undo_act, cut.id)
    assert [mark.start for mark in desk.do(list_marks, desk.documents[0])] == [206, 406]
    desk.do(undo_act, act.id)
    assert desk.do(list_marks, desk.documents[0]) == []


def test_the_trash_is_emptied_after_thirty_days(desk: Desk) -> None:
    desk.act(acts.trash_documents, desk.documents[:2])
    with desk.database.as_owner() as conn:
        conn.execute("update documents set trashed_at = now() - interval '31 days' where id = %s", [desk.documents[0]])
    with desk.database.as_worker() as conn:
        assert upkeep.empty_trash(conn)
    assert [one.id for one in desk.do(list_trash, desk.corpus)] == [desk.documents[1]]
    assert desk.do(delete_for_good, desk.corpus, [desk.documents[2]]) == 0
    assert desk.do(empty_trash, desk.corpus) == 1
    assert [one.id for one in desk.do(list_documents, desk.corpus)] == [desk.documents[2]]


def test_a_worker_and_the_buttons_leave_the_trash_alone(desk: Desk) -> None:
    desk.act(acts.trash_documents, desk.documents[:1])
    with desk.database.as_worker() as conn:
        assert conn.execute("select from documents where id = %s", [desk.documents[0]]).fetchone() is None
        conn.execute("delete from pgmq.q_ingest")
        conn.execute("select corpuscope.requeue_missing('0 seconds')")
        queued = conn.execute("select message ->> 'document' from pgmq.q_ingest").fetchall()
        assert str(desk.documents[0]) not in {row[0] for row in queued}
    for function in ("retry_documents", "pause_documents", "resume_documents", "cancel_documents"):
        with desk.database.as_user(desk.owner) as conn:
            assert conn.execute(f"select {function}(%s)".encode(), [desk.documents[:1]]).fetchone() == (0,)


def test_the_same_file_again_takes_it_out_of_the_trash(desk: Desk, store: Store) -> None:
    data = b"a file that was deleted and comes again"
    stored = store("again.txt", data).document_id
    assert stored is not None
    desk.act(acts.trash_documents, [stored])
    back = store("other name.txt", data)
    assert (back.outcome, back.document_id) == ("restored", None)
    assert back.existing is not None
    assert (back.existing.id, back.existing.name) == (stored, "again.txt")
    assert desk.do(list_trash, desk.corpus) == []


def test_a_target_keeps_its_limits(desk: Desk) -> None:
    before = desk.snapshot()
    with desk.database.as_owner() as conn:
        conn.execute("insert into corpuscope.limits (scope, subject, files) values ('collection', %s, 1)", [desk.other])
    with pytest.raises(LimitReached, match="can hold 1 file"):
        desk.act(acts.move_documents, desk.documents[:2], desk.other)
    assert desk.snapshot() == before
    assert desk.act(acts.move_documents, desk.documents[:1], desk.other).documents == 1


def test_who_may_not_edit_the_target_moves_nothing(desk: Desk, bob: UUID) -> None:
    with desk.database.as_owner() as conn:
        conn.execute("insert into collection_members values (%s, %s, 'editor')", [desk.corpus, bob])
        conn.execute("insert into collection_members values (%s, %s, 'viewer')", [desk.other, bob])
    with pytest.raises(NotAllowed), desk.database.as_user(bob) as conn:
        acts.move_documents(conn, desk.corpus, desk.documents[:1], desk.other)
    moved = desk.act(acts.move_documents, desk.documents[:1], desk.other)
    with pytest.raises(NotAllowed, match="may not change"), desk.database.as_user(bob) as conn:
        undo_act(conn, moved.id)
    assert desk.do(get_document, desk.documents[0]).collection_id == desk.other


def test_judgements_wait_in_the_trash(desk: Desk) -> None:
    with desk.database.as_owner() as conn:
        conn.execute("insert into evaluation_sets (collection_id, name) values (%s, 'set')", [desk.corpus])
        conn.execute(
            "insert into questions (set_id, collection_id, text) select id, collection_id, 'why?' from evaluation_sets"
        )
        conn.execute(
            "insert into judgements"
            " (question_id, collection_id, document_id, text_revision, start_char, end_char, grade)"
            " select id, collection_id, %s, 1, 100, 150, 2 from questions",
            [desk.documents[0]],
        )
        before = conn.execute("select * from judgements").fetchall()
    act = desk.act(acts.trash_documents, desk.documents[:1])
    with desk.database.as_owner() as conn:
        assert conn.execute("select from judgements").fetchall() == []
    desk.do(undo_act, act.id)
    with desk.database.as_owner() as conn:
        assert conn.execute("select * from judgements").fetchall() == before
