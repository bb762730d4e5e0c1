"""The Explore page: what stands in place of a map, its controls and the look that they share with the address."""

from __future__ import annotations

import pytest

from pages.parts.product import Product
from rag.mapping.maps import CorpusMap, list_maps
from rag.records import LOCAL_USER
from tests.integration.handmade_map import draw_map
from tests.integration.library import Library
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts


@pytest.fixture
def drawn(library: Library) -> CorpusMap:
    library.add("storm.md", "Storm waves break over the wall. " * 40)
    return draw_map(library.database, library.collection, LOCAL_USER)


def test_without_documents(product: Product, open_page: OpenPage) -> None:
    assert product.database is not None
    assert "Explore shows the passages in the documents" in texts(open_page("explore"))


def test_a_map_is_asked_for_and_cancelled(library: Library, open_page: OpenPage) -> None:
    app = open_page("explore")
    assert "Make a map of this collection" in texts(app)
    app.slider(key="first_neighbours").set_value(30)
    app.slider(key="first_distance").set_value(0.25)
    app.button(key="first_make").click().run()
    assert "The first map is being made" in texts(app)
    asked = maps_of(library)
    assert [(one.state, one.settings.neighbours, one.settings.min_dist) for one in asked] == [("queued", 30, 0.25)]
    assert "No worker is running" in texts(app)
    app.button(key="map_cancel").click().run()
    assert [one.state for one in maps_of(library)] == ["cancelled"]
    assert "The last map was cancelled" in texts(app.run())


def maps_of(library: Library) -> list[CorpusMap]:
    with library.database.as_user(LOCAL_USER) as conn:
        return list_maps(conn, library.collection)


def test_a_failed_map_says_why(library: Library, open_page: OpenPage) -> None:
    with library.database.as_owner() as conn:
        conn.execute(
            "insert into public.maps (collection_id, index_id, state, settings, reason, hint)"
            " select id, active_index_id, 'failed', '{\"neighbours\": 15, \"min_dist\": 0.1}', 'It was *too* large.',"
            " 'Take fewer.' from public.collections where id = %s",
            [library.collection],
        )
    said = texts(open_page("explore"))
    assert "The last map failed: It was \\*too\\* large." in said
    assert "Take fewer." in said


def test_the_map_with_its_controls(drawn: CorpusMap, open_page: OpenPage) -> None:
    app = open_page("explore")
    assert not app.exception
    app.selectbox(key="explore_colour").select("document").run()
    assert app.query_params["colour"] == "document"
    app.button(key="explore_finer").click().run()
    assert app.query_params["level"] == "4"
