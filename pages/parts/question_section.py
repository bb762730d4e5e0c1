"""The section Questions of the Evaluate page: the questions of a set, what is judged of them, and ways to add some."""

from __future__ import annotations

import streamlit as st

from pages.parts.question_adding import ways_to_add
from pages.parts.question_detail import question_detail
from pages.parts.question_downloads import download_menu
from pages.parts.question_drafts import review_drafts, watch_drafting
from pages.parts.question_picker import may_edit
from pages.parts.question_table import FILTERS, pick_question, question_filter
from pages.parts.session import connect
from rag.evaluation.draft_requests import latest_request
from rag.evaluation.question_sets import QuestionSet
from rag.records import Collection


def show(collection: Collection, evaluation_set: QuestionSet) -> None:
    """Ways to add on top, then the questions that the filter keeps, then the one that is picked."""
    editing = may_edit(collection)
    if editing:
        ways_to_add(collection, evaluation_set)
        with connect() as conn:
            request = latest_request(conn, evaluation_set.id)
        watch_drafting(evaluation_set, request)
    if not evaluation_set.accepted + evaluation_set.drafts + evaluation_set.rejected:
        st.caption("This set has no questions yet." + ("" if editing else " Its owners and editors can add some."))
        return
    with st.container(horizontal=True, vertical_alignment="center", key="question-toolbar"):
        chosen, text = question_filter(evaluation_set)
        with st.container(horizontal=True, horizontal_alignment="right", width="stretch"):
            download_menu(collection, evaluation_set)
    if FILTERS[chosen].state == "draft" and editing:
        review_drafts(collection, evaluation_set, text)
    elif (picked := pick_question(evaluation_set, FILTERS[chosen], text)) is not None:
        question_detail(collection, picked, editing=editing)
