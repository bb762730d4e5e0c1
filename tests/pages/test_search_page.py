"""Search: results of each method, words that matched, the options, and what is said when nothing is found."""

from __future__ import annotations

import csv
import io
import re
from uuid import UUID

from streamlit.testing.v1 import AppTest

from pages.parts.downloads import to_csv
from pages.parts.hit_actions import CLICKED, read_action
from pages.parts.hit_cards import CSV_COLUMNS, csv_rows
from pages.parts.product import Product
from rag.corpus.documents import list_documents
from rag.errors import ModelNotReady
from rag.records import LOCAL_USER, Hit
from tests.integration.library import Library
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts


def click(app: AppTest, act: str, place: int = 0) -> None:
    """What a click on that button of a card does: AppTest has no browser to send it."""
    chunk = int(re.findall(rf'data-act="{act}" data-chunk="(\d+)"', texts(app))[place])
    app.session_state[CLICKED] = read_action({"act": act, "chunk": chunk})
    app.run()
    assert not app.exception, app.exception[0].message


def test_a_link_with_a_question_shows_its_results(open_page: OpenPage, library: Library) -> None:
    app = open_page("search", q="warranty of the pump", mode="Hybrid", k="5")
    said = texts(app)
    assert "passages from" in said
    assert "pump.md" in said
    assert "<mark>warranty</mark>" in said
    assert "Similarity" in said
    assert "Words" in said
    assert "no. 1" in said


def test_text_of_documents_never_becomes_markup(open_page: OpenPage, library: Library) -> None:
    library.add("evil.html", "<img src=x onerror=alert(1)> poison <script>alert(2)</script> ![x](https://evil.example)")
    said = "".join(str(element.proto.body) for element in open_page("search", q="poison").get("html"))
    assert "&lt;script&gt;" in said
    assert "<script" not in said
    assert "<img" not in said


def test_a_search_by_words_needs_no_model(open_page: OpenPage, library: Library, product: Product) -> None:
    product.encoder = None
    app = open_page("search", q="sunglasses", mode="Words")
    assert "lake.txt" in texts(app)
    assert not app.info


def test_while_the_model_loads_words_are_searched_and_it_is_said(
    open_page: OpenPage, library: Library, product: Product
) -> None:
    product.encoder, product.encoder_problem = None, ModelNotReady()
    app = open_page("search", q="sunglasses")
    assert "lake.txt" in texts(app)
    assert "still loading" in app.info[0].value


def test_a_threshold_leaves_out_and_says_how_to_get_more(open_page: OpenPage, library: Library) -> None:
    app = open_page("search", q="sunglasses")
    everything = texts(app).count("cs-head")
    app.slider(key="threshold").set_value(0.99).run()
    assert texts(app).count("cs-head") < everything
    assert "lower the least similarity" in app.info[0].value


def test_only_chosen_documents_are_searched(open_page: OpenPage, library: Library, product: Product) -> None:
    app = open_page("search", q="pump water")
    picker = app.multiselect[0]
    with product.database.as_user(LOCAL_USER) as conn:  # type: ignore[union-attr]
        lake = next(document for document in list_documents(conn, library.collection) if document.name == "lake.txt")
    picker.set_value([str(lake.id)]).run()
    said = texts(app)
    assert "lake.txt" in said
    assert "pump.md" not in said


def test_neighbours_come_on_demand(open_page: OpenPage, library: Library) -> None:
    library.add("long.txt", " ".join(f"word{n} of the long text." for n in range(120)))
    app = open_page("search", q="word40", mode="Words", k="1")
    assert "cs-near" not in texts(app)
    assert "Show neighbours" in texts(app)
    click(app, "near")
    assert "cs-near" in texts(app)
    assert "Hide neighbours" in texts(app)
    click(app, "near")
    assert "cs-near" not in texts(app)


def test_the_download_is_what_one_sees_and_no_formula() -> None:
    hit = Hit(1, 7, UUID(int=3), "=cmd", None, 1, 2, 0, 4, ["A"], "=1+1", 0.5, None, 0.5, 1, None)
    rows = list(csv.DictReader(io.StringIO(to_csv(csv_rows([hit]), CSV_COLUMNS).decode("utf-8-sig"))))
    assert rows[0]["document"] == "'=cmd"
    assert rows[0]["text"] == "'=1+1"
    assert rows[0]["page"] == "2"
