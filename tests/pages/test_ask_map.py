"""Asking on the map: ranked hits, what the sliders cut off, citations, a run's misses, and who sees none of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.ask_map_hits import CLICKED
from pages.parts.lab_address import Side, read_view
from pages.parts.product import Product
from rag.corpus.sharing import set_public
from rag.evaluation.question_sets import add_question, create_set
from rag.evaluation.runs import start_run
from rag.mapping.maps import CorpusMap
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import save_profile
from rag.store.database import Database
from tests.integration.handmade_map import draw_map
from tests.integration.library import QUESTION, Library, settings_for
from tests.integration.townsfolk import open_account
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts
from tests.pages.test_search_lab import address_of
from tests.pages.visitors import Visitors, press

MORE = {
    "valve.txt": "The valve of the pump is cleaned once a year.",
    "oak.txt": "Oak trees grow slowly and become very old.",
    "leeds.txt": "The service desk in Leeds answers the telephone in the morning.",
}


@pytest.fixture
def drawn(library: Library) -> CorpusMap:
    """A map of five passages."""
    for name, text in MORE.items():
        library.add(name, text)
    return draw_map(library.database, library.collection, library.user)


def open_ask(open_page: OpenPage, **query: str) -> AppTest:
    app = open_page("explore", **query)
    return turn_to_ask(app)


def turn_to_ask(app: AppTest) -> AppTest:
    app.session_state["explore_panel"] = "ask"
    app.run()
    assert not app.exception, app.exception[0].message
    return app


def marks(app: AppTest) -> list[dict[str, Any]]:
    """What the map is told to draw on top."""
    found = [one for one in app.get("bidi_component") if "explore_map" in one.proto.id]
    said: list[dict[str, Any]] = json.loads(found[0].proto.json)["marks"]
    return said


def kinds(app: AppTest) -> list[tuple[str, str]]:
    return sorted((mark["kind"], mark["text"]) for mark in marks(app))


def test_a_question_is_a_star_and_its_hits_have_their_rank(open_page: OpenPage, drawn: CorpusMap) -> None:
    app = open_ask(open_page)
    assert marks(app) == []
    app.text_input(key="ask_question").set_value(QUESTION).run()
    assert address_of(app)["q"] == QUESTION
    said = texts(app)
    assert said.count("cs-asked-in") == len([mark for mark in marks(app) if mark["kind"] == "hit"]) == 5
    assert ("star", QUESTION) in kinds(app)
    assert [text for kind, text in kinds(app) if kind == "hit"] == ["1", "2", "3", "4", "5"]
    (first,) = [mark for mark in marks(app) if mark["text"] == "1"]
    assert said.index("pump.md") < said.index("lake.txt")
    assert first["place"] == 0


def test_moving_k_makes_hits_hollow_and_says_why(open_page: OpenPage, drawn: CorpusMap) -> None:
    app = open_ask(open_page, q=QUESTION)
    app.slider(key="ask_k").set_value(2).run()
    assert address_of(app)["k"] == "2"
    assert kinds(app)[:5] == [("cut", "3"), ("cut", "4"), ("cut", "5"), ("hit", "1"), ("hit", "2")]
    said = texts(app)
    assert "2 passages come back" in said
    assert said.count("Beyond the first 2") == 3
    assert "the first 2 end here" in said
    press(app, "ask_reset")
    assert "k" not in address_of(app)
    assert [kind for kind, _ in kinds(app)].count("hit") == 5


def test_moving_the_threshold_says_by_how_much(open_page: OpenPage, drawn: CorpusMap) -> None:
    app = open_ask(open_page, q=QUESTION)
    app.slider(key="ask_threshold").set_value(0.45).run()
    said = texts(app)
    assert "1 passage comes back · 4 of the first 5 are cut by the least similarity" in said
    assert said.count(" below 0.45") == 4
    assert [kind for kind, _ in kinds(app)] == ["cut"] * 4 + ["hit", "star"]


def test_a_slider_asks_for_no_new_vector(open_page: OpenPage, product: Product, drawn: CorpusMap) -> None:
    asked: list[int] = []
    encoder: Any = product.encoder
    encoder.before = lambda: asked.append(1)
    app = open_ask(open_page, q=QUESTION)
    for k in (3, 1, 40):
        app.slider(key="ask_k").set_value(k).run()
    app.slider(key="ask_threshold").set_value(0.2).run()
    assert asked == [1]


def test_a_link_with_a_question_opens_this_panel_and_one_without_does_not(
    open_page: OpenPage, drawn: CorpusMap
) -> None:
    app = open_page("explore", q=QUESTION)
    assert "cs-asked-in" in texts(app)
    app.session_state["explore_panel"] = "legend"
    app.run()
    assert "cs-asked-in" not in texts(app)
    assert "ask_question" not in {field.key for field in open_page("explore").text_input}


def test_marks_stay_while_another_panel_is_open(open_page: OpenPage, drawn: CorpusMap) -> None:
    app = open_ask(open_page, q=QUESTION, k="2")
    before = marks(app)
    app.session_state["explore_panel"] = "legend"
    app.run()
    assert marks(app) == before
    assert "cs-asked" not in texts(app)


def test_a_saved_profile_and_its_changes_go_along_to_the_lab(
    open_page: OpenPage, library: Library, drawn: CorpusMap
) -> None:
    with library.database.as_user(library.user) as conn:
        save_profile(conn, library.collection, "Careful", RetrievalProfile(k=3, threshold=0.2, diversity=0.3))
    app = open_ask(open_page, q=QUESTION)
    app.selectbox(key="ask_profile").set_value("Careful").run()
    assert (app.slider(key="ask_k").value, app.slider(key="ask_threshold").value) == (3, 0.2)
    app.slider(key="ask_k").set_value(4).run()
    assert "Passages (k): 4, before 3" in texts(app)
    (link,) = [one for one in app.get("page_link") if one.proto.label == "In the Search lab"]
    view, problems = read_view(dict(pair.split("=", 1) for pair in link.proto.query_string.split("&")))
    assert not problems
    assert view.side == Side("Careful", 1, {"k": 4})


def test_a_passage_that_is_not_on_the_map_is_said(open_page: OpenPage, library: Library, drawn: CorpusMap) -> None:
    library.add("new.txt", "The warranty of the Falcon pump is told here again.")
    app = open_ask(open_page, q=QUESTION)
    said = texts(app)
    assert "One of them is not on the map yet" in said
    assert "Not on the map yet</div>" in said
    assert [kind for kind, _ in kinds(app)].count("hit") == 5


def test_what_the_answer_cites_is_ringed(open_page: OpenPage, library: Library, drawn: CorpusMap) -> None:
    app = open_ask(open_page, q=QUESTION)
    app.slider(key="ask_k").set_value(3).run()
    press(app, "ask_map_answer")
    assert "Waiting for a worker" in texts(app)
    message = library.value("select id from public.messages where role = 'assistant'")
    profile = library.value("select profile from public.messages where role = 'assistant'")
    assert profile == RetrievalProfile(k=3).to_json()
    library.answer(message, settings_for())
    app.run()
    said = texts(app)
    assert "27 months" in said
    (headline,) = [box.label for box in app.expander if "cited" in box.label]
    assert headline.endswith("1 passage cited")
    assert ("cited", "1") in kinds(app)
    assert said.count('cs-cited">cited') == 1
    app.slider(key="ask_threshold").set_value(0.9).run()
    assert "A cited passage doesn't come back under these settings" in texts(app)
    assert any(box.label.endswith("1 passage cited · under other settings than these") for box in app.expander)
    assert kinds(app)[:3] == [("cut", "")] * 3


def test_a_hit_opens_its_document_at_the_passage(open_page: OpenPage, library: Library, drawn: CorpusMap) -> None:
    app = open_ask(open_page, q=QUESTION)
    app.session_state[CLICKED] = library.value("select id from public.chunks where text like 'Oak%%'")
    app.run()
    assert not app.exception
    assert "Oak trees grow slowly" in texts(app)
    assert "ask_question" not in {field.key for field in app.text_input}


@pytest.fixture
def run_id(library: Library, drawn: CorpusMap) -> int:
    """A finished run: of three questions one found its answer, one had it beyond k, and one did not find it at all."""
    spans = {"pump.md": (0, 40), "oak.txt": (0, 30), "valve.txt": (0, 20)}
    with library.database.as_user(library.user) as conn:
        made = create_set(conn, library.collection, "Town")
        for name, (start, end) in spans.items():
            question = add_question(conn, made, f"What of {name}?")
            conn.execute(
                "insert into public.judgements"
                " (question_id, collection_id, document_id, text_revision, start_char, end_char, grade)"
                " select %s, %s, id, 1, %s, %s, 2 from public.documents where name = %s",
                [question, library.collection, start, end, name],
            )
        number = start_run(conn, made, profile=RetrievalProfile(k=1))
    with library.database.as_owner() as conn:
        conn.execute(
            "insert into public.evaluation_results (run_id, question_id, hits, latency_ms)"
            " select %s, q.id, jsonb_build_array("
            "  jsonb_build_object('d', d.id, 's', 0, 'e', 99, 'c', 1, 'sim', 0.5, 'score', 0.5),"
            "  jsonb_build_object('d', o.id, 's', 0, 'e', 99, 'c', 1, 'sim', 0.4, 'score', 0.4)), 1"
            " from public.questions q, public.documents d, public.documents o"
            " where q.set_id = %s and d.name = 'pump.md' and o.name = 'oak.txt'",
            [number, made],
        )
        conn.execute("update public.evaluation_runs set state = 'done', asked = 3, finished_at = now()")
    return number


def test_the_missed_answers_of_a_run_are_red_and_lead_to_the_lab(
    open_page: OpenPage, library: Library, run_id: int
) -> None:
    app = open_ask(open_page, run=str(run_id))
    said = texts(app)
    assert "**2 of 3 questions** found no judged answer" in said
    assert "2 of 3 answers are not within the first 1." in said
    assert [kind for kind, _ in kinds(app)] == ["found", "missed", "missed"]
    assert "Outside of all clusters" in said
    assert "2 of 3" in said
    links = {one.proto.label.replace("\\", ""): one.proto.query_string for one in app.get("page_link")}
    asked = links["What of oak.txt?"]
    assert "k=1" in asked
    assert f"why={library.value('select id from public.documents where name = %s', 'oak.txt')}" in asked
    assert "phrase=Oak" in asked
    assert "What of pump.md?" not in links
    app.toggle(key="ask_run_stars").set_value(True).run()
    assert sorted(text for kind, text in kinds(app) if kind == "star") == ["What of oak.txt?", "What of valve.txt?"]
    app.session_state["explore_panel"] = "legend"
    app.run()
    assert [kind for kind, _ in kinds(app)] == ["found", "missed", "missed"]


def test_a_run_is_chosen_from_those_of_the_collection(open_page: OpenPage, run_id: int) -> None:
    app = open_ask(open_page, run="999")
    assert "There is no run 999 in this collection" in texts(app)
    assert marks(app) == []
    app.selectbox(key="ask_run").set_value(run_id).run()
    assert address_of(app)["run"] == str(run_id)
    assert [kind for kind, _ in kinds(app)].count("missed") == 2


def test_guests_ask_within_their_limit_and_strangers_get_nothing(
    product: Product, database: Database, library: Library, drawn: CorpusMap, run_id: int
) -> None:
    with database.as_user(library.user) as conn:
        set_public(conn, library.collection, True)
    product.settings = product.settings.model_copy(update={"auth": "local"})
    guest = turn_to_ask(Visitors(database).open(open_account(database, None), "explore", q=QUESTION))
    assert "pump.md" in texts(guest)
    assert "left today" in guest.button(key="ask_map_answer").help
    with database.as_user(library.user) as conn:
        set_public(conn, library.collection, False)
    query = {"q": QUESTION, "collection": str(library.collection), "run": str(run_id)}
    stranger = Visitors(database).open(open_account(database, "eve@example.org"), "explore", **query)
    assert "pump" not in texts(stranger)
    assert not [one for one in stranger.get("bidi_component") if "explore_map" in one.proto.id]


def test_the_lab_and_a_run_lead_to_the_map(
    open_page: OpenPage, library: Library, drawn: CorpusMap, run_id: int
) -> None:
    app = open_page("search", q=QUESTION, k="4")
    (link,) = [one for one in app.get("page_link") if one.proto.label == "On the map"]
    query = dict(pair.split("=", 1) for pair in link.proto.query_string.split("&"))
    assert (query["q"].replace("+", " "), query["k"]) == (QUESTION.replace("?", "%3F"), "4")
    app = open_page("evaluate")
    app.session_state["section"] = "runs"
    app.run()
    (link,) = [one for one in app.get("page_link") if one.proto.label == "On the map"]
    assert f"run={run_id}" in link.proto.query_string
