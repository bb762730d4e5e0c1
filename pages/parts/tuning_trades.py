"""k and the threshold beside better settings: what each would find and cost, and whether they go along."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from rag.evaluation.findings import Findings
from rag.evaluation.trade_offs import ENOUGH, Floor
from rag.evaluation.tunings import Tuning
from rag.retrieval.profiles import RetrievalProfile


def choose_trades(tuning: Tuning, found: Findings) -> RetrievalProfile:
    """The settings to take: the promised ones or the present, with the k and the threshold ticked here."""
    chosen = found.candidate if found.promised else found.present
    if found.gain is None:
        return chosen
    with st.expander("Fewer or more passages, and a threshold", icon=":material/filter_list:"):
        st.caption(
            "No measure of an order decides these: more passages and no threshold always find more, and make people and"
            " chat models read more. So they change only if you say so."
        )
        chosen = _choose_k(tuning, found, chosen)
        if found.floor is not None:
            chosen = _choose_threshold(tuning, found, found.floor, chosen)
    return chosen


def _choose_k(tuning: Tuning, found: Findings, chosen: RetrievalProfile) -> RetrievalProfile:
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "Passages (k)": depth.k,
                    "Recall": f"{depth.recall.mean:.3f} ({depth.recall.low:.3f}–{depth.recall.high:.3f})",
                    "Relevant of those shown": f"{depth.precision:.1%}",
                    "Characters to read": f"{depth.characters:,.0f}",
                }
                for depth in found.depths
            ]
        ),
        hide_index=True,
        key="tuning_depths",
        alt="What k passages find",
    )
    if found.enough is None or found.enough == chosen.k:
        return chosen
    words = f"Use k = {found.enough} in place of {chosen.k}: it finds {ENOUGH:.0%} of what the first 50 passages do"
    return replace(chosen, k=found.enough) if st.checkbox(words, key=f"tuning_k_{tuning.id}") else chosen


def _choose_threshold(tuning: Tuning, found: Findings, floor: Floor, chosen: RetrievalProfile) -> RetrievalProfile:
    if not floor.worth:
        st.caption(
            "**Threshold:** none is worth having. Those that lose next to nothing that is relevant leave out"
            f" {_share(floor.dropped.mean)} of the irrelevant passages, measured on questions held back."
        )
        return chosen
    lost = f"{-floor.lost.mean:+.1%}".replace("-", "−")
    words = (
        f"Use a threshold of {floor.threshold:.2f}: of the irrelevant passages among the first {found.present.k} it"
        f" leaves out {_share(floor.dropped.mean)} ({_share(floor.dropped.low)} to {_share(floor.dropped.high)}),"
        f" and recall changes by {lost}, both on questions held back"
    )
    if chosen.threshold == floor.threshold or not st.checkbox(words, key=f"tuning_threshold_{tuning.id}"):
        return chosen
    return replace(chosen, threshold=floor.threshold)


def _share(value: float) -> str:
    return f"{value:.0%}"
