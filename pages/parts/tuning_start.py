"""Starting a search for better settings: what should be better, and than what."""

from __future__ import annotations

import streamlit as st

from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.tuning_words import OBJECTIVES
from pages.parts.words import count, duration, show_error
from rag.errors import CorpuscopeError
from rag.evaluation.objectives import Objective
from rag.evaluation.question_sets import QuestionSet
from rag.evaluation.tuning import LEAST_QUESTIONS
from rag.evaluation.tunings import BUDGET, start_tuning
from rag.records import Collection
from rag.retrieval.stored_profiles import list_profiles

#: Seconds a question takes, roughly, with embedding it.
_SECONDS = 0.05
_DEFAULT = 0


def start_form(collection: Collection, evaluation_set: QuestionSet) -> None:
    """The choices and the button; for those who may edit."""
    if not evaluation_set.judged:
        st.info(
            "No accepted question of this set has a judged answer yet. Judge some under Questions,"
            " or with the thumbs of the Search lab: then there is something to go by.",
            icon=":material/checklist:",
        )
        return
    with connect() as conn:
        profiles = {one.id: one for one in list_profiles(conn, collection.id) if one.profile.rerank is None}
    with st.container(border=True, key="tuning-start"):
        left, right = st.columns([3, 2])
        with left:
            objective = st.radio(
                "What should get better?",
                list(OBJECTIVES),
                format_func=lambda name: f"{OBJECTIVES[name][0]} ({OBJECTIVES[name][1]})",
                captions=[meaning for _, _, meaning in OBJECTIVES.values()],
                key="tuning_objective",
            )
        with right:
            chosen = st.selectbox(
                "Compared with",
                [_DEFAULT, *profiles],
                format_func=lambda id: f"{profiles[id].name} v{profiles[id].version}" if id else "The default",
                key=f"tuning_profile_{collection.id}",
                help="Profiles with a reranker are left out: what it does to other settings can't be foreseen.",
            )
            budget = BUDGET
            if objective == "reading":
                budget = int(
                    st.number_input("Characters that the model reads", 500, 200_000, BUDGET, 500, key="tuning_budget")
                )
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Find better settings", icon=":material/tune:", type="primary", key="tuning_start"):
                _start(evaluation_set.id, objective, budget, chosen or None)
            st.caption(_estimate(evaluation_set.judged), width="content")


def _estimate(questions: int) -> str:
    if questions < LEAST_QUESTIONS:
        return (
            f"{count(questions, 'judged question')}: too few to tell; {LEAST_QUESTIONS} are the least, 100 are better."
        )
    return f"{count(questions, 'judged question')}, each searched for once · about {duration(2 + _SECONDS * questions)}"


def _start(set_id: int, objective: Objective, budget: int, profile_id: int | None) -> None:
    try:
        with connect() as conn:
            number = start_tuning(conn, set_id, objective=objective, budget=budget, profile_id=profile_id)
    except CorpuscopeError as error:
        show_error(error)
        return
    st.session_state["tuning_chosen"] = number
    notify("The search for better settings has started.", icon="tune")
    st.rerun()
