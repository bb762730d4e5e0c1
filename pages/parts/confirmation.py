"""Acts that are asked about first: what will happen, in names and figures, and two ways on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import streamlit as st

from pages.parts.notices import notify, offer_undo
from pages.parts.session import connect
from pages.parts.words import guarded, show_error
from rag.errors import CorpuscopeError

Deed = Callable[[psycopg.Connection[Any]], object]

_CLOSES = "confirmation_closes"
_PROBLEM = "confirmation_problem"


@dataclass(frozen=True)
class Act:
    """Something to be done as the session's person, described before it is. All texts are Markdown.

    ``undo`` makes the notice an offer to take it back.
    """

    title: str
    effects: Sequence[str]
    verb: str
    do: Deed
    done: str
    undo: Deed | None = None
    icon: str = "help"


def confirm(act: Act) -> None:
    """Open the dialog that asks."""
    open_dialog(act.title, act.icon, lambda: _ask(act))


def open_dialog(title: str, icon: str, show: Callable[[], None]) -> None:
    """A dialog that :func:`close_dialog` ends from a callback; ``show`` draws what is in it, at each of its runs."""
    st.session_state.pop(_CLOSES, None)

    @guarded
    def draw() -> None:
        if st.session_state.pop(_CLOSES, False):
            st.rerun()
        show()

    st.dialog(title, icon=f":material/{icon}:")(draw)()


def close_dialog() -> None:
    """Callback: the page is drawn again without the dialog."""
    st.session_state[_CLOSES] = True


def _ask(act: Act) -> None:
    st.markdown("\n".join(f"- {effect}" for effect in act.effects))
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.button("Keep as it is", key="confirmation_keep", on_click=close_dialog)
        st.button(act.verb, key="confirmation_do", type="primary", on_click=perform, args=(act,))


def perform(act: Act) -> None:
    """Callback: do it, and keep for the page what came of it."""
    close_dialog()
    try:
        with connect() as conn:
            act.do(conn)
    except CorpuscopeError as problem:
        st.session_state[_PROBLEM] = problem
        return
    if act.undo is None:
        notify(act.done)
    else:
        offer_undo(act.done, lambda: _take_back(act))


def _take_back(act: Act) -> None:
    assert act.undo is not None
    with connect() as conn:
        act.undo(conn)


def show_refusal() -> None:
    """Why the latest act was refused, once; pages draw it under their title."""
    if problem := st.session_state.pop(_PROBLEM, None):
        show_error(problem)
