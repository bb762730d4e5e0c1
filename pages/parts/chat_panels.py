"""What is open under a question or an answer: one thing at a time, in one conversation."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import streamlit as st

Panel = Literal["vote", "why", "edit", "delete"]
_OPEN = "chat_panel"


def open_panel(panel: Panel, message: UUID) -> None:
    """Open it, in place of whatever was open."""
    st.session_state[_OPEN] = (panel, message)


def toggle_panel(panel: Panel, message: UUID) -> None:
    """Open it, or close it where it is open."""
    if is_open(panel, message):
        close_panel()
    else:
        open_panel(panel, message)


def close_panel() -> None:
    """Callback: nothing is open any more."""
    st.session_state.pop(_OPEN, None)


def is_open(panel: Panel, message: UUID) -> bool:
    """Whether that is open under that message."""
    return bool(st.session_state.get(_OPEN) == (panel, message))
