"""The legend beside the map: what each colour means, how many points have it, and which of them are shown."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import streamlit as st

from pages.parts import explore_state
from pages.parts.explore_colours import TITLES, Colouring
from pages.parts.words import count

_HERE = Path(__file__).parent
_KEY = "explore_legend"
_HTML = """
<div class="cs-legend-head"><span></span><button type="button" class="cs-all">Show all</button></div>
<ul class="cs-legend" aria-label="Legend: press to hide or show"></ul>
"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "corpuscope_legend",
        html=_HTML,
        css=_HERE.joinpath("explore_legend.css").read_text(),
        js=_HERE.joinpath("explore_legend.js").read_text(),
        isolate_styles=False,
    )


def show_legend(colouring: Colouring) -> None:
    """Draw it; a click is in the look when the run that it leads to begins."""
    if colouring.problem:
        st.caption(colouring.problem)
        return
    entries = [
        {
            "number": entry.number,
            "label": entry.label,
            "count": entry.count,
            "light": entry.colour.light,
            "dark": entry.colour.dark,
        }
        for entry in colouring.entries
    ]
    version = hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:16]
    hidden = sorted(set(explore_state.look().hidden) & {entry.number for entry in colouring.entries})
    data = {"entries": entries, "hidden": hidden, "title": _title(colouring), "version": version}
    _component()(key=_KEY, data=data, on_hidden_change=_take_up, height="content")


def _title(colouring: Colouring) -> str:
    if colouring.by == "cluster":
        return count(len(colouring.clusters), "cluster")
    return TITLES[colouring.by]


def _take_up() -> None:
    hidden = read_hidden(st.session_state.get(_KEY, {}).get("hidden"))
    if hidden is not None:
        explore_state.change(hidden=hidden)


def read_hidden(value: object) -> tuple[int, ...] | None:
    """What the browser sent, None where it can't be meant."""
    numbers = value.get("hidden") if isinstance(value, dict) else None
    if not isinstance(numbers, list) or len(numbers) > 5000:
        return None
    if not all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers):
        return None
    return tuple(sorted(set(numbers)))
