"""What people do to hits by the buttons of their cards, through one component for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

_KEY = "hit_actions"
#: Where the latest click waits for the run that it leads to.
CLICKED = "hit_clicked"
ACTS = ("open", "near", "up", "down")


class Action(NamedTuple):
    """One click: what was asked (one of :data:`ACTS`) for the hit that has this chunk."""

    act: str
    chunk: int


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "corpuscope_hit_actions",
        html="<span hidden></span>\n",
        js=Path(__file__).with_name("hit_actions.js").read_text(),
        isolate_styles=False,
    )


def listen() -> None:
    """Have clicks within the container ``lab`` run this fragment again; :func:`last_action` says what they were."""
    _component()(key=_KEY, on_act_change=_note, height="content")


def _note() -> None:
    st.session_state[CLICKED] = read_action(st.session_state.get(_KEY, {}).get("act"))


def last_action() -> Action | None:
    """The click that led to this run, once."""
    action: Action | None = st.session_state.pop(CLICKED, None)
    return action


def read_action(value: object) -> Action | None:
    """What the browser sent, None where it can't be meant."""
    if not isinstance(value, dict):
        return None
    act, chunk = value.get("act"), value.get("chunk")
    return Action(act, chunk) if act in ACTS and isinstance(chunk, int) and not isinstance(chunk, bool) else None
