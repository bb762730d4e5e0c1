"""Two runs metric by metric: means, the difference with its interval, the test, and how many questions won or lost."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.run_words import heading, meaning, shown
from pages.parts.words import plain
from rag.evaluation.comparing import ALPHA, LATENCY, Comparison, MetricDifference
from rag.records import Collection

#: What decides.
HEADLINE = "ndcg@10"
_ICONS = {"better": ":green[:material/trending_up:]", "worse": ":red[:material/trending_down:]"}


def verdict(comparison: Comparison) -> None:
    """The sentence that one came for."""
    one = comparison.metric(HEADLINE)
    names = plain(comparison.before.label), plain(comparison.after.label)
    figures = f"{heading(HEADLINE)} {signed(HEADLINE, one.difference.mean)} ({_bounds(one)}), p {p_words(one)}"
    if one.verdict == "no difference":
        text = f"These questions can't tell **{names[1]}** from **{names[0]}**: {figures}."
        st.markdown(f":gray[:material/trending_flat:] {text}")
        return
    st.markdown(f"{_ICONS[one.verdict]} **{names[1]}** is {one.verdict} than **{names[0]}**: {figures}.")


def p_words(one: MetricDifference) -> str:
    """``= .031``, ``< .001``."""
    return "< .001" if one.difference.p < 0.001 else f"= {one.difference.p:.3f}".replace("0.", ".")


def signed(name: str, value: float) -> str:
    """With a sign that is as wide as the plus."""
    return (f"{value:+.1f} ms" if name == LATENCY else f"{value:+.3f}").replace("-", "−")


def _bounds(one: MetricDifference) -> str:
    return f"{signed(one.name, one.difference.low)} to {signed(one.name, one.difference.high)}"


def show_metrics(collection: Collection, comparison: Comparison) -> None:
    """The table and its CSV."""
    k = comparison.before.settings.get("k"), comparison.after.settings.get("k")
    rows = [
        {
            "Metric": heading(one.name, k[0] if k[0] == k[1] else None),
            f"#{comparison.before.id}": shown(one.name, one.before),
            f"#{comparison.after.id}": shown(one.name, one.after),
            "Difference": signed(one.name, one.difference.mean),
            "95 % interval": _bounds(one),
            "p": p_words(one).removeprefix("= "),
            "So it is": one.verdict,
            "Wins": one.wins,
            "Losses": one.losses,
            "Ties": one.ties,
        }
        for one in comparison.metrics
    ]
    st.dataframe(
        pd.DataFrame(rows),
        key="comparison_metrics",
        hide_index=True,
        column_config={
            "Metric": st.column_config.TextColumn(width=150, help=meaning(HEADLINE)),
            "So it is": st.column_config.TextColumn(
                width=110, help=f"Significant at p < {ALPHA:g}; of latency, less is better."
            ),
            "Wins": st.column_config.NumberColumn(width=60, help="Questions that the second run answers better."),
            "Losses": st.column_config.NumberColumn(width=60, help="Questions that it answers worse."),
        },
        alt="Metrics of both runs and their difference",
    )
    st.download_button(
        "CSV",
        handing_out(collection.id, "a comparison of evaluation runs", lambda conn: metrics_csv(comparison)),
        file_name=file_name(collection.name, f"runs-{comparison.before.id}-{comparison.after.id}"),
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key="comparison_csv",
    )


def metrics_csv(comparison: Comparison) -> bytes:
    """The same figures unrounded."""
    rows = [
        {
            "metric": one.name,
            "baseline": comparison.before.id,
            "compared": comparison.after.id,
            "before": one.before,
            "after": one.after,
            "difference": one.difference.mean,
            "low": one.difference.low,
            "high": one.difference.high,
            "p": one.difference.p,
            "verdict": one.verdict,
            "wins": one.wins,
            "losses": one.losses,
            "ties": one.ties,
            "questions": one.difference.n,
        }
        for one in comparison.metrics
    ]
    return to_csv(rows, tuple(rows[0]) if rows else ("metric",))
