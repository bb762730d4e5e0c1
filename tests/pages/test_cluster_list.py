"""The clusters beside the map: read, selected, renamed and named by the chat model."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.product import Product
from rag.curation.selections import Selection
from rag.mapping.cluster_rows import read_naming
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.integration.clustered import Clustered
from tests.integration.library import settings_for
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts


@pytest.fixture
def clustered(product: Product, database: Database) -> Clustered:
    return Clustered(database, LOCAL_USER)


def panel(open_page: OpenPage, clustered: Clustered, **query: str) -> AppTest:
    app = open_page("explore", collection=str(clustered.collection), level="5", **query)
    [switch] = [one for one in app.get("button_group") if one.key == "explore_panel"]
    switch.set_value("clusters").run()  # type: ignore[union-attr]
    assert not app.exception, app.exception[0].message
    return app


def labels(app: AppTest) -> list[str]:
    return [str(one.label) for one in app.button if str(one.key).removeprefix("cluster_").isdigit()]


def test_they_are_listed_and_one_opens_with_what_it_is_about(open_page: OpenPage, clustered: Clustered) -> None:
    app = panel(open_page, clustered)
    assert labels(app) == [f"{one.label} :gray[{one.points}]" for one in clustered.clusters()]
    chess = clustered.cluster_of("chess")
    app.button(key=f"cluster_{chess.number}").click().run()
    said = " ".join(str(one.value if hasattr(one, "value") else one.proto.body) for one in app.get("html"))
    assert "16 passages" in said
    assert chess.words[4] in said
    app.button(key="cluster_select").click().run()
    assert app.query_params["sel"] == Selection.of_clusters([chess.number]).to_text()


def test_a_name_is_given_and_taken_back(open_page: OpenPage, clustered: Clustered) -> None:
    app = panel(open_page, clustered)
    chess = clustered.cluster_of("chess")
    app.button(key=f"cluster_{chess.number}").click().run()
    app.button(key="cluster_rename").click().run()
    app.text_input(key="cluster_name").set_value("Board *games*")
    app.button(key="cluster_name_save").click().run()
    assert clustered.cluster_of("chess").label == "Board *games*"
    assert "Board \\*games\\*" in texts(app)
    app.button(key="undo").click().run()
    assert clustered.cluster_of("chess") == chess


def test_names_are_asked_for_watched_and_stopped(product: Product, open_page: OpenPage, clustered: Clustered) -> None:
    app = panel(open_page, clustered)
    assert "cluster_propose" not in [one.key for one in app.button]  # there is no chat model
    product.settings = settings_for("http://127.0.0.1:9/v1")
    app = panel(open_page, clustered)
    app.button(key="cluster_propose").click().run()
    with clustered.database.as_user(LOCAL_USER) as conn:
        naming = read_naming(conn, clustered.map_id)
    assert naming is not None
    assert naming.state == "queued"
    app.button(key="cluster_naming_stop").click().run()
    clustered.do("update public.cluster_namings set state = 'failed', reason = 'It was *off*.', hint = 'Turn it on.'")
    app.run()
    assert "No names were proposed: It was \\*off\\*. Turn it on." in texts(app)


def test_before_there_are_any(open_page: OpenPage, clustered: Clustered) -> None:
    clustered.do("delete from public.clusters")
    assert "This map has no clusters" in texts(panel(open_page, clustered))
