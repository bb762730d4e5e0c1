"""Explore: the corpus as a map that one can look at, ask, and work in."""

from __future__ import annotations

import streamlit as st

from pages.parts import ask_map_panel, cluster_list, curate_log, curate_panel, explore_state
from pages.parts.empty import no_documents, not_ready
from pages.parts.explore_board import PANEL, Panel, show_board
from pages.parts.explore_desk import open_desk
from pages.parts.explore_legend import show_legend
from pages.parts.explore_making import show_first, show_notice
from pages.parts.explore_selection import read_selection
from pages.parts.explore_state import follow_address
from pages.parts.picker import page_header
from pages.parts.session import require_database, require_user
from pages.parts.words import plain
from rag.records import Collection

#: The panels beside the map in their order. A new one is one more entry.
PANELS = [
    Panel("legend", "Legend", lambda desk, colouring: show_legend(colouring)),
    Panel("clusters", "Clusters", cluster_list.show),
    Panel(
        "ask",
        "Ask",
        lambda desk, _: ask_map_panel.show(desk.collection, desk.map),
        lambda desk: ask_map_panel.marks_only(desk.collection, desk.map),
    ),
    Panel(
        "selection",
        "Selection",
        lambda desk, _: curate_panel.show(desk.collection, desk.map, read_selection(explore_state.look().selection)),
    ),
    Panel("log", "Log", lambda desk, _: curate_log.show(desk.collection)),
]


def show(collection: Collection) -> None:
    """The map, or what stands in its place until there is one."""
    _, problems = follow_address(collection.id)
    desk, missing = open_desk(collection)
    for problem in problems + missing:
        st.warning(plain(problem), icon=":material/link_off:")
    if desk.shown is not None:
        show_notice(desk)
        if ask_map_panel.is_wanted(arrived=PANEL not in st.session_state):
            st.session_state[PANEL] = "ask"
        show_board(desk, PANELS)
    elif not desk.progress.embedded_total:
        not_ready(collection)
    else:
        show_first(desk)


require_user()
require_database()
chosen = page_header("Explore")
if chosen is None or not chosen.document_count:
    no_documents("explore", chosen)
else:
    show(chosen)
