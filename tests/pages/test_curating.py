"""Curating beside the map: what is selected, acts that ask before something is lost, their log and its undo."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from rag.corpus.collections import get_collection
from rag.corpus.documents import list_documents
from rag.corpus.marks import list_marks, tag_span
from rag.curation.curation_log import list_acts
from rag.curation.selecting import resolve
from rag.curation.selections import Selection
from rag.mapping.maps import CorpusMap
from rag.records import LOCAL_USER
from rag.retrieval.scopes import list_scopes
from tests.integration.handmade_map import draw_map
from tests.integration.library import Library
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts

EVERYTHING = Selection.of_polygon([(-9, -9), (70_000, -9), (70_000, 70_000), (-9, 70_000)]).to_text()


@pytest.fixture
def drawn(library: Library) -> CorpusMap:
    library.add("storm.md", "Storm waves break over the wall. " * 40)
    return draw_map(library.database, library.collection, LOCAL_USER)


def open_panel(open_page: OpenPage, panel: str, **query: str) -> AppTest:
    app = open_page("explore", **query)
    app.segmented_control(key="explore_panel").set_value(panel).run()
    assert not app.exception
    return app


def excluded(library: Library) -> tuple[int, int]:
    with library.database.as_user(LOCAL_USER) as conn:
        row = conn.execute("select count(*) filter (where excluded), count(*) from chunks").fetchone()
    assert row is not None
    return row[0], row[1]


def test_without_a_selection_it_says_how_to_make_one(drawn: CorpusMap, open_page: OpenPage) -> None:
    assert "Draw around points on the map" in texts(open_panel(open_page, "selection"))


def test_a_selection_is_excluded_after_asking_and_undone_from_the_log(
    drawn: CorpusMap, library: Library, open_page: OpenPage
) -> None:
    total = excluded(library)[1]
    app = open_panel(open_page, "selection", sel=EVERYTHING)
    assert f"**{total} passages** of **3 documents**" in texts(app)
    app.button(key="curate_exclude").click().run()
    assert f"**{total} passages of 3 documents** leave search" in texts(app)
    assert excluded(library) == (0, total)
    app.button(key="confirmation_do").click().run()
    assert not app.exception
    assert excluded(library) == (total, total)
    assert f"{total} passages left out of search" in texts(app)
    app.segmented_control(key="explore_panel").set_value("log").run()
    assert f"Excluded {total} passages of 3 documents from search" in texts(app)
    with library.database.as_user(LOCAL_USER) as conn:
        (act,) = list_acts(conn, library.collection)
    app.button(key=f"curate_undo_{act.id}").click().run()
    assert not app.exception
    assert excluded(library) == (0, total)


def test_a_tag_is_put_on_at_once_and_offered_back(drawn: CorpusMap, library: Library, open_page: OpenPage) -> None:
    with library.database.as_user(LOCAL_USER) as conn:
        ids = {one.name: one.id for one in list_documents(conn, library.collection)}
        tag_span(conn, ids["lake.txt"], 0, 5, "wet")
    app = open_panel(open_page, "selection", sel=Selection.of_documents([ids["pump.md"]]).to_text())
    app.selectbox(key="curate_tag").set_value("wet").run()
    app.button(key="curate_tag_on").click().run()
    assert not app.exception
    with library.database.as_user(LOCAL_USER) as conn:
        assert {mark.tag for mark in list_marks(conn, ids["pump.md"])} == {"wet"}
    app.button(key="undo").click().run()
    with library.database.as_user(LOCAL_USER) as conn:
        assert list_marks(conn, ids["pump.md"]) == []
        assert len(list_marks(conn, ids["lake.txt"])) == 1


def test_deleting_from_the_map_goes_to_the_trash(drawn: CorpusMap, library: Library, open_page: OpenPage) -> None:
    app = open_panel(open_page, "selection", sel=Selection.of_places([0]).to_text())
    app.button(key="curate_delete").click().run()
    assert "1 document" in texts(app)
    assert "goes to the trash" in texts(app)
    app.button(key="confirmation_do").click().run()
    assert not app.exception
    with library.database.as_user(LOCAL_USER) as conn:
        assert len(list_documents(conn, library.collection)) == 2


def draw_saving(collection, spans) -> None:  # type: ignore[no-untyped-def]
    from pages.parts.scope_actions import show_saving

    show_saving(collection, spans)


def test_a_selection_is_saved_under_a_name(drawn: CorpusMap, library: Library, open_page: OpenPage) -> None:
    app = open_panel(open_page, "selection", sel=EVERYTHING)
    app.button(key="curate_save").click().run()
    assert app.text_input(key="scope_name").label == "Name"
    with library.database.as_user(LOCAL_USER) as conn:
        spans = resolve(conn, drawn.id, Selection.from_text(EVERYTHING))
        collection = get_collection(conn, library.collection)
    dialog = AppTest.from_function(draw_saving, args=(collection, spans), default_timeout=30).run()
    dialog.text_input(key="scope_name").set_value("Waves and pumps")
    dialog.button(key="scope_name_save").click().run()
    with library.database.as_user(LOCAL_USER) as conn:
        (scope,) = list_scopes(conn, library.collection)
    assert (scope.name, scope.passages) == ("Waves and pumps", excluded(library)[1])


def test_two_selections_are_compared(drawn: CorpusMap, library: Library, open_page: OpenPage) -> None:
    with library.database.as_user(LOCAL_USER) as conn:
        ids = {one.name: one.id for one in list_documents(conn, library.collection)}
    app = open_panel(open_page, "selection", sel=Selection.of_documents([ids["pump.md"]]).to_text())
    app.button(key="curate_keep").click().run()
    assert "now select another" in texts(app)
    app.query_params["sel"] = Selection.of_documents([ids["storm.md"]]).to_text()
    app.run()
    assert "This:" in texts(app)
    assert "storm" in texts(app).lower()
