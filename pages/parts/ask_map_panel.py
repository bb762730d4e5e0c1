"""Asking on the map: a question with the settings that it is asked under, what comes back, what is cut off and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from pages.parts import explore_state
from pages.parts.ask_map_answer import Answered, answer_button, read_answered, show_answer
from pages.parts.ask_map_controls import ask_this, question_field, settings_controls
from pages.parts.ask_map_hits import off_map, show_list, summarise
from pages.parts.ask_map_marks import question_marks
from pages.parts.ask_map_run import read_run_marks, show_run
from pages.parts.ask_map_state import AskDesk, embed, open_ask_desk, scores, star_of
from pages.parts.asking import wait_for_model
from pages.parts.empty import sample_questions
from pages.parts.guests import is_guest
from pages.parts.lab_address import lab_query
from pages.parts.map_view import Mark
from pages.parts.session import connect
from pages.parts.words import show_error
from rag.errors import CorpuscopeError
from rag.mapping.asking import Asked, ask_map
from rag.mapping.maps import CorpusMap
from rag.records import Collection
from rag.retrieval.profiles import RetrievalProfile

_AIMED = "ask_map_aimed"


@dataclass(frozen=True)
class Shown:
    """What a question finds under the settings; ``waiting`` says that words alone were searched for want of the model.

    ``profile`` is what was searched with.
    """

    asked: Asked
    profile: RetrievalProfile
    answered: Answered
    waiting: bool

    def marks(self, question: str) -> list[Mark]:
        """For the map."""
        return question_marks(self.asked, self.answered.cited, question)


def show(collection: Collection, map_: CorpusMap) -> list[Mark]:
    """Draw the panel; what belongs on the map for the question, and for the evaluation run that is chosen."""
    with connect() as conn:
        desk = open_ask_desk(conn, collection, map_, explore_state.look().side)
    with st.container(key="ask-map", gap="small"):
        marks = _show_question(desk)
        missed = st.expander(
            "Missed answers",
            icon=":material/wrong_location:",
            key="ask-map-run",
            expanded=explore_state.look().run is not None,
            on_change="rerun",
        )
        if missed.open:
            with missed:
                return [*show_run(desk), *marks]
    return [*read_run_marks(desk), *marks]


def is_wanted(*, arrived: bool) -> bool:
    """Whether to open this panel: somebody came to the page, or by a link, with a question or a run in the look."""
    aimed, look = explore_state.aimed(), explore_state.look()
    new = arrived or st.session_state.get(_AIMED) != aimed
    st.session_state[_AIMED] = aimed
    return new and bool(look.question or look.run)


def marks_only(collection: Collection, map_: CorpusMap) -> list[Mark]:
    """The same marks where the panel itself is not drawn."""
    look = explore_state.look()
    if not look.question and look.run is None:
        return []
    with connect() as conn:
        desk = open_ask_desk(conn, collection, map_, look.side)
    marks = read_run_marks(desk)
    if look.question and desk.index is not None:
        try:
            found = _find(desk, look.question, look.side.apply(desk.begun(look.side)))
        except CorpuscopeError:
            return marks  # the panel says what is wrong
        marks += found.marks(look.question)
    return marks


def _show_question(desk: AskDesk) -> list[Mark]:
    question = question_field()
    if desk.index is None:
        st.caption("The index of this map was retired: its passages can’t be searched. Make a new map.")
        return []
    if not question:
        st.html(
            '<p class="cs-quiet cs-flat">Ask something: the passages that come back get their rank on the map,'
            " and those that the settings cut off are hollow.</p>"
        )
        if explore_state.look().run is None:
            sample_questions(desk.collection, key="explore", on_click=ask_this)
        return []
    profile = settings_controls(desk)
    try:
        shown = _find(desk, question, profile)
    except CorpuscopeError as error:
        show_error(error)
        return []
    _show_found(desk, question, profile, shown)
    return shown.marks(question)


def _find(desk: AskDesk, question: str, profile: RetrievalProfile) -> Shown:
    assert desk.index is not None
    vector: Any = embed(question, desk.index)
    waiting = vector is None
    if waiting:
        profile = replace(profile, mode="lexical", threshold=None)
    with connect() as conn:
        star = star_of(conn, desk.map, question, vector)
    asked = ask_map(connect, desk.map, question, vector, profile, star=star, rerankers=scores())
    return Shown(asked, profile, read_answered(desk.map, question), waiting)


def _show_found(desk: AskDesk, question: str, profile: RetrievalProfile, shown: Shown) -> None:
    asked, answered = shown.asked, shown.answered
    if shown.waiting:
        wait_for_model(desk.index.model if desk.index else None)
    if asked.hits:
        st.html(f'<p class="cs-flat cs-asked-sum">{summarise(asked, shown.profile)}</p>')
    else:
        st.caption("Nothing was found. Put it in other words, or search by another method.")
    if words := off_map(asked):
        st.caption(words)
    with st.container(horizontal=True, vertical_alignment="center", key="ask-map-acts", gap="small"):
        answer_button(desk.map, question, profile, answered)
        _link_to_lab(desk, question)
    show_answer(desk.map, question, profile, asked, answered)
    if asked.hits:
        show_list(asked, shown.profile, answered.chunks)


def _link_to_lab(desk: AskDesk, question: str) -> None:
    side = replace(explore_state.look().side, index=desk.other_index)
    saves = not is_guest() and desk.collection.role != "viewer"
    st.page_link(
        "pages/search.py",
        label="In the Search lab",
        icon=":material/search:",
        query_params=lab_query(desk.collection.id, question, side),
        help="The same question and settings" + ("; save them or make them the default there" if saves else ""),
    )
