"""The section Compare of the Evaluate page: two runs of the set, what differs, and how sure that is."""

from __future__ import annotations

import streamlit as st

from pages.parts.compare_acts import promote
from pages.parts.compare_questions import show_questions
from pages.parts.compare_table import HEADLINE, show_metrics, verdict
from pages.parts.confirmation import show_refusal
from pages.parts.empty import empty_state
from pages.parts.notices import notify
from pages.parts.question_picker import may_edit
from pages.parts.run_words import UNITS, run_option
from pages.parts.session import connect
from pages.parts.words import count, show_error
from rag.errors import CorpuscopeError, InvalidInput
from rag.evaluation.comparing import METHOD, Comparison, compare_runs
from rag.evaluation.question_sets import QuestionSet
from rag.evaluation.runs import Run, list_runs, read_scores, resume_run
from rag.records import Collection

_KEPT = "comparison"


def show(collection: Collection, evaluation_set: QuestionSet) -> None:
    """The two pickers and the comparison."""
    show_refusal()
    with connect() as conn:
        runs = {run.id: run for run in list_runs(conn, evaluation_set.id) if run.state == "done"}
    if len(runs) < 2:
        with empty_state(
            "Two finished runs are needed",
            "Start runs of two profiles, or of one profile under two indexes, in the section Runs.",
            icon="compare_arrows",
            key="no-comparison",
        ):
            st.caption(f"There is {count(len(runs), 'finished run')} of this set so far.")
        return
    before, after = _pick(runs)
    if before.id == after.id:
        st.info("Choose two different runs.", icon=":material/compare_arrows:")
        return
    try:
        comparison = _compare(before, after)
    except InvalidInput as problem:
        show_error(problem)
        return
    _draw(collection, comparison)


def _pick(runs: dict[int, Run]) -> tuple[Run, Run]:
    """The runs of the address, else the last two."""
    newest = sorted(runs, reverse=True)
    picked = []
    for column, name, title, fallback in zip(
        st.columns(2), ("before", "after"), ("Baseline", "Compared with it"), (newest[1], newest[0]), strict=True
    ):
        key = f"compare_{name}"
        wanted = st.query_params.get(name, "")
        if st.session_state.get(key) not in runs:
            st.session_state[key] = int(wanted) if wanted.isdecimal() and int(wanted) in runs else fallback
        with column:
            chosen = st.selectbox(title, newest, format_func=lambda id: run_option(runs[id]), key=key)
        st.query_params[name] = str(chosen)
        picked.append(runs[chosen])
    return picked[0], picked[1]


def _compare(before: Run, after: Run) -> Comparison:
    """The comparison, kept for as long as the two runs are what they are: resampling takes most of a second."""
    key = (before.id, after.id, before.judgements, after.judgements)
    kept = st.session_state.get(_KEPT)
    if kept is None or kept[0] != key:
        with connect() as conn:
            first, second = read_scores(conn, before.id), read_scores(conn, after.id)
        kept = (key, compare_runs(before, after, first, second))
        st.session_state[_KEPT] = kept
    found: Comparison = kept[1]
    return found


def _draw(collection: Collection, comparison: Comparison) -> None:
    editable = may_edit(collection)
    if not comparison.alike:
        _offer_measuring(comparison, editable=editable)
    if _fingerprint(comparison.before) != _fingerprint(comparison.after) and _same_index(comparison):
        st.warning(
            "The corpus changed between these runs: part of the difference may come from that.",
            icon=":material/history:",
        )
    verdict(comparison)
    left_out = f" {count(comparison.left_out, 'question')} that only one of them has asked are left out."
    st.caption(
        f"Over the {count(comparison.shared, 'question')} that both answered."
        f"{left_out if comparison.left_out else ''} {UNITS[comparison.unit]} p is of {METHOD};"
        " below .05 a difference is called significant."
    )
    show_metrics(collection, comparison)
    worse = comparison.metric(HEADLINE).verdict == "worse"
    promote(collection, comparison.before if worse else comparison.after, editable=editable)
    show_questions(collection, comparison)


def _fingerprint(run: Run) -> str:
    return str(run.corpus.get("fingerprint", ""))


def _same_index(comparison: Comparison) -> bool:
    return comparison.before.index_id == comparison.after.index_id


def _offer_measuring(comparison: Comparison, *, editable: bool) -> None:
    st.warning(
        "These runs were measured with different judgements, so their figures can't be compared."
        " Measure both with today's: that needs no new search.",
        icon=":material/rule:",
    )
    if not editable or not st.button("Measure both again", icon=":material/refresh:", key="compare_again"):
        return
    try:
        with connect() as conn:
            for run in (comparison.before, comparison.after):
                resume_run(conn, run.id)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify("Both runs are measured again. They are here again in a few seconds.", icon="refresh")
    st.rerun()
