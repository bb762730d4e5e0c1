"""How similar the question is to the whole collection: bars, the threshold, the hits, and what is only chance.

Drawn as HTML: a chart library would take a third of a second to draw each time that a slider moves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

from pages.parts.words import count
from rag.corpus.baselines import Baseline
from rag.records import Hit
from rag.retrieval.similarities import BIN, Histogram

_Place = Callable[[float], float]

#: Bars at most; several bins of the histogram share one where they would be more.
_MOST_BARS = 64


@dataclass(frozen=True)
class Chart:
    """What is drawn: counts of all chunks, the hits, the least similarity, and what unrelated passages score."""

    histogram: Histogram
    hits: Sequence[Hit]
    threshold: float | None
    baseline: Baseline | None

    @property
    def similarities(self) -> list[tuple[Hit, float]]:
        return [(hit, hit.similarity) for hit in self.hits if hit.similarity is not None]


def show_chart(chart: Chart) -> None:
    """The chart with its legend; nothing where nothing has a vector."""
    if chart.histogram.total:
        st.html(chart_html(chart))


def chart_html(chart: Chart) -> str:
    """The same as HTML; every piece stands at its similarity, in percent of the width."""
    first, last = _range(chart)
    step = -(-(last - first + 4) // _MOST_BARS)
    if chart.threshold is not None:
        # A bar ends where the threshold stands, instead of being cut by it.
        first = max(0, first - (first - round((chart.threshold + 1) / BIN)) % step)
    last = first + step * -(-(last - first) // step)
    width = 100 / (last - first)

    def place(similarity: float) -> float:
        return min(100.0, max(0.0, ((similarity + 1) / BIN - first) * width))

    bars = _bars(chart, first, last, step)
    plot = _band(chart.baseline, place) + f'<div class="cs-bars">{bars}</div>' + _threshold(chart, place)
    return (
        f'<figure class="cs-chart"><div class="cs-plot" role="img" aria-label="{escape(describe(chart), quote=True)}">'
        f'{plot}</div><div class="cs-ticks">{_ticks(chart, place)}</div>'
        f'<div class="cs-axis">{_axis(first, last, place)}</div><figcaption>{_legend(chart)}</figcaption></figure>'
    )


def _ticks(chart: Chart, place: _Place) -> str:
    return "".join(
        f'<i style="left:{place(similarity):.2f}%"'
        f' title="No. {hit.rank}: {similarity:.3f}, {escape(hit.document, quote=True)}"></i>'
        for hit, similarity in chart.similarities
    )


def _range(chart: Chart) -> tuple[int, int]:
    """Bins from and to (exclusive) that hold all that is shown."""
    counts = chart.histogram.counts
    filled = [n for n, number in enumerate(counts) if number]
    shown = [filled[0], filled[-1]]
    if chart.baseline:
        shown.append(round((chart.baseline.p95 + 1) / BIN))
        shown.append(round((2 * chart.baseline.mean - chart.baseline.p95 + 1) / BIN))
    if chart.threshold is not None:
        shown.append(round((chart.threshold + 1) / BIN))
    return max(0, min(shown) - 2), min(len(counts), max(shown) + 3)


def _bars(chart: Chart, first: int, last: int, step: int) -> str:
    counts = chart.histogram.counts
    groups = [(at, sum(counts[at : at + step])) for at in range(first, last, step)]
    most = max(number for _, number in groups)
    # Square roots: of a hundred thousand chunks, the few that are near would otherwise not be seen.
    return "".join(
        f'<i class="{_kind(chart, at + step)}" style="height:{100 * (number / most) ** 0.5:.1f}%"'
        f' title="{at * BIN - 1:.2f} to {(at + step) * BIN - 1:.2f}: {count(number, "chunk")}"></i>'
        for at, number in groups
    )


def _kind(chart: Chart, end: int) -> str:
    if chart.threshold is None:
        return ""
    return "cs-kept" if end * BIN - 1 > chart.threshold + BIN / 2 else "cs-dropped"


def _band(baseline: Baseline | None, place: _Place) -> str:
    if baseline is None:
        return ""
    low, high = place(2 * baseline.mean - baseline.p95), place(baseline.p95)
    title = f"Unrelated passages: {baseline.mean:.2f} on average, 95 of 100 pairs below {baseline.p95:.2f}"
    return f'<div class="cs-band" style="left:{low:.2f}%;width:{high - low:.2f}%" title="{title}"></div>'


def _threshold(chart: Chart, place: _Place) -> str:
    if chart.threshold is None:
        return ""
    return f'<div class="cs-line" style="left:{place(chart.threshold):.2f}%"><span>{chart.threshold:.2f}</span></div>'


def _axis(first: int, last: int, place: _Place) -> str:
    tenths = range(-(-first // 10), (last - 1) // 10 + 1)
    spread = 2 if len(tenths) > 9 else 1
    return "".join(
        f'<span style="left:{place(tenth / 10 - 1):.2f}%">{tenth / 10 - 1:.1f}</span>' for tenth in tenths[::spread]
    )


def _legend(chart: Chart) -> str:
    total, threshold = chart.histogram.total, chart.threshold
    parts = []
    if threshold is None:
        parts.append(f'<span><i class="cs-key"></i>{count(total, "chunk")} by similarity to the question</span>')
    else:
        kept = chart.histogram.at_least(threshold)
        parts.append(f'<span><i class="cs-key cs-kept"></i>{kept:,} of {count(total, "chunk")} ({_share(kept, total)})')
        parts[-1] += f" at least {threshold:.2f}</span>"
    if chart.similarities:
        parts.append('<span><i class="cs-key cs-mark"></i>the hits</span>')
    if chart.baseline:
        parts.append(
            '<span><i class="cs-key cs-band"></i>unrelated passages: '
            f"95 of 100 pairs below {chart.baseline.p95:.2f}</span>"
        )
    return "".join(parts)


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole
    if not part:
        return "none"
    return "under 0.1 %" if share < 0.1 else f"{share:.1f} %" if share < 9.95 else f"{share:.0f} %"


def describe(chart: Chart) -> str:
    """The chart in a sentence or two, for those who don't see it."""
    counts, total = chart.histogram.counts, chart.histogram.total
    peak = max(range(len(counts)), key=counts.__getitem__) * BIN - 1
    words = [f"Similarity of {count(total, 'chunk')} to the question, most of them near {peak:.2f}."]
    if chart.threshold is not None:
        words.append(f"{chart.histogram.at_least(chart.threshold):,} are at least {chart.threshold:.2f}.")
    if found := [similarity for _, similarity in chart.similarities]:
        words.append(f"The hits lie between {min(found):.2f} and {max(found):.2f}.")
    if chart.baseline:
        words.append(
            f"Unrelated passages score {chart.baseline.mean:.2f} on average, "
            f"95 of 100 pairs below {chart.baseline.p95:.2f}."
        )
    return " ".join(words)
