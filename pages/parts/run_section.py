"""The section Runs of the Evaluate page: start runs, watch them, and see what each scored."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.parts.confirmation import show_refusal
from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.empty import empty_state
from pages.parts.live_work import Work, watch
from pages.parts.question_picker import may_edit
from pages.parts.run_detail import show_run
from pages.parts.run_start import start_form
from pages.parts.run_words import STATES, UNITS, heading, index_of, run_option, with_interval
from pages.parts.session import connect
from pages.parts.words import ago, plain
from rag.evaluation.question_sets import QuestionSet
from rag.evaluation.runs import Run, cancel_run, list_runs
from rag.records import Collection

#: What the table shows; the rest is said of the run that one looks at.
_COLUMNS = ("ndcg@10", "recall@k", "precision@k", "hit@k", "mrr", "map", "latency_p50", "latency_p95")
_CHARACTERS = ("char_recall", "char_precision", "char_iou")


def show(collection: Collection, evaluation_set: QuestionSet) -> None:
    """Everything about the runs of this set."""
    show_refusal()
    with connect() as conn:
        runs = list_runs(conn, evaluation_set.id)
    editable = may_edit(collection)
    if editable:
        start_form(collection, evaluation_set, runs)
    watch(_LIVE, evaluation_set.id, runs, may_edit=editable)
    if not runs:
        with empty_state(
            "Nothing was measured yet",
            "A run asks every judged question of this set under one profile, and tells how well it did: with figures,"
            " how sure they are, and question by question.",
            icon="speed",
            key="no-runs",
        ):
            if not editable:
                st.caption("Editors of this collection can start runs.")
        return
    _table(collection, evaluation_set, runs)
    _pick(collection, runs, editable=editable)


def _table(collection: Collection, evaluation_set: QuestionSet, runs: list[Run]) -> None:
    st.subheader("Runs", anchor=False)
    for unit in dict.fromkeys(run.unit for run in runs if run.state == "done"):
        st.caption(f"{UNITS[unit]} In brackets: the 95 % interval, over 10,000 resamples of the questions.")
    names = [*_COLUMNS[:6], *[name for name in _CHARACTERS if any(name in run.values() for run in runs)], *_COLUMNS[6:]]
    rows = [_row(run, names) for run in runs]
    st.dataframe(
        pd.DataFrame(rows),
        key="runs",
        hide_index=True,
        column_config={
            "Run": st.column_config.TextColumn(width="medium", pinned=True),
            "State": st.column_config.TextColumn(width=80),
            "Index": st.column_config.TextColumn(width=150),
            **{heading(name): st.column_config.TextColumn(width=160) for name in names},
        },
        alt="Runs of this set with their metrics",
    )
    st.download_button(
        "CSV",
        handing_out(
            collection.id, "evaluation runs", lambda conn: runs_csv(list_runs(conn, evaluation_set.id)), rows=len(runs)
        ),
        file_name=file_name(collection.name, evaluation_set.name, "runs"),
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key="runs_csv",
    )


def _row(run: Run, names: list[str]) -> dict[str, str]:
    values = run.values()
    figures = {heading(name): with_interval(name, values.get(name)) for name in names}
    return {
        "Run": run.label,
        "State": STATES[run.state],
        "Index": index_of(run),
        "k": str(run.settings.get("k", "")),
        **figures,
        "When": ago(run.created_at),
    }


def runs_csv(runs: list[Run]) -> bytes:
    """Every metric of every run with its bounds, in columns."""
    rows = []
    for run in runs:
        row: dict[str, object] = {
            "run": run.id,
            "profile": run.profile_name or "",
            "version": run.profile_version,
            "index": run.index_id,
            "model": run.model,
            "state": run.state,
            "questions": run.asked,
            "measured by": run.unit,
            "started": run.created_at.isoformat(),
            **run.settings,
        }
        for name, value in run.values().items():
            row |= {name: value.mean, f"{name} low": value.low, f"{name} high": value.high}
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return to_csv(rows, columns)


def _pick(collection: Collection, runs: list[Run], *, editable: bool) -> None:
    by_id = {run.id: run for run in runs}
    if st.session_state.get("run_chosen") not in by_id:
        st.session_state.pop("run_chosen", None)
    chosen = st.selectbox(
        "Look at a run", list(by_id), format_func=lambda id: run_option(by_id[id]), key="run_chosen", width=480
    )
    show_run(collection, by_id[chosen], editable=editable)


_LIVE = Work(
    "run",
    read=list_runs,
    cancel=cancel_run,
    name=lambda run: f"**{plain(run.label)}** · index {run.index_id}",
    asking="asked",
    ending="measuring",
)
