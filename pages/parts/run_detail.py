"""One run: its metrics and settings, whether it still tells the truth, and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.parts.confirmation import Act, confirm
from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.explore_address import explore_query
from pages.parts.notices import notify
from pages.parts.run_words import (
    LATENCIES,
    METRICS,
    UNITS,
    heading,
    meaning,
    settings_words,
    shown,
)
from pages.parts.session import connect
from pages.parts.words import count, plain, show_error
from rag.errors import CorpuscopeError
from rag.evaluation.runs import (
    UNFINISHED,
    CorpusState,
    Result,
    Run,
    delete_run,
    fingerprint_judgements,
    read_corpus_state,
    read_scores,
    resume_run,
)
from rag.evaluation.scoring import Unit
from rag.records import Collection


def show_run(collection: Collection, run: Run, *, editable: bool) -> None:
    """All of one run, under its name."""
    with st.container(border=True, key="run-detail"):
        st.markdown(f"**{plain(run.label)}** · index {run.index_id or 'gone'} · {plain(run.model)}")
        st.caption(settings_words(run.profile))
        if run.state in ("failed", "cancelled"):
            why = f"{plain(run.reason or '')} {plain(run.hint or '')}".strip()
            asked = f"{run.asked:,} of {count(run.total, 'question')} were asked."
            st.warning(f"This run {_ended(run)}. {why} {asked}", icon=":material/error:")
        if run.metrics:
            _notes(run)
            _metrics(run)
        with st.container(horizontal=True, key="run-acts"):
            _acts(collection, run, editable=editable)


def _ended(run: Run) -> str:
    return "failed" if run.state == "failed" else "was cancelled"


def _notes(run: Run) -> None:
    """What makes the figures other than they would be today."""
    with connect() as conn:
        now = read_corpus_state(conn, run.index_id) if run.index_id is not None else None
        judged = fingerprint_judgements(conn, run.set_id)
    then = CorpusState.from_json(run.corpus)
    if now is None:
        st.info("The index that it searched is gone.", icon=":material/history:")
    elif now.fingerprint != then.fingerprint:
        st.info(
            f"**The corpus has changed since.** It had {count(then.documents, 'document')} in"
            f" {count(then.chunks, 'chunk')} then, and has {now.documents:,} in {now.chunks:,} now."
            " Run it again to compare with new runs.",
            icon=":material/history:",
        )
    if run.corpus.get("fingerprint_after", then.fingerprint) != then.fingerprint:
        st.info("The corpus changed while it ran.", icon=":material/history:")
    if judged != run.judgements:
        st.info(
            "**Judgements have changed since.** Measure it again with today's: that needs no new search.",
            icon=":material/rule:",
        )


def _metrics(run: Run) -> None:
    st.caption(UNITS[run.unit])
    _metric_table(run, run.unit, "run_metrics")
    other: Unit = "document" if run.unit == "passage" else "passage"
    if "ndcg@10" in run.values(other):
        with st.expander(f"Measured by {other} instead"):
            st.caption(UNITS[other] if other == "passage" else "By document, each where its best passage stands.")
            _metric_table(run, other, "run_metrics_other")


def _metric_table(run: Run, unit: Unit, key: str) -> None:
    values = run.values(unit)
    rows = [
        {
            "Metric": heading(name, run.settings.get("k")),
            "Value": shown(name, values[name].mean),
            "95 % interval": f"{shown(name, values[name].low)} to {shown(name, values[name].high)}",
            "Questions": values[name].n,
            "What it says": meaning(name),
        }
        for name in (*METRICS, *LATENCIES)
        if name in values
    ]
    st.dataframe(
        pd.DataFrame(rows),
        key=key,
        hide_index=True,
        column_config={
            "Metric": st.column_config.TextColumn(width=140),
            "Value": st.column_config.TextColumn(width=80),
            "95 % interval": st.column_config.TextColumn(width=140),
            "Questions": st.column_config.NumberColumn(width=80),
            "What it says": st.column_config.TextColumn(width="large"),
        },
        alt="Metrics of this run",
    )


def _acts(collection: Collection, run: Run, *, editable: bool) -> None:
    if run.asked:
        st.download_button(
            "Questions as CSV",
            handing_out(
                collection.id,
                f"the questions of evaluation run {run.id}",
                lambda conn: questions_csv(read_scores(conn, run.id)),
                rows=run.asked,
            ),
            file_name=file_name(collection.name, f"run-{run.id}"),
            mime="text/csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key="run_csv",
        )
        st.page_link(
            "pages/explore.py",
            label="On the map",
            icon=":material/scatter_plot:",
            query_params=explore_query(collection.id, run=run.id),
            help="Where the answers lie that it missed",
            width="content",
        )
    if not editable or run.state in UNFINISHED:
        return
    again = "Measure again" if run.finished_at else "Go on"
    if st.button(again, icon=":material/refresh:", type="tertiary", key="run_again"):
        _resume(run)
    if st.button("Delete", icon=":material/delete:", type="tertiary", key="run_delete"):
        confirm(
            Act(
                f"Delete run #{run.id}?",
                [
                    f"What {count(run.asked, 'question')} found and scored goes with it.",
                    "The questions, judgements and profiles stay. This can't be undone.",
                ],
                "Delete run",
                lambda conn: delete_run(conn, run.id),
                f"Run #{run.id} was deleted.",
                icon="delete",
            )
        )


def _resume(run: Run) -> None:
    try:
        with connect() as conn:
            resume_run(conn, run.id)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(f"Run #{run.id} goes on." if not run.finished_at else f"Run #{run.id} is measured again.", icon="refresh")
    st.rerun()


def questions_csv(results: Sequence[Result]) -> bytes:
    """A row for each question with all it scored."""
    rows = [{"question": one.question, **one.metrics, "latency_ms": one.latency_ms} for one in results]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return to_csv(rows, columns or ["question"])
