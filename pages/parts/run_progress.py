"""Runs at work, live: how far each is, how fast, how long it will take, and a button to stop it."""

from __future__ import annotations

import streamlit as st

from pages.parts.session import connect
from pages.parts.words import count, duration, plain, show_error
from rag.corpus.progress import RateMeter, read_worker_status
from rag.errors import CorpuscopeError
from rag.evaluation.runs import UNFINISHED, Run, cancel_run, list_runs


def watch_runs(set_id: int, runs: list[Run], *, may_edit: bool) -> None:
    """A bar for each run that waits or runs; the page is drawn again once one ends."""
    waiting = {run.id for run in runs if run.state in UNFINISHED}
    if waiting:
        st.fragment(_look, run_every=1.0)(set_id, frozenset(waiting), may_edit)


def _look(set_id: int, waiting: frozenset[int], may_edit: bool) -> None:
    with connect() as conn:
        runs = [run for run in list_runs(conn, set_id) if run.state in UNFINISHED]
        alive = read_worker_status(conn).alive
    if {run.id for run in runs} != waiting:
        st.rerun()
    if not alive:
        st.warning(
            "**No worker is running.** Start one with `corpuscope worker`; the runs wait.",
            icon=":material/pause_circle:",
        )
    for run in reversed(runs):
        with st.container(horizontal=True, vertical_alignment="center", key=f"run-live-{run.id}"):
            share = run.asked / run.total if run.total else 0.0
            st.progress(min(1.0, share), text=describe_run(run, _meter(run)))
            if may_edit and st.button("Cancel", icon=":material/close:", type="tertiary", key=f"run_cancel_{run.id}"):
                _cancel(run.id)


def _meter(run: Run) -> RateMeter:
    meters: dict[int, RateMeter] = st.session_state.setdefault("run_meters", {})
    meter = meters.setdefault(run.id, RateMeter())
    meter.feed(run.at.timestamp(), run.asked)
    return meter


def describe_run(run: Run, meter: RateMeter) -> str:
    """``#3 Careful v2 · asked 40 of 225 questions · 55 a second · about 4 s left``."""
    parts = [f"**{plain(run.label)}**", f"index {run.index_id}"]
    if run.state == "queued":
        return " · ".join([*parts, "waits for its turn"])
    parts.append(f"asked {run.asked:,} of {count(run.total, 'question')}")
    if run.asked >= run.total:
        parts.append("measuring")
    elif meter.rate:
        parts.append(f"{meter.rate:,.0f} a second" if meter.rate >= 10 else f"{meter.rate:.1f} a second")
        if (left := meter.eta(run.total - run.asked)) is not None:
            parts.append(f"about {duration(max(1, left))} left")
    if run.reason:
        parts.append(plain(run.reason))
    return " · ".join(parts)


def _cancel(run_id: int) -> None:
    try:
        with connect() as conn:
            cancel_run(conn, run_id)
    except CorpuscopeError as error:
        show_error(error)
        return
    st.rerun()
