"""What was just done, said on the next run, with a way back where there is one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from pages.parts.words import show_error
from rag.errors import CorpuscopeError

_TOASTS = "notices"
_UNDO = "undo_offer"

#: Seconds that an offer to undo stays on the page.
UNDO_S = 60.0


@dataclass(frozen=True)
class _Offer:
    text: str
    undo: Callable[[], object]
    until: float


def notify(text: str, icon: str = "check_circle") -> None:
    """Show ``text`` (Markdown) as a toast on the next run: use it before ``st.rerun()``."""
    st.session_state.setdefault(_TOASTS, []).append((text, icon))


def offer_undo(text: str, undo: Callable[[], object]) -> None:
    """Say ``text`` (Markdown) at the top of the page, with an Undo button that calls ``undo``. One offer at a time."""
    st.session_state[_UNDO] = _Offer(text, undo, time.monotonic() + UNDO_S)


def show_notices() -> None:
    """Toasts and the offer to undo; every page's header calls it."""
    for text, icon in st.session_state.pop(_TOASTS, []):
        st.toast(text, icon=f":material/{icon}:")
    offer: _Offer | None = st.session_state.get(_UNDO)
    if offer is None or offer.until < time.monotonic():
        st.session_state.pop(_UNDO, None)
        return
    with st.container(horizontal=True, vertical_alignment="center", key="undo-bar"):
        st.markdown(f":material/check_circle: {offer.text}", width="content")
        undo = st.button("Undo", icon=":material/undo:", key="undo", type="tertiary")
        st.button("Dismiss", icon=":material/close:", key="undo_dismiss", type="tertiary", on_click=_forget)
    if undo:
        _forget()
        try:
            offer.undo()
        except CorpuscopeError as error:
            show_error(error)
            return
        notify("Undone.", icon="undo")
        st.rerun()


def _forget() -> None:
    st.session_state.pop(_UNDO, None)
