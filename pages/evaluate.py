"""Evaluate: sets of labelled questions, what profiles score on them, and what to change."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.parts import compare_section, curve_section, question_section, run_section, tuning_section
from pages.parts.empty import no_documents
from pages.parts.picker import page_header
from pages.parts.question_first import first_questions
from pages.parts.question_picker import pick_set
from pages.parts.session import require_database, require_user
from rag.evaluation.question_sets import QuestionSet
from rag.records import Collection

#: The sections in their order: title, name in the address, and what draws it. A new one is one more line.
SECTIONS: list[tuple[str, str, Callable[[Collection, QuestionSet], None]]] = [
    ("Questions", "questions", question_section.show),
    ("Runs", "runs", run_section.show),
    ("Compare", "compare", compare_section.show),
    ("Curves", "curves", curve_section.show),
    ("Better settings", "better-settings", tuning_section.show),
]


def show_section(collection: Collection, evaluation_set: QuestionSet) -> None:
    """The switch between the sections, which the address keeps, and the one that is chosen."""
    titles = {name: title for title, name, _ in SECTIONS}
    shows = {name: show for _, name, show in SECTIONS}
    chosen = st.segmented_control(
        "Section",
        list(titles),
        default=SECTIONS[0][1],
        required=True,
        format_func=titles.__getitem__,
        key="section",
        bind="query-params",
        label_visibility="collapsed",
    )
    shows[chosen](collection, evaluation_set)


require_user()
require_database()
chosen_collection = page_header("Evaluate")
if chosen_collection is None or not chosen_collection.document_count:
    no_documents("evaluate", chosen_collection)
elif (chosen_set := pick_set(chosen_collection)) is None:
    first_questions(chosen_collection)
else:
    show_section(chosen_collection, chosen_set)
