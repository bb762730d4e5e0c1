"""The Search lab: what an address reproduces, profiles, comparisons, verdicts, and what is not for everybody."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.hit_actions import CLICKED, Action
from pages.parts.lab_address import lab_query, read_view
from pages.parts.product import Product
from rag.corpus.sharing import set_public, share
from rag.evaluation.judgements import verdicts
from rag.records import LOCAL_USER
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import list_versions, read_default, save_profile
from rag.store.database import Database
from tests.integration.library import PUMP, Library
from tests.integration.townsfolk import open_account
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts
from tests.pages.test_search_page import click
from tests.pages.visitors import Visitors, press

QUESTION = "warranty of the pump"
CAREFUL = RetrievalProfile(k=3, threshold=0.2, diversity=0.3)


@pytest.fixture
def profiles(library: Library) -> Library:
    """A default with two versions, of which the older is the default, and another profile."""
    with library.database.as_user(library.user) as conn:
        save_profile(conn, library.collection, "House", RetrievalProfile(k=7), make_default=True)
        save_profile(conn, library.collection, "House", RetrievalProfile(k=8))
        save_profile(conn, library.collection, "Careful", CAREFUL)
    return library


def address_of(app: AppTest) -> dict[str, str]:
    return {name: value[0] if isinstance(value, list) else value for name, value in app.query_params.items()}


def test_an_address_reproduces_the_controls(open_page: OpenPage, library: Library) -> None:
    wanted = RetrievalProfile(
        mode="dense", k=3, threshold=0.11, fusion="rrf", dense_weight=0.3, rrf_k=12, ef_search=50, diversity=0.5,
        neighbours=2,
    )  # fmt: skip
    app = open_page("search", **lab_query(library.collection, QUESTION, wanted))
    assert app.text_input(key="q").value == QUESTION
    shown = {name: app.slider(key=name).value for name in ("k", "threshold", "dense_weight", "rrf_k", "ef_search")}
    assert shown == {"k": 3, "threshold": 0.11, "dense_weight": 0.3, "rrf_k": 12, "ef_search": 50}
    assert (app.slider(key="diversity").value, app.slider(key="neighbours").value) == (0.5, 2)
    view, problems = read_view(address_of(app))
    assert not problems
    assert view.side.apply(RetrievalProfile()) == wanted


def test_moving_a_slider_changes_results_and_address(open_page: OpenPage, library: Library) -> None:
    app = open_page("search", q=QUESTION)
    assert "k" not in address_of(app)
    assert texts(app).count("cs-head") == 2
    app.slider(key="k").set_value(1).run()
    assert texts(app).count("cs-head") == 1
    assert address_of(app)["k"] == "1"
    assert "Passages (k): 1, before 10" in texts(app)
    press(app, "lab_reset")
    assert texts(app).count("cs-head") == 2
    assert "k" not in address_of(app)


def test_what_an_address_cannot_mean_is_said_and_the_rest_counts(open_page: OpenPage, library: Library) -> None:
    wrong = {"k": "many", "threshold": "9", "profile": "Nobody", "index": "99999", "only": str(UUID(int=5))}
    app = open_page("search", q=QUESTION, vs_profile="No one", **wrong)
    said = "".join(warning.value for warning in app.warning).replace("\\", "")
    profiles = ("no profile named 'Nobody'", "no profile named 'No one'")
    for words in ("k=many", "between -1 and 1", "no index 99999", "not in this collection", *profiles):
        assert words in said
    assert "pump.md" in texts(app)


def test_the_question_is_embedded_once_however_the_sliders_move(
    open_page: OpenPage, library: Library, product: Product
) -> None:
    asked: list[int] = []
    product.encoder.before = lambda: asked.append(1)  # type: ignore[union-attr]
    app = open_page("search", q=QUESTION)
    first = len(asked)
    assert first <= 2  # once for each session of the two runs that open a page in a test
    for k in (1, 2, 3):
        app.slider(key="k").set_value(k).run()
    assert len(asked) == first


def test_the_default_is_begun_with_and_old_versions_can_be_chosen(open_page: OpenPage, profiles: Library) -> None:
    app = open_page("search", q=QUESTION)
    assert app.slider(key="k").value == 7
    assert address_of(app)["profile"] == "House"
    assert address_of(app)["version"] == "1"
    app.selectbox(key="lab_version").set_value(2).run()
    assert app.slider(key="k").value == 8
    app.selectbox(key="lab_profile").set_value("Careful").run()
    assert (app.slider(key="k").value, app.slider(key="threshold").value) == (3, 0.2)
    assert address_of(app)["profile"] == "Careful"
    assert "Changed from" not in texts(app)


def test_a_link_names_a_version(open_page: OpenPage, profiles: Library) -> None:
    app = open_page("search", q=QUESTION, profile="House", version="2", k="5")
    assert "Changed from House v2" in texts(app)
    assert "Passages (k): 5, before 8" in texts(app)


def test_changes_are_saved_as_a_new_version_and_the_default_stays(open_page: OpenPage, profiles: Library) -> None:
    app = open_page("search", q=QUESTION, profile="Careful")
    app.slider(key="diversity").set_value(0.6).run()
    press(app, "lab_save")
    with profiles.database.as_user(LOCAL_USER) as conn:
        versions = list_versions(conn, profiles.collection, "Careful")
        default = read_default(conn, profiles.collection)
    assert [one.profile.diversity for one in versions] == [0.6, 0.3]
    assert default is not None
    assert (default.name, default.version) == ("House", 1)
    assert "Changed from" not in texts(app)
    assert address_of(app)["version"] == "2"


def test_what_a_new_default_changes_is_said_before(open_page: OpenPage, profiles: Library) -> None:
    app = open_page("search", q=QUESTION, profile="Careful")
    press(app, "lab_make_default")
    said = texts(app)
    assert "Passages (k): 3, before 7" in said.replace("\\", "")
    with profiles.database.as_user(LOCAL_USER) as conn:
        assert read_default(conn, profiles.collection).name == "House"  # type: ignore[union-attr]


def test_two_profiles_side_by_side(open_page: OpenPage, profiles: Library) -> None:
    app = open_page("search", q=QUESTION, profile="House", vs_profile="Careful", vs_mode="lexical")
    said = texts(app)
    assert "cs-compare" in said
    assert "As in the link" in said
    assert "House v2 as set here" in said
    app.selectbox(key="lab_other").set_value("Careful v1").run()
    assert {"vs_profile": "Careful", "vs_version": "1"}.items() <= address_of(app).items()
    app.selectbox(key="lab_other").set_value("").run()
    assert "cs-compare" not in texts(app)
    assert not [name for name in address_of(app) if name.startswith("vs_")]


def test_the_histogram_has_the_threshold_and_the_band(open_page: OpenPage, library: Library) -> None:
    with library.database.as_worker() as conn:
        conn.execute("update public.embedding_models set random_mean = 0.02, random_p95 = 0.12")
    app = open_page("search", q=QUESTION, threshold="0.2")
    said = texts(app)
    assert "of 2 chunks" in said
    assert "at least 0.20" in said
    assert "95 of 100 pairs below 0.12" in said
    assert "cs-chart" not in texts(open_page("search", q=QUESTION, mode="Words"))


def test_a_thumb_is_a_judgement_and_pressing_it_again_takes_it_back(open_page: OpenPage, library: Library) -> None:
    def graded() -> list[int]:
        with library.database.as_user(LOCAL_USER) as conn:
            return [one.grade for one in verdicts(conn, library.collection, QUESTION)]

    app = open_page("search", q=QUESTION)
    click(app, "up")
    assert graded() == [1]
    assert "Answers it" in texts(app)
    click(app, "down")
    assert graded() == [0]
    click(app, "down")
    assert graded() == []


def test_a_phrase_is_followed_through_the_search(open_page: OpenPage, library: Library) -> None:
    app = open_page("search", q=QUESTION, phrase="sunglasses", k="1")
    assert any(box.label == "Why isn’t it here?" for box in app.expander)
    assert app.text_input(key="why_phrase").value == "sunglasses"


@pytest.fixture
def shared(product: Product, database: Database, alice: UUID, bob: UUID, home: Path) -> Library:
    """Alice's collection with a profile that reranks; Bob is a viewer of it."""
    product.settings = product.settings.model_copy(update={"auth": "local", "corpuscope_home": home})
    open_account(database, "alice@example.org", id=alice)
    open_account(database, "bob@example.org", id=bob)
    library = Library(database, alice, {"pump.md": PUMP})
    with database.as_user(alice) as conn:
        save_profile(conn, library.collection, "House", RetrievalProfile(k=7), make_default=True)
        share(conn, library.collection, "bob@example.org", "viewer")
    return library


