"""The section Curves of the Evaluate page: what another k or threshold would give, from the hits of a run."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.parts.confirmation import show_refusal
from pages.parts.curve_apply import apply_point
from pages.parts.curve_plots import recall_figure, threshold_figure
from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.empty import empty_state
from pages.parts.question_picker import may_edit
from pages.parts.run_words import run_option
from pages.parts.session import connect
from rag.evaluation.curves import RecallPoint, ThresholdPoint, by_threshold, recall_by_k
from rag.evaluation.question_sets import QuestionSet
from rag.evaluation.runs import Run, list_runs, read_results, read_truth
from rag.records import Collection

_KEPT = "curves"


@dataclass(frozen=True)
class Curves:
    """Both curves of a run."""

    recall: list[RecallPoint]
    thresholds: list[ThresholdPoint]


def show(collection: Collection, evaluation_set: QuestionSet) -> None:
    """Choose a run, see its curves, take a point of them over."""
    show_refusal()
    with connect() as conn:
        runs = {run.id: run for run in list_runs(conn, evaluation_set.id) if run.state == "done"}
    if not runs:
        with empty_state(
            "No finished run yet",
            "The curves are drawn from what a run found. Start one in the section Runs.",
            icon="show_chart",
            key="no-curves",
        ):
            pass
        return
    if st.session_state.get("curve_run") not in runs:
        st.session_state.pop("curve_run", None)
    chosen = st.selectbox("Run", list(runs), format_func=lambda id: run_option(runs[id]), key="curve_run", width=480)
    run = runs[chosen]
    curves = _curves(run)
    if not curves.recall:
        st.info("None of the questions that it asked has a judged answer any more.", icon=":material/rule:")
        return
    st.caption("From the hits that the run kept: nothing is searched anew, so moving a point costs nothing.")
    editable = may_edit(collection)
    _recall(collection, run, curves, editable=editable)
    _threshold(collection, run, curves, editable=editable)


def _curves(run: Run) -> Curves:
    key = (run.id, run.judgements, run.finished_at)
    kept = st.session_state.get(_KEPT)
    if kept is None or kept[0] != key:
        with connect() as conn:
            hits = {result.question_id: result.hits for result in read_results(conn, run.id)}
            truth = read_truth(conn, run.set_id, run.index_id)
        profile = run.profile
        made = Curves(
            recall_by_k(hits, truth, run.unit, profile.threshold), by_threshold(hits, truth, run.unit, profile.k)
        )
        kept = (key, made)
        st.session_state[_KEPT] = kept
    found: Curves = kept[1]
    return found


def _recall(collection: Collection, run: Run, curves: Curves, *, editable: bool) -> None:
    st.subheader("How many passages (k)", anchor=False)
    k = st.slider("k", 1, len(curves.recall), min(run.profile.k, len(curves.recall)), key=f"curve_k_{run.id}")
    st.plotly_chart(recall_figure(curves.recall, k, run.profile.k), key="curve_recall", config={"displaylogo": False})
    here, there = curves.recall[k - 1], curves.recall[min(run.profile.k, len(curves.recall)) - 1]
    now = (
        "as the profile has it" if k == run.profile.k else f"with {there.k}, as the profile has it, {there.recall:.1%}"
    )
    st.markdown(
        f"With **k = {k}** the passages hold **{here.recall:.1%}** of what is judged relevant"
        f" ({here.low:.1%} to {here.high:.1%}); {now}.{_under(run.profile.threshold)}"
    )
    with st.container(horizontal=True, key="curve-k-acts"):
        if editable and k != run.profile.k:
            apply_point(collection, run, {"k": k}, key="curve_apply_k", label=f"Use k = {k}")
        _download(collection, run, "recall", [point._asdict() for point in curves.recall])


def _under(threshold: float | None) -> str:
    return "" if threshold is None else f" Passages below {threshold:.2f} are left out, as the profile has it."


def _threshold(collection: Collection, run: Run, curves: Curves, *, editable: bool) -> None:
    st.subheader("Least similarity (threshold)", anchor=False)
    if not curves.thresholds:
        st.caption("This run searched by words alone, so nothing is known of similarity.")
        return
    points = {point.threshold: point for point in curves.thresholds}
    values = list(points)
    current = run.profile.threshold
    start = values[0] if current is None else min(values, key=lambda value: abs(value - current))
    chosen = round(
        st.slider("Threshold", values[0], values[-1], start, 0.01, format="%.2f", key=f"curve_threshold_{run.id}"), 2
    )
    st.plotly_chart(
        threshold_figure(curves.thresholds, chosen, current), key="curve_threshold", config={"displaylogo": False}
    )
    here = points[chosen]
    precision = "nothing" if here.precision is None else f"{here.precision:.1%} relevant ones"
    st.markdown(
        f"At **{chosen:.2f}** a question gets **{here.returned:.1f}** of its {run.profile.k} passages, with"
        f" {precision} among them, and {here.recall:.1%} of what is judged relevant;"
        f" **{here.unanswered:.1%}** of the questions get nothing."
    )
    with st.container(horizontal=True, key="curve-threshold-acts"):
        if editable and chosen != current and chosen > values[0]:
            apply_point(
                collection, run, {"threshold": chosen}, key="curve_apply_threshold", label=f"Use threshold {chosen:.2f}"
            )
        if editable and current is not None:
            apply_point(
                collection, run, {"threshold": None}, key="curve_apply_none", label="Use no threshold", quiet=True
            )
        _download(collection, run, "threshold", [point._asdict() for point in curves.thresholds])


def _download(collection: Collection, run: Run, name: str, rows: list[dict[str, object]]) -> None:
    st.download_button(
        "CSV",
        handing_out(
            collection.id,
            f"a curve of evaluation run {run.id}",
            lambda conn: to_csv(rows, tuple(rows[0])),
            rows=len(rows),
        ),
        file_name=file_name(collection.name, f"run-{run.id}-{name}"),
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key=f"curve_csv_{name}",
    )
