"""One question: its words, and the passages that are judged of it, each with a link to the document at its span."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import streamlit as st

from pages.parts.addresses import span_query
from pages.parts.lab_address import lab_query
from pages.parts.notices import notify, offer_undo
from pages.parts.question_judging import judge_more
from pages.parts.question_table import ORIGINS, open_question
from pages.parts.session import connect
from pages.parts.words import ago, plain, show_error
from rag.errors import CorpuscopeError, NotFound
from rag.evaluation.judged_passages import JudgedPassage, change_grade, list_passages, restore_judgement, take_back
from rag.evaluation.question_sets import MAX_QUESTION, Question, State, get_question
from rag.evaluation.questions import delete_questions, edit_question, restore_questions, restore_states, set_states
from rag.records import Collection

GRADES = {0: "No answer", 1: "Helps", 2: "Answers", 3: "Best"}
_GRADES_HELP = "How well the passage answers the question; nDCG counts the better grades more."


def question_detail(collection: Collection, question_id: int, *, editing: bool) -> None:
    """The picked question under the table; nothing when it is gone."""
    try:
        with connect() as conn:
            question = get_question(conn, question_id)
            passages = list_passages(conn, question_id)
    except NotFound:
        open_question(None)
        return
    if question.set_id != _set_of_page():
        return
    with st.container(border=True, key="question-detail", gap="small"):
        _headline(collection, question, editing=editing)
        for passage in passages:
            show_passage(passage, editing=editing)
        if not passages:
            st.caption("Nothing is judged yet: without a passage that answers it, a question can't be scored.")
        if editing:
            judge_more(collection, question)


def _set_of_page() -> int:
    said = st.query_params.get("set", "")
    return int(said) if said.isdigit() else -1


def _headline(collection: Collection, question: Question, *, editing: bool) -> None:
    st.markdown(f"#### {plain(question.text)}")
    about = f"{ORIGINS[question.origin]} {ago(question.created_at)}"
    if question.external_id:
        about += f" · called {plain(question.external_id)} in its file"
    with st.container(horizontal=True, vertical_alignment="center", key="question-head"):
        st.caption(about, width="stretch")
        st.page_link(
            "pages/search.py",
            label="Try it",
            icon=":material/search:",
            query_params=lab_query(collection.id, question.text),
            help="Ask this in the Search lab",
        )
        if editing:
            _edit(question)
            _buttons(question)


def _edit(question: Question) -> None:
    with (
        st.popover("Edit", icon=":material/edit:", key=f"edit-{question.id}"),
        st.form(f"edit_question_{question.id}", border=False),
    ):
        text = st.text_area("Question", value=question.text, max_chars=MAX_QUESTION, width=440)
        submitted = st.form_submit_button("Save", type="primary")
    if not submitted:
        return
    try:
        with connect() as conn:
            before = edit_question(conn, question.id, text)
    except CorpuscopeError as error:
        show_error(error)
        return
    offer_undo("The question was changed.", lambda: _rename_again(question.id, before))
    st.rerun()


def _rename_again(question_id: int, text: str) -> None:
    with connect() as conn:
        edit_question(conn, question_id, text)


def _buttons(question: Question) -> None:
    if question.state == "rejected" and st.button("Accept", icon=":material/check:", key="accept_again"):
        with connect() as conn:
            before = set_states(conn, [question.id], "accepted")
        offer_undo("The question was accepted.", lambda: take_back_states(before))
        st.rerun()
    if not st.button("Delete", icon=":material/delete:", key="delete_question", help="With its judgements"):
        return
    with connect() as conn:
        removed = delete_questions(conn, [question.id])

    def put_back() -> None:
        with connect() as conn:
            open_question(restore_questions(conn, removed)[0])

    open_question(None)
    offer_undo(f"“{plain(question.text[:80])}” was deleted.", put_back)
    st.rerun()


def take_back_states(before: Mapping[int, State]) -> None:
    """Undo of accepting and rejecting."""
    with connect() as conn:
        restore_states(conn, before)


def show_passage(passage: JudgedPassage, *, editing: bool) -> None:
    """A judged passage: where it is, what it says, and its grade."""
    with st.container(key=f"judged-{passage.id}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", key=f"judged-row-{passage.id}"):
            st.page_link(
                "pages/document.py",
                label=f"{plain(passage.document)}{'' if passage.start is not None else ' (the whole document)'}",
                icon=":material/description:",
                query_params=span_query(passage.document_id, passage.start, passage.end),
                help="Open the document there",
            )
            if editing:
                _grade(passage)
            else:
                st.caption(GRADES[passage.grade], width="content")
        if passage.start is not None:
            st.html(f'<div class="cs-quote cs-text cs-quiet">{_quote(passage)}</div>')


def _quote(passage: JudgedPassage) -> str:
    if passage.text is None:
        return "The document has not been read yet."
    rest = (passage.end or 0) - (passage.start or 0) > len(passage.text)
    return escape(passage.text) + ("…" if rest else "")


def _grade(passage: JudgedPassage) -> None:
    key = f"grade-{passage.id}-{passage.grade}"
    picked = st.segmented_control(
        "Grade",
        list(GRADES),
        default=passage.grade,
        required=True,
        format_func=GRADES.__getitem__,
        key=key,
        label_visibility="collapsed",
        help=_GRADES_HELP,
    )
    if picked is not None and picked != passage.grade:
        with connect() as conn:
            change_grade(conn, passage.id, picked)
        notify(f"Judged as “{GRADES[picked]}”.")
        st.rerun()
    if st.button(
        "Take back",
        key=f"take-back-{passage.id}",
        icon=":material/close:",
        type="tertiary",
        help="Remove this judgement",
    ):
        with connect() as conn:
            taken = take_back(conn, passage.id)

        def put_back() -> None:
            with connect() as conn:
                restore_judgement(conn, taken)

        offer_undo("The judgement was taken back.", put_back)
        st.rerun()
