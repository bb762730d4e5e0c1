"""The section Questions of the Evaluate page: the questions of a set and what is judged of them."""

from __future__ import annotations

import streamlit as st

from pages.parts.session import connect
from rag.evaluation.question_sets import QuestionSet, list_questions
from rag.records import Collection


def show(collection: Collection, evaluation_set: QuestionSet) -> None:
    """The table of questions."""
    with connect() as conn:
        questions = list_questions(conn, evaluation_set.id)
    st.dataframe([{"Question": question.text, "Relevant": question.relevant} for question in questions])
