"""Parsed texts, their corrections, and the marks that move with them."""

from __future__ import annotations

from uuid import UUID

import pytest

from rag.corpus.documents import get_document
from rag.corpus.marks import exclude_span, list_marks, remove_mark, remove_marks, restore_marks, tag_span
from rag.corpus.texts import correct_text, list_chunks, page_of, read_text, restore_revision
from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.store.database import Database
from tests.integration.conftest import Store

TEXT = "Häagen🙂 is first.\nPage two starts here.\nThe end."


@pytest.fixture
def document(database: Database, store: Store) -> UUID:
    """A document of Alice's with two pages of text, as a worker leaves it."""
    made = store("a.txt", TEXT.encode()).document_id
    assert made is not None
    with database.as_worker() as conn:
        conn.execute(
            "insert into public.document_texts (document_id, revision, text, page_starts) values (%s, 1, %s, %s)",
            [made, TEXT, [0, TEXT.index("Page two")]],
        )
        conn.execute("update public.documents set stage = 'ready' where id = %s", [made])
    return made


def span(words: str, text: str = TEXT) -> tuple[int, int]:
    return text.index(words), text.index(words) + len(words)


def test_pages_are_found_by_offset() -> None:
    assert [page_of([0, 10, 20], offset) for offset in (0, 9, 10, 25)] == [1, 1, 2, 3]
    assert page_of([], 5) is None
    assert page_of([3, 10], 0) == 1


def test_a_text_that_is_not_there_yet_is_said_so(database: Database, alice: UUID, store: Store) -> None:
    empty = store("b.txt", b"b").document_id
    assert empty is not None
    with database.as_user(alice) as conn, pytest.raises(NotFound, match="no text yet"):
        read_text(conn, empty)


def test_a_correction_is_a_new_revision_and_goes_to_ingest(database: Database, alice: UUID, document: UUID) -> None:
    with database.as_user(alice) as conn:
        assert correct_text(conn, document, 1, *span("first"), "second\x00") == 2
        corrected = read_text(conn, document)
        assert corrected.text == TEXT.replace("first", "second")
        assert corrected.page_starts == [0, corrected.text.index("Page two")]
        assert read_text(conn, document, 1).text == TEXT
        row = get_document(conn, document)
        assert (row.stage, row.text_revision, row.char_count) == ("chunking", 2, len(corrected.text))
    with database.as_worker() as conn:
        assert conn.execute("select count(*) from pgmq.q_ingest").fetchone() == (2,)


def test_a_correction_of_an_old_revision_is_refused(database: Database, alice: UUID, document: UUID) -> None:
    with database.as_user(alice) as conn:
        correct_text(conn, document, 1, 0, 1, "J")
        with pytest.raises(InvalidInput, match="Somebody corrected this text"):
            correct_text(conn, document, 1, 0, 1, "K")


def test_a_whole_text_can_be_handed_back(database: Database, alice: UUID, document: UUID) -> None:
    new = "New start. " + TEXT.replace("The end", "The very end")
    with database.as_user(alice) as conn:
        tag_span(conn, document, *span("two"), "number")
        correct_text(conn, document, 1, 0, len(TEXT), new)
        (mark,) = list_marks(conn, document)
        assert new[mark.start : mark.end] == "two"


def test_without_a_difference_nothing_is_written(database: Database, alice: UUID, document: UUID) -> None:
    with database.as_user(alice) as conn:
        assert correct_text(conn, document, 1, *span("first"), "first") == 1
        assert get_document(conn, document).stage == "ready"


def test_a_document_is_not_left_without_text(database: Database, alice: UUID, document: UUID) -> None:
    with database.as_user(alice) as conn, pytest.raises(InvalidInput, match="without text"):
        correct_text(conn, document, 1, 0, len(TEXT), " \n")


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (5, 4), (0, 10_000)])
def test_a_correction_must_lie_in_the_text(
    database: Database, alice: UUID, document: UUID, start: int, end: int
) -> None:
    with database.as_user(alice) as conn, pytest.raises(InvalidInput, match="not part of this text"):
        correct_text(conn, document, 1, start, end, "x")


def test_undo_restores_text_pages_and_marks(database: Database, alice: UUID, document: UUID) -> None:
    with database.as_user(alice) as conn:
        exclude_span(conn, document, *span("two"))
        correct_text(conn, document, 1, 0, 7, "")
        assert restore_revision(conn, document, 1) == 3
        restored = read_text(conn, document)
        assert (restored.text, restored.page_starts) == (TEXT, [0, TEXT.index("Page two")])
        (mark,) = list_marks(conn, document)
        assert (mark.start, mark.end) == span("two")
        with pytest.raises(NotFound, match="no revision 9"):
            restore_revision(conn, document, 9)


