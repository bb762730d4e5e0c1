"""Four ways to put questions into a set: a file, by hand, drafts from the documents, thumbs in the Search lab."""

from __future__ import annotations

import streamlit as st

from pages.parts.lab_address import lab_query
from pages.parts.notices import notify
from pages.parts.question_drafts import draft_form
from pages.parts.question_import import import_form
from pages.parts.question_table import open_question
from pages.parts.session import connect
from pages.parts.words import show_error
from rag.errors import CorpuscopeError
from rag.evaluation.question_sets import MAX_QUESTION, QuestionSet, add_question
from rag.records import Collection


def ways_to_add(collection: Collection, chosen: QuestionSet) -> None:
    """Open as long as the set is empty."""
    empty = not chosen.accepted + chosen.drafts
    with st.expander("Add questions", expanded=empty, icon=":material/playlist_add:", key=f"add-questions-{empty}"):
        file, typed, drafted, thumbs = st.tabs(["Import a file", "Type one in", "Draft from documents", "From search"])
        with file:
            import_form(collection, chosen)
        with typed:
            _type_in(chosen)
        with drafted:
            draft_form(chosen)
        with thumbs:
            st.markdown(
                "Ask something in the Search lab and press the thumbs of its hits: each judges the passage for that "
                "question. They go into the set **From thumbs**, which is made at the first one."
            )
            st.page_link(
                "pages/search.py",
                label="Go to the Search lab",
                icon=":material/arrow_forward:",
                query_params=lab_query(collection.id, ""),
            )


def _type_in(chosen: QuestionSet) -> None:
    with st.form("type_question", border=False, clear_on_submit=True):
        text = st.text_area(
            "Question", max_chars=MAX_QUESTION, height=80, placeholder="How long is the warranty of the Wren 2?"
        )
        submitted = st.form_submit_button("Add the question", type="primary", icon=":material/add:")
    if not submitted:
        st.caption("Then paste the passage that answers it, or choose a document.")
        return
    try:
        with connect() as conn:
            made = add_question(conn, chosen.id, text)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify("The question was added. Now say what answers it.")
    open_question(made)
    st.rerun()
