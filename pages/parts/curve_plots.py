"""The curves as figures: a line, where the profile stands, and the point that is chosen."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from rag.evaluation.curves import RecallPoint, ThresholdPoint

#: Told apart in light and dark, and by those who see red and green alike.
_RECALL, _PRECISION, _UNANSWERED = "#1793a5", "#d2691e", "#8a8f98"


def recall_figure(points: Sequence[RecallPoint], chosen: int, current: int) -> go.Figure:
    """Recall against k with its band."""
    ks = [point.k for point in points]
    figure = go.Figure()
    figure.add_scatter(
        x=[*ks, *reversed(ks)],
        y=[*(point.high for point in points), *(point.low for point in reversed(points))],
        fill="toself",
        fillcolor="rgba(23,147,165,.2)",
        line={"width": 0},
        hoverinfo="skip",
        name="95 % interval",
    )
    figure.add_scatter(
        x=ks,
        y=[point.recall for point in points],
        line={"color": _RECALL, "width": 2},
        name="Recall",
        hovertemplate="k = %{x}: %{y:.1%}<extra></extra>",
    )
    _mark(figure, chosen, current if current <= len(points) else None)
    return _dressed(figure, "k")


def threshold_figure(points: Sequence[ThresholdPoint], chosen: float, current: float | None) -> go.Figure:
    """Precision, recall and the unanswered against the threshold."""
    at = [point.threshold for point in points]
    figure = go.Figure()
    for name, color, dash, values in (
        ("Recall", _RECALL, "solid", [point.recall for point in points]),
        ("Precision", _PRECISION, "dash", [point.precision for point in points]),
        ("Questions without any passage", _UNANSWERED, "dot", [point.unanswered for point in points]),
    ):
        figure.add_scatter(
            x=at,
            y=values,
            line={"color": color, "width": 2, "dash": dash},
            name=name,
            hovertemplate=f"{name} at %{{x:.2f}}: %{{y:.1%}}<extra></extra>",
        )
    _mark(figure, chosen, current)
    return _dressed(figure, "Similarity")


def _mark(figure: go.Figure, chosen: float, current: float | None) -> None:
    if current is not None and current != chosen:
        figure.add_vline(x=current, line={"color": _UNANSWERED, "width": 1, "dash": "dot"}, annotation_text="now")
    figure.add_vline(x=chosen, line={"color": _PRECISION, "width": 1.5}, annotation_text=f"{chosen:g}")


def _dressed(figure: go.Figure, title: str) -> go.Figure:
    figure.update_layout(
        height=300,
        margin={"l": 48, "r": 16, "t": 28, "b": 44},
        legend={"orientation": "h", "y": -0.22},
        xaxis={"title": title},
        yaxis={"range": [0, 1.02], "tickformat": ".0%"},
        hovermode="closest",
    )
    return figure
