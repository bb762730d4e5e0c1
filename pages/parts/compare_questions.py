"""The questions behind a difference: those that changed most first, each one click from the lab with both profiles."""

from __future__ import annotations

import streamlit as st

from pages.parts.compare_table import signed
from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.lab_address import Side, lab_query
from pages.parts.run_words import heading, shown
from pages.parts.words import plain
from rag.evaluation.comparing import Comparison, QuestionChange
from rag.evaluation.runs import Run
from rag.records import Collection

_FIRST = 10


def show_questions(collection: Collection, comparison: Comparison) -> None:
    """Rows with links; all of them as CSV."""
    st.subheader("Questions that changed most", anchor=False)
    names = [one.name for one in comparison.metrics]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("By", names, format_func=heading, key="compare_by", width=220)
        changes = comparison.changes(name)
        st.download_button(
            "CSV",
            handing_out(
                collection.id, "a comparison by question", lambda conn: changes_csv(name, changes), rows=len(changes)
            ),
            file_name=file_name(collection.name, f"runs-{comparison.before.id}-{comparison.after.id}-{name}"),
            mime="text/csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key="compare_questions_csv",
        )
    moved = [one for one in changes if abs(one.change) > 1e-9]
    if not moved:
        st.caption("No question scores differently.")
        return
    everything = len(moved) <= _FIRST or st.toggle(f"Show all {len(moved):,}", key="compare_all")
    st.caption("A question opens in the Search lab, with both profiles side by side.")
    for one in moved if everything else moved[:_FIRST]:
        _row(collection, comparison, name, one)


def _row(collection: Collection, comparison: Comparison, name: str, one: QuestionChange) -> None:
    link = lab_query(
        collection.id,
        one.question,
        _side(comparison.before),
        _side(comparison.after),
    )
    sign = "green" if (one.change > 0) != (name == "latency_ms") else "red"
    with st.container(horizontal=True, vertical_alignment="center", key=f"compare-row-{one.question_id}"):
        st.markdown(f":{sign}[{signed(name, one.change)}]", width=90)
        st.markdown(f"{shown(name, one.before)} → {shown(name, one.after)}", width=150)
        st.page_link(
            "pages/search.py",
            label=plain(one.question),
            icon=":material/search:",
            query_params=link,
            width="stretch",
        )


def _side(run: Run) -> Side:
    """The exact settings that a run asked with, whatever became of the saved profile."""
    return Side(changes=run.profile.to_json(), index=run.index_id)


def changes_csv(name: str, changes: list[QuestionChange]) -> bytes:
    """Question, before, after, change."""
    rows = [
        {"question": one.question, f"{name} before": one.before, f"{name} after": one.after, "change": one.change}
        for one in changes
    ]
    return to_csv(rows, ("question", f"{name} before", f"{name} after", "change"))
