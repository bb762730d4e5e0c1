"""“Why isn't it here?” as a part of a page: choosing, the chain, its advice, and what the address keeps."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.product import Product
from rag.corpus.marks import exclude_span
from rag.records import LOCAL_USER
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.trace_words import as_json, as_rows, as_text
from rag.retrieval.tracing import explain
from rag.store.database import Database
from tests.integration.library import LAKE, PUMP, QUESTION, Library
from tests.pages.reading import texts

#: As in the page itself; the style sheet names both too.
LOST, CHAIN = 'class="cs-link cs-lost"', 'class="cs-chain"'


def script() -> None:
    """A page that holds nothing else."""
    import streamlit as st

    from pages.parts.picker import page_header
    from pages.parts.product import product
    from pages.parts.shell import open_frame
    from pages.parts.why import why_not
    from rag.retrieval.profiles import RetrievalProfile
    from rag.retrieval.tracing import apply_fix
    from tests.integration.library import QUESTION

    def change(fix: dict[str, object]) -> None:
        st.session_state["profile"] = apply_fix(st.session_state["profile"], fix)

    open_frame()
    collection = page_header("Why")
    profile = st.session_state.setdefault("profile", RetrievalProfile(mode="dense", k=1))
    encoder = product().encoder
    assert collection is not None
    assert encoder is not None
    why_not(collection, QUESTION, encoder.embed_question(QUESTION), profile, on_fix=change)


def open_why(**query: str) -> AppTest:
    app = AppTest.from_function(script, default_timeout=30)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception[0].message
    return app


@pytest.fixture
def lake(library: Library, database: Database, product: Product) -> UUID:
    return UUID(str(library.value("select id from documents where name = 'lake.txt'")))


def test_without_a_choice_it_says_what_to_do(library: Library, product: Product) -> None:
    assert "Choose a document that you miss" in texts(open_why())


def test_a_lost_document_is_explained_and_one_click_brings_it(lake: UUID) -> None:
    app = open_why()
    app.selectbox(key="why_document").set_value(str(lake)).run()
    said = texts(app)
    assert "lake.txt** is not among the results" in said
    assert said.count(LOST) == 1
    assert "Raise k from 1 to 2" in said
    assert "Tried: it is there then." in said
    assert app.query_params["why"] == str(lake)
    app.button(key="why-fix-k-0").click().run()
    assert "lake.txt** is there: number 2" in texts(app)
    assert LOST not in texts(app)


def test_an_address_with_a_phrase_explains_it_and_marks_it(library: Library, product: Product) -> None:
    app = open_why(phrase="elm leaves")
    said = texts(app)
    assert app.text_input(key="why_phrase").value == "elm leaves"
    assert "<mark>elm leaves</mark>" in said
    assert "Chunk 1 of 1 holds it" in said
    app.text_input(key="why_phrase").set_value("").run()
    assert "phrase" not in app.query_params
    assert CHAIN not in texts(app)


def test_an_address_of_a_document_that_one_may_not_see(library: Library, product: Product) -> None:
    said = texts(open_why(why=str(uuid4())))
    assert "No document that you may see has this id" in said
    assert LOST in said
    assert CHAIN not in texts(open_why(why="no-id"))


def test_an_exclusion_points_to_the_document(lake: UUID, product: Product) -> None:
    with product.database.as_user(LOCAL_USER) as conn:  # type: ignore[union-attr]
        exclude_span(conn, lake, 0, len(LAKE))
    app = open_why(why=str(lake))
    assert "left out of search" in texts(app)
    [link] = app.get("page_link")
    assert "document" in link.proto.page
    assert f"end={len(LAKE)}" in link.proto.query_string


def test_text_of_documents_never_becomes_markup(library: Library, product: Product) -> None:
    library.add("<img src=x>.txt", "<script>alert(1)</script> poison **bold**")
    said = "".join(str(element.proto.body) for element in open_why(phrase="poison bold").get("html"))
    assert "<script" not in said
    assert "<img" not in said
    assert "&lt;script&gt;" in said


def test_the_downloads_say_the_same(library: Library, database: Database, lake: UUID) -> None:
    found = explain(
        lambda: database.as_user(LOCAL_USER),
        library.collection,
        QUESTION,
        library.embedder.embed_question(QUESTION),
        RetrievalProfile(mode="dense", k=1),
        document_id=lake,
    )
    text, rows, shape = as_text(found), as_rows(found), as_json(found)
    assert "✗ 14. Among the first k: Number 2, and k is 1. (lost here)" in text
    assert "→ Raise k from 1 to 2. Tried: it is there then." in text
    assert rows[-1] == rows[-1] | {"stage": "Among the first k", "outcome": "lost here", "figures": "rank 2, k 1"}
    assert (shape["lost_at"], shape["stages"][-1]["advice"][0]["fix"]) == ("k", {"k": 2})
    assert PUMP not in text
