"""Document: what is shown of it, marks with undo, corrections, the language."""

from __future__ import annotations

from uuid import UUID

import pytest

from rag.corpus.documents import get_document, list_documents
from rag.corpus.marks import exclude_span, list_marks, tag_span
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.integration.library import PUMP, Library
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts


@pytest.fixture
def pump(database: Database, library: Library) -> UUID:
    with database.as_user(LOCAL_USER) as conn:
        return next(row.id for row in list_documents(conn, library.collection) if row.name == "pump.md")


def test_a_span_of_the_address_can_be_left_out_and_that_undone(
    open_page: OpenPage, database: Database, pump: UUID
) -> None:
    start = PUMP.index("SYSTEM")
    app = open_page("document", document=str(pump), start=str(start), end=str(start + 6))
    assert "“SYSTEM”" in texts(app)
    app.button(key="exclude_span").click().run()
    with database.as_user(LOCAL_USER) as conn:
        (mark,) = list_marks(conn, pump)
    assert (mark.kind, PUMP[mark.start : mark.end]) == ("exclusion", "SYSTEM")
    app.button(key="undo").click().run()
    with database.as_user(LOCAL_USER) as conn:
        assert list_marks(conn, pump) == []


def test_chunks_are_also_a_table(open_page: OpenPage, pump: UUID) -> None:
    app = open_page("document", document=str(pump))
    app.segmented_control(key="document_view").set_value("chunks").run()
    frame = app.dataframe[0].value
    assert frame["text"].tolist() == [PUMP]
    assert frame["in search"].tolist() == [True]


def test_marks_are_listed_and_removed_with_a_way_back(open_page: OpenPage, database: Database, pump: UUID) -> None:
    with database.as_user(LOCAL_USER) as conn:
        exclude_span(conn, pump, 0, 6)
        tag = tag_span(conn, pump, 7, 11, "part *name*")
    app = open_page("document", document=str(pump))
    app.segmented_control(key="document_view").set_value("marks").run()
    app.button(key=f"mark-{tag}").click().run()
    with database.as_user(LOCAL_USER) as conn:
        assert [mark.kind for mark in list_marks(conn, pump)] == ["exclusion"]
    app.button(key="undo").click().run()
    with database.as_user(LOCAL_USER) as conn:
        assert [mark.tag for mark in list_marks(conn, pump)] == [None, "part *name*"]


def test_the_language_is_shown_and_corrected_with_a_way_back(
    open_page: OpenPage, database: Database, pump: UUID
) -> None:
    app = open_page("document", document=str(pump))
    picker = next(box for box in app.selectbox if box.label == "Language")
    assert picker.value == "en"
    picker.set_value("de").run()
    with database.as_user(LOCAL_USER) as conn:
        assert get_document(conn, pump).language == "de"
    app.button(key="undo").click().run()
    with database.as_user(LOCAL_USER) as conn:
        assert get_document(conn, pump).language == "en"


def test_a_failed_document_says_why_and_what_to_do(open_page: OpenPage, database: Database, pump: UUID) -> None:
    with database.as_worker() as conn:
        conn.execute(
            "update public.documents set stage = 'failed', error = 'It is *protected*.', error_hint = 'Unlock it.'"
        )
    app = open_page("document", document=str(pump))
    said = app.error[0].value.replace("\\", "")
    assert "It is *protected*." in said
    assert "Unlock it." in said
