"""Selections on the pages: the Search lab looks in one, drafts are asked from one, and editors name and delete them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.lab_address import lab_query
from rag.corpus.collections import get_collection
from rag.evaluation.draft_requests import latest_request
from rag.evaluation.question_sets import list_sets
from rag.records import Collection
from rag.retrieval.scopes import Piece, list_scopes, make_scope, read_scope
from rag.store.database import Database
from tests.integration.library import Library
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts

QUESTION = "warranty of the pump"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lake(library: Library) -> Piece:
    """One passage, and it is not the one that answers."""
    return Piece(library.value("select id from public.documents where name = 'lake.txt'"), 0, 60)


def save(library: Library, piece: Piece, name: str | None = None) -> int:
    with library.database.as_user(library.user) as conn:
        return make_scope(conn, library.collection, name, [piece])


def collection_of(library: Library) -> Collection:
    with library.database.as_user(library.user) as conn:
        return get_collection(conn, library.collection)


def selection(app: AppTest, library: Library) -> Any:
    return app.selectbox(key=f"selection-{library.collection}")


def test_the_lab_looks_in_a_selection(open_page: OpenPage, library: Library, lake: Piece) -> None:
    scope = save(library, lake, "Ducks")
    app = open_page("search", **lab_query(library.collection, QUESTION))
    assert "pump.md" in texts(app)
    selection(app, library).set_value(scope).run()
    assert "pump.md" not in texts(app)
    assert "lake.txt" in texts(app)
    assert app.query_params["scope"] in (str(scope), [str(scope)])
    selection(app, library).set_value(None).run()
    assert "pump.md" in texts(app)
    assert "scope" not in app.query_params


def test_a_link_opens_the_lab_in_a_selection_and_says_why_the_rest_is_missing(
    open_page: OpenPage, library: Library, lake: Piece
) -> None:
    scope = save(library, lake)
    pump = str(library.value("select id from public.documents where name = 'pump.md'"))
    app = open_page("search", **lab_query(library.collection, QUESTION, scope=scope), why=pump)
    assert "1 passage from 1 document" in texts(app)
    assert "kept to 1 passage of 1 document, and this passage is none of them" in texts(app)


def test_a_selection_of_somebody_else_is_said_to_be_none(
    open_page: OpenPage, database: Database, library: Library, lake: Piece
) -> None:
    app = open_page("search", **lab_query(library.collection, QUESTION, scope=save(library, lake) + 1))
    assert "selection that the address names is gone" in app.warning[0].value
    assert "pump.md" in texts(app)


def draw_naming(scope) -> None:  # type: ignore[no-untyped-def]
    from pages.parts.scope_menu import show_naming

    show_naming(scope)


def draw_deleting(scope) -> None:  # type: ignore[no-untyped-def]
    from pages.parts.scope_menu import show_deleting

    show_deleting(scope)


def draw_drafting(collection, spans) -> None:  # type: ignore[no-untyped-def]
    import streamlit as st

    from pages.parts.scope_actions import show_drafting

    if query := show_drafting(collection, spans):
        st.session_state["went_to"] = query


def test_editors_name_and_delete_a_selection(open_page: OpenPage, library: Library, lake: Piece) -> None:
    scope = save(library, lake)
    open_page("chat")  # sees to what dialogs need around them
    with library.database.as_user(library.user) as conn:
        app = AppTest.from_function(draw_naming, args=(read_scope(conn, scope),), default_timeout=30).run()
    app.text_input(key="scope_name").set_value("Ducks")
    app.button(key="scope_name_save").click().run()
    with library.database.as_user(library.user) as conn:
        (saved,) = list_scopes(conn, library.collection)
    assert (saved.id, saved.name) == (scope, "Ducks")
    app = AppTest.from_function(draw_deleting, args=(saved,), default_timeout=30).run()
    assert "Ducks" in texts(app)
    app.button(key="delete_scope").click().run()
    with library.database.as_user(library.user) as conn:
        assert list_scopes(conn, library.collection) == []


def test_questions_are_asked_for_about_a_selection(open_page: OpenPage, library: Library, lake: Piece) -> None:
    open_page("chat")
    app = AppTest.from_function(draw_drafting, args=(collection_of(library), [lake]), default_timeout=30).run()
    assert not app.exception
    assert "About **1 passage of 1 document**" in texts(app)
    app.text_input(key="scope_draft_name").set_value("About the lake")
    app.number_input(key="scope_drafts_wanted").set_value(2)
    app.button(key="scope_draft").click().run()
    with library.database.as_user(library.user) as conn:
        (made,) = list_sets(conn, library.collection)
        request = latest_request(conn, made.id)
        assert request is not None
        assert request.scope_id is not None
        assert (made.name, request.wanted) == ("About the lake", 2)
        assert read_scope(conn, request.scope_id).size == "1 passage of 1 document"
    went_to = app.session_state["went_to"]
    assert went_to == {"collection": str(library.collection), "section": "questions", "set": str(made.id)}
    drafting = open_page("evaluate", **went_to)
    assert "0 of 2 questions drafted · waiting for a worker · from 1 passage of 1 document" in str(
        [one.proto for one in drafting.get("progress")]
    )
