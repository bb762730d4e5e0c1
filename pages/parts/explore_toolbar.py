"""Above the map: what colours mean, how fine the clusters are, what is drawn, and what leaves the page."""

from __future__ import annotations

import streamlit as st

from pages.parts import explore_state
from pages.parts.copy_link import copy_link
from pages.parts.explore_address import COLOURS, LEVELS, Colour
from pages.parts.explore_colours import TITLES, Colouring, Places
from pages.parts.explore_desk import Desk
from pages.parts.explore_details import show_details
from pages.parts.explore_figure import download_figure
from pages.parts.words import count

_COLOUR = "explore_colour"
_SHOW = "explore_show"
_SHOWN = {"labels": "Labels", "contours": "Contours"}


def show_toolbar(desk: Desk, colouring: Colouring, places: Places) -> None:
    """Draw it. Each control is set to the look before it is drawn, and its callback changes the look.

    ``places`` are those that are neither hidden nor dimmed.
    """
    look = explore_state.look()
    st.session_state[_COLOUR] = look.colour
    st.selectbox(
        "Colour by",
        COLOURS,
        format_func=lambda colour: f"Colour by {TITLES[colour][0].lower()}{TITLES[colour][1:]}",
        key=_COLOUR,
        on_change=lambda: _recolour(st.session_state[_COLOUR]),
        label_visibility="collapsed",
        width=214,
    )
    _granularity(colouring)
    st.session_state[_SHOW] = [name for name in _SHOWN if getattr(look, name)]
    st.pills(
        "Show",
        list(_SHOWN),
        selection_mode="multi",
        format_func=_SHOWN.__getitem__,
        key=_SHOW,
        on_change=lambda: explore_state.change(**{name: name in st.session_state[_SHOW] for name in _SHOWN}),
        label_visibility="collapsed",
    )
    copy_link("explore_copy")
    with st.popover("", icon=":material/download:", help="Download figure", key="explore_download"):
        download_figure(desk, colouring, places)
    with st.popover("", icon=":material/info:", help="How this map was made, and others", key="explore_details"):
        show_details(desk)


def _recolour(colour: Colour) -> None:
    explore_state.change(colour=colour, hidden=())


def _granularity(colouring: Colouring) -> None:
    """Two buttons and the number of clusters between them: no word for a level is as clear as what it comes to."""
    level = explore_state.look().level
    with st.container(
        horizontal=True, vertical_alignment="center", gap="xxsmall", width="content", key="explore-level"
    ):
        for name, step, icon, words in (
            ("coarser", -1, "remove", "Coarser: fewer, larger clusters"),
            ("finer", 1, "add", "Finer: more, smaller clusters"),
        ):
            if step > 0:
                st.caption(count(len(colouring.clusters), "cluster"), width="content")
            st.button(
                "",
                icon=f":material/{icon}:",
                key=f"explore_{name}",
                help=words,
                type="tertiary",
                disabled=level + step not in LEVELS,
                on_click=_refine,
                args=(level + step,),
            )


def _refine(level: int) -> None:
    """Numbers of clusters stand for others now, and so does what was hidden of them."""
    clusters = explore_state.look().colour == "cluster"
    explore_state.change(level=level, **({"hidden": ()} if clusters else {}))
