"""Starting evaluation runs: which profiles, under which indexes, and about how long that takes."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.parts.notices import notify
from pages.parts.run_words import index_label
from pages.parts.session import connect
from pages.parts.words import count, duration, plain, show_error
from rag.corpus.indexes import IndexRow, list_indexes
from rag.errors import CorpuscopeError
from rag.evaluation.question_sets import QuestionSet
from rag.evaluation.runs import Run, start_run
from rag.records import Collection
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import StoredProfile, list_profiles

_BUILT_IN = 0
#: Seconds a question where nothing was measured yet.
_GUESS_S = 0.03
_MOST_RUNS = 20


def start_form(collection: Collection, evaluation_set: QuestionSet, runs: Sequence[Run]) -> None:
    """The choices and the button; for those who may edit."""
    if not evaluation_set.judged:
        st.info(
            "No accepted question of this set has a judged answer yet. Judge some under Questions,"
            " or with the thumbs of the Search lab: then there is something to measure.",
            icon=":material/checklist:",
        )
        return
    with connect() as conn:
        profiles = {one.id: one for one in list_profiles(conn, collection.id)}
        indexes = {one.id: one for one in list_indexes(conn, collection.id) if one.state != "retired"}
    with st.container(border=True, key="run-start"):
        chosen, under = _choose(collection, profiles, indexes)
        number = len(chosen) * len(under)
        with st.container(horizontal=True, vertical_alignment="center"):
            pressed = st.button(
                f"Run {count(number, 'evaluation')}" if number else "Run",
                icon=":material/play_arrow:",
                type="primary",
                key="run_start",
                disabled=not 0 < number <= _MOST_RUNS,
            )
            st.caption(_estimate(evaluation_set.judged, number, runs), width="content")
        if pressed:
            _start(evaluation_set.id, [(profiles.get(one), index) for one in chosen for index in under])


def _choose(
    collection: Collection, profiles: dict[int, StoredProfile], indexes: dict[int, IndexRow]
) -> tuple[list[int], list[int]]:
    default = next((id for id, one in profiles.items() if one.is_default), _BUILT_IN)
    left, right = st.columns(2)
    with left:
        chosen = st.multiselect(
            "Profiles",
            [_BUILT_IN, *profiles],
            default=[default],
            format_func=lambda id: _profile_label(profiles.get(id)),
            key=f"run_profiles_{collection.id}",
            placeholder="Choose profiles",
        )
    active = [id for id, one in indexes.items() if one.state == "active"]
    with right:
        under = st.multiselect(
            "Indexes",
            list(indexes),
            default=active,
            format_func=lambda id: index_label(indexes[id]),
            key=f"run_indexes_{collection.id}",
            placeholder="Choose indexes",
        )
    building = [index_label(indexes[id]) for id in under if not indexes[id].complete]
    if building:
        st.warning(
            f"{plain(building[0])} isn't complete: what it lacks can't be found.",
            icon=":material/construction:",
        )
    return chosen, under


def _profile_label(stored: StoredProfile | None) -> str:
    if stored is None:
        return "Built-in settings"
    return f"{stored.name} v{stored.version}" + (" (default)" if stored.is_default else "")


def _estimate(questions: int, number: int, runs: Sequence[Run]) -> str:
    """``3 × 225 questions · about 12 s``."""
    if not number:
        return "Choose at least one profile and one index."
    if number > _MOST_RUNS:
        return f"At most {_MOST_RUNS} at once."
    pace = seconds_a_question(runs)
    seconds = number * questions * (pace or _GUESS_S)
    measured = "" if pace else ", guessed: nothing was measured here yet"
    times = f"{number} × " if number > 1 else ""
    return f"{times}{count(questions, 'question')} · about {duration(max(1, seconds))}{measured}"


def seconds_a_question(runs: Sequence[Run]) -> float | None:
    """The pace of the latest runs that went through at once."""
    paces = [
        (run.finished_at - run.started_at).total_seconds() / run.asked
        for run in runs
        if run.state == "done" and run.finished_at and run.started_at and run.asked
    ][:5]
    return sorted(paces)[len(paces) // 2] if paces else None


def _start(set_id: int, wanted: Sequence[tuple[StoredProfile | None, int]]) -> None:
    try:
        with connect() as conn:
            for stored, index in wanted:
                start_run(
                    conn,
                    set_id,
                    profile=RetrievalProfile() if stored is None else None,
                    profile_id=stored.id if stored else None,
                    index_id=index,
                )
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(f"{count(len(wanted), 'run')} started.", icon="play_arrow")
    st.rerun()