def test_marks_move_with_corrections_and_go_with_their_text(database: Database, alice: UUID, document: UUID) -> None:
    with database.as_user(alice) as conn:
        exclude_span(conn, document, *span("first"))
        tag_span(conn, document, *span("end"), "last")
        correct_text(conn, document, 1, 0, TEXT.index("Page two"), "")
        (mark,) = list_marks(conn, document)
        assert (mark.kind, mark.tag) == ("tag", "last")
        assert read_text(conn, document).text[mark.start : mark.end] == "end"


def test_marks_are_listed_removed_and_put_back(database: Database, alice: UUID, document: UUID) -> None:
    with database.as_user(alice) as conn:
        excluded = exclude_span(conn, document, *span("two"))
        tagged = tag_span(conn, document, *span("first"), "  an \x00 ordinal ")
        assert [(mark.id, mark.kind, mark.tag) for mark in list_marks(conn, document)] == [
            (tagged, "tag", "an ordinal"),
            (excluded, "exclusion", None),
        ]
        removed = [remove_mark(conn, excluded), *remove_marks(conn, [tagged, 999_999])]
        assert list_marks(conn, document) == []
        with pytest.raises(NotFound, match="gone already"):
            remove_mark(conn, excluded)
        restore_marks(conn, removed)
        back = [(mark.start, mark.end, mark.kind, mark.tag) for mark in list_marks(conn, document)]
        assert back == [(*span("first"), "tag", "an ordinal"), (*span("two"), "exclusion", None)]


def test_the_same_mark_twice_is_one(database: Database, alice: UUID, document: UUID) -> None:
    with database.as_user(alice) as conn:
        assert exclude_span(conn, document, 0, 5) == exclude_span(conn, document, 0, 5)
        assert tag_span(conn, document, 0, 5, "a") != tag_span(conn, document, 0, 5, "b")
        assert len(list_marks(conn, document)) == 3


@pytest.mark.parametrize(("start", "end"), [(3, 3), (5, 2), (-1, 2), (0, len(TEXT) + 1)])
def test_a_mark_must_lie_in_the_text(database: Database, alice: UUID, document: UUID, start: int, end: int) -> None:
    with database.as_user(alice) as conn, pytest.raises(InvalidInput, match="Choose a part of the text"):
        exclude_span(conn, document, start, end)


def test_a_tag_has_a_name(database: Database, alice: UUID, document: UUID) -> None:
    with database.as_user(alice) as conn, pytest.raises(InvalidInput, match="1 to 80 characters"):
        tag_span(conn, document, 0, 5, "  ")


def test_viewers_mark_and_correct_nothing(
    database: Database, alice: UUID, bob: UUID, corpus: UUID, document: UUID
) -> None:
    with database.as_user(alice) as conn:
        conn.execute("insert into public.collection_members values (%s, %s, 'viewer')", [corpus, bob])
    with database.as_user(bob) as conn:
        assert read_text(conn, document).text == TEXT
        with pytest.raises(NotAllowed, match="not correct it"):
            correct_text(conn, document, 1, 0, 1, "x")
    with pytest.raises(NotAllowed, match="not mark it"), database.as_user(bob) as conn:
        exclude_span(conn, document, 0, 5)


def test_chunks_of_the_active_index_are_listed_with_their_state(
    database: Database, alice: UUID, corpus: UUID, document: UUID
) -> None:
    with database.as_user(alice) as conn:
        exclude_span(conn, document, 0, 18)
    with database.as_worker() as conn:
        (index,) = conn.execute("select active_index_id from public.collections").fetchone() or (0,)
        conn.execute(
            "insert into public.index_documents (index_id, document_id, collection_id, text_revision)"
            " values (%s, %s, %s, 1)",
            [index, document, corpus],
        )
        for ordinal, (start, end) in enumerate([(0, 18), (19, 40)]):
            conn.execute(
                "insert into public.chunks (index_id, document_id, collection_id, ordinal, start_char, end_char, text)"
                " values (%s, %s, %s, %s, %s, %s, %s)",
                [index, document, corpus, ordinal, start, end, TEXT[start:end]],
            )
    with database.as_user(alice) as conn:
        chunks = list_chunks(conn, document)
    assert [(c.start, c.end, c.text, c.excluded, c.embedded) for c in chunks] == [
        (0, 18, TEXT[:18], True, False),
        (19, 40, TEXT[19:40], False, False),
    ]
