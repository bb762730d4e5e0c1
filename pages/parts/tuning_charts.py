"""Figures of better settings: how sure the gain is, and what each weight of meaning against words would score."""

from __future__ import annotations

import plotly.graph_objects as go

from rag.evaluation.findings import Findings, Tried
from rag.evaluation.resampling import Interval

_BLUE, _GREY, _GREEN = "#3d7be0", "#8a94a6", "#2e9e6b"


def gain_chart(found: Findings) -> go.Figure:
    """The gain by cross-validation, and on the very questions that chose it, with their intervals around 0."""
    candidate = next(one.added for one in found.tried if one.profile == found.candidate)
    bars: list[tuple[str, Interval, str]] = [("On all questions<br>(flatters)", candidate, _GREY)]
    if found.gain is not None:
        gain = Interval(found.gain.mean, found.gain.low, found.gain.high, found.gain.n)
        bars.append(("On questions<br>held back", gain, _GREEN if found.promised else _BLUE))
    figure = go.Figure()
    for label, value, colour in bars:
        figure.add_scatter(
            x=[value.mean],
            y=[label],
            mode="markers",
            marker={"size": 11, "color": colour},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [value.high - value.mean],
                "arrayminus": [value.mean - value.low],
                "color": colour,
                "thickness": 2,
            },
            hovertemplate=f"%{{x:+.4f}} ({value.low:+.4f} to {value.high:+.4f})<extra></extra>",
        )
    figure.add_vline(x=0, line_width=1, line_dash="dot", line_color=_GREY)
    figure.update_xaxes(title="Gain, with its 95 % interval", tickformat="+.3f", zeroline=False)
    return _laid_out(figure, 190)


def weight_chart(found: Findings, measure: str) -> go.Figure | None:
    """The score by the weight of meaning, from words alone to meaning alone; None where weights weren't compared."""
    curve = sorted(((_weight(one), one) for one in found.tried if _is_plain(one, found)), key=lambda pair: pair[0])
    if len(curve) < 3:
        return None
    present = found.scores[0]
    weights = [weight for weight, _ in curve]
    figure = go.Figure()
    # The band is that of the difference from the present settings: only differences are told apart by one set.
    figure.add_scatter(
        x=[*weights, *weights[::-1]],
        y=[*(present + one.added.high for _, one in curve), *(present + one.added.low for _, one in curve[::-1])],
        fill="toself",
        fillcolor="rgba(61, 123, 224, 0.15)",
        line={"width": 0},
        hoverinfo="skip",
        name="95 % interval of the difference",
    )
    figure.add_scatter(
        x=weights,
        y=[one.score for _, one in curve],
        mode="lines+markers",
        line={"color": _BLUE},
        marker={"size": 5},
        name=measure,
        hovertemplate="weight %{x:.2f}: %{y:.4f}<extra></extra>",
    )
    for profile, name, colour in ((found.present, "present", _GREY), (found.candidate, "suggested", _GREEN)):
        for weight, one in curve:
            if one.profile == profile and (name == "present" or found.promised):
                figure.add_scatter(
                    x=[weight], y=[one.score], mode="markers", marker={"size": 12, "color": colour}, name=name
                )
    figure.update_xaxes(title="Weight of meaning: 0 is words alone, 1 is meaning alone")
    figure.update_yaxes(title=measure)
    return _laid_out(figure, 300, legend=True)


def _is_plain(one: Tried, found: Findings) -> bool:
    profile = one.profile
    if profile.diversity or profile.threshold != found.present.threshold:
        return False
    return profile.mode != "hybrid" or profile.fusion == "convex"


def _weight(one: Tried) -> float:
    return {"dense": 1.0, "lexical": 0.0}.get(one.profile.mode, one.profile.dense_weight)


def _laid_out(figure: go.Figure, height: int, *, legend: bool = False) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return figure
