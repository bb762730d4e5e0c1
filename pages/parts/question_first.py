"""A collection without a set of questions: what one is for, and the four ways to the first."""

from __future__ import annotations

import streamlit as st

from pages.parts.empty import empty_state
from pages.parts.question_picker import may_edit, new_set_dialog
from rag.records import Collection

_WHY = (
    "A set of questions, each with the passages that answer it, measures what search finds. With one you can compare "
    "settings, models and chunking by figures instead of by feel."
)


def first_questions(collection: Collection) -> None:
    """Drawn in place of the page's sections."""
    with empty_state("No questions yet", _WHY, icon="checklist", key="questions"):
        if not may_edit(collection):
            st.caption("Its owners and editors can make some.", width="content")
            return
        if st.button("Make a set of questions", type="primary", icon=":material/add:", key="first_set"):
            new_set_dialog(collection)