def offered(app: AppTest) -> set[str]:
    return {str(button.key) for button in app.button}


def test_viewers_move_sliders_and_neither_save_nor_judge(shared: Library, bob: UUID) -> None:
    app = Visitors(shared.database).open(bob, "search", q=QUESTION)
    assert "Editors of this collection can save profiles" in texts(app)
    assert texts(app).count(" disabled ") == 2
    app.slider(key="k").set_value(3).run()
    assert not offered(app) & {"lab_save", "lab_save_as", "lab_make_default", "lab_delete"}
    app.session_state[CLICKED] = Action("up", chunk_of(app))
    app.run()
    assert not app.exception
    with shared.database.as_user(shared.user) as conn:
        assert verdicts(conn, shared.collection, QUESTION) == []


def chunk_of(app: AppTest) -> int:
    return int(texts(app).split('data-chunk="')[1].split('"')[0])


def test_a_reranker_that_cannot_be_had_is_said_in_place_of_results(shared: Library, bob: UUID) -> None:
    app = Visitors(shared.database).open(bob, "search", q=QUESTION, rerank="/somewhere/evil")
    assert "/somewhere/evil" in app.error[0].value.replace("\\", "")
    assert "cs-hit" not in texts(app)


def test_guests_of_a_public_collection_look_and_leave_no_trace(shared: Library, database: Database) -> None:
    with database.as_user(shared.user) as conn:
        set_public(conn, shared.collection, True)
    app = Visitors(database).open(open_account(database, None), "search", q=QUESTION)
    assert "pump.md" in texts(app)
    assert "Guests can’t judge passages" in texts(app)
    assert not offered(app) & {"lab_save", "lab_save_as", "lab_make_default", "lab_delete"}


def test_strangers_get_nothing_by_a_link(shared: Library, database: Database) -> None:
    stranger = open_account(database, "eve@example.org")
    app = Visitors(database).open(stranger, "search", **lab_query(shared.collection, QUESTION, "House"))
    assert "pump.md" not in texts(app)
    assert "House" not in texts(app)
