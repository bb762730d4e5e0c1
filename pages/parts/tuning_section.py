"""The section Better settings of the Evaluate page: start a search for them, watch it, and see what came of it."""

from __future__ import annotations

import streamlit as st

from pages.parts.confirmation import Act, confirm, show_refusal
from pages.parts.empty import empty_state
from pages.parts.question_picker import may_edit
from pages.parts.session import connect
from pages.parts.tuning_result import show_result
from pages.parts.tuning_start import start_form
from pages.parts.tuning_words import measure_name, tuning_option
from pages.parts.words import count, duration, plain, show_error
from rag.corpus.progress import RateMeter, read_worker_status
from rag.errors import CorpuscopeError
from rag.evaluation.question_sets import QuestionSet
from rag.evaluation.tunings import UNFINISHED, Tuning, cancel_tuning, delete_tuning, list_tunings
from rag.records import Collection


def show(collection: Collection, evaluation_set: QuestionSet) -> None:
    """Everything about better settings by this set."""
    show_refusal()
    with connect() as conn:
        tunings = list_tunings(conn, evaluation_set.id)
    editable = may_edit(collection)
    if editable:
        start_form(collection, evaluation_set)
    _watch(evaluation_set.id, tunings, editable=editable)
    ended = {one.id: one for one in tunings if one.state not in UNFINISHED}
    if not tunings:
        with empty_state(
            "No better settings were looked for yet",
            "Weights, ways of fusing and diversity are tried on this set's questions. What is suggested is measured on"
            " questions that had no part in choosing it, and where these can't tell, it says so.",
            icon="tune",
            key="no-tunings",
        ):
            if not editable:
                st.caption("Editors of this collection can look for better settings.")
    elif ended:
        _pick(collection, ended, editable=editable)


def _pick(collection: Collection, ended: dict[int, Tuning], *, editable: bool) -> None:
    if st.session_state.get("tuning_chosen") not in ended:
        st.session_state.pop("tuning_chosen", None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = ended[
            st.selectbox(
                "Result", list(ended), format_func=lambda id: tuning_option(ended[id]), key="tuning_chosen", width=560
            )
        ]
        if editable and st.button("Delete", icon=":material/delete:", type="tertiary", key="tuning_delete"):
            confirm(
                Act(
                    title="Delete this result?",
                    effects=["Its figures are gone. Profiles that were saved from it stay."],
                    verb="Delete it",
                    do=lambda conn: delete_tuning(conn, chosen.id),
                    done="The result is deleted.",
                    icon="delete",
                )
            )
    if (found := chosen.findings) is not None:
        show_result(collection, chosen, found, editable=editable)
        return
    why = f"{plain(chosen.reason or '')} {plain(chosen.hint or '')}".strip()
    said = "This search for better settings " + ("failed." if chosen.state == "failed" else "was cancelled.")
    st.warning(f"{said} {why}".strip(), icon=":material/error:")


def _watch(set_id: int, tunings: list[Tuning], *, editable: bool) -> None:
    """A bar for each that waits or runs; the page is drawn again once one ends."""
    waiting = frozenset(one.id for one in tunings if one.state in UNFINISHED)
    if waiting:
        st.fragment(_look, run_every=1.0)(set_id, waiting, editable)


def _look(set_id: int, waiting: frozenset[int], editable: bool) -> None:
    with connect() as conn:
        tunings = [one for one in list_tunings(conn, set_id) if one.state in UNFINISHED]
        alive = read_worker_status(conn).alive
    if {one.id for one in tunings} != waiting:
        st.rerun()
    if not alive:
        st.warning(
            "**No worker is running.** Start one with `corpuscope worker`; this waits.", icon=":material/pause_circle:"
        )
    for one in reversed(tunings):
        with st.container(horizontal=True, vertical_alignment="center", key=f"tuning-live-{one.id}"):
            st.progress(min(1.0, one.asked / max(1, one.total)), text=describe_progress(one, _meter(one)))
            if editable and st.button(
                "Cancel", icon=":material/close:", type="tertiary", key=f"tuning_cancel_{one.id}"
            ):
                _cancel(one.id)


def _meter(one: Tuning) -> RateMeter:
    meters: dict[int, RateMeter] = st.session_state.setdefault("tuning_meters", {})
    meter = meters.setdefault(one.id, RateMeter())
    meter.feed(one.at.timestamp(), one.asked)
    return meter


def describe_progress(one: Tuning, meter: RateMeter) -> str:
    """``#3 nDCG@10 · searched for 40 of 225 questions · 30 a second · about 6 s left``."""
    parts = [f"**#{one.id}** {plain(measure_name(one))}, from {plain(one.label)}"]
    if one.state == "queued":
        return " · ".join([*parts, "waits for its turn"])
    parts.append(f"searched for {one.asked:,} of {count(one.total, 'question')}")
    if one.asked >= one.total:
        parts.append("choosing, and measuring what it costs")
    elif meter.rate:
        parts.append(f"{meter.rate:,.0f} a second" if meter.rate >= 10 else f"{meter.rate:.1f} a second")
        if (left := meter.eta(one.total - one.asked)) is not None:
            parts.append(f"about {duration(max(1, left))} left")
    if one.reason:
        parts.append(plain(one.reason))
    return " · ".join(parts)


def _cancel(tuning_id: int) -> None:
    try:
        with connect() as conn:
            cancel_tuning(conn, tuning_id)
    except CorpuscopeError as error:
        show_error(error)
        return
    st.rerun()
