"""The map with what stands around it: a toolbar above, panels beside, the same as a table below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from pages.parts import explore_state
from pages.parts.addresses import span_query
from pages.parts.explore_colours import Colouring, colour_by, find_meant
from pages.parts.explore_desk import Desk
from pages.parts.explore_search import search_field
from pages.parts.explore_selection import polygon_of, take_up_state
from pages.parts.explore_table import TABLE_ID, places_of, show_table
from pages.parts.explore_toolbar import show_toolbar
from pages.parts.map_view import Mark, View, held_state, map_view
from pages.parts.session import connect
from pages.parts.words import count, guarded, plain
from rag.mapping.channel_values import Bytes
from rag.mapping.map_listing import read_target

MAP = "explore_map"
#: Which panel is open; a lasso opens the one that is named "selection".
PANEL = "explore_panel"
_HEIGHT = 640


def _nothing(_: Desk) -> Sequence[Mark]:
    return ()


@dataclass(frozen=True)
class Panel:
    """One of the panels beside the map.

    ``show`` draws it and returns what it puts on the map; ``marks`` returns the same while the panel is closed.
    """

    name: str
    title: str
    show: Callable[[Desk, Colouring], Sequence[Mark] | None]
    marks: Callable[[Desk], Sequence[Mark]] = _nothing


@st.fragment
@guarded
def show_board(desk: Desk, panels: Sequence[Panel]) -> None:
    """All of it in one fragment: a colour, a filter or a lasso draws nothing else anew."""
    if take_up_state(held_state(MAP, desk.map.id)) and any(one.name == "selection" for one in panels):
        st.session_state[PANEL] = "selection"
    look = explore_state.look()
    colouring = colour_by(desk, look)
    meant = find_meant(desk, look)
    places = places_of(desk, colouring, meant[1] if meant else None)
    with st.container(key="explore", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", key="explore-bar", gap="small"):
            search_field(_describe_matches(meant[1]) if meant and look.text else "")
            show_toolbar(desk, colouring, places)
        with st.container(horizontal=True, key="explore-body", gap="small"):
            left = st.container(key="explore-map")
            with st.container(key="explore-panel", width=330, gap="small"):
                marks = _show_panels(desk, colouring, panels)
        with left:
            _show_map(desk, colouring, marks, meant[0] if meant else None)
        show_table(desk, places)
    explore_state.remember()


def _describe_matches(found: Bytes) -> str:
    return count(int((found == 1).sum()), "passage")


def _show_panels(desk: Desk, colouring: Colouring, panels: Sequence[Panel]) -> list[Mark]:
    titles = {panel.name: panel.title for panel in panels}
    if st.session_state.get(PANEL) not in titles:
        st.session_state[PANEL] = panels[0].name
    st.segmented_control(
        "Panel",
        list(titles),
        required=True,
        format_func=titles.__getitem__,
        key=PANEL,
        label_visibility="collapsed",
        width="stretch",
    )
    marks: list[Mark] = []
    for panel in panels:
        is_open = st.session_state[PANEL] == panel.name
        marks += (panel.show(desk, colouring) or ()) if is_open else panel.marks(desk)
    return marks


def _show_map(desk: Desk, colouring: Colouring, marks: Sequence[Mark], dim: str | None) -> None:
    look = explore_state.look()
    state = map_view(
        MAP,
        map_id=desk.map.id,
        version=desk.version,
        colours=colouring.colours,
        labels=colouring.labels if look.labels else (),
        marks=marks,
        dim=dim,
        selection=polygon_of(look.selection),
        view=View(*look.place) if look.place else None,
        contours=look.contours,
        height=_HEIGHT,
        frame=colouring.frame(plain(desk.collection.name)),
        table_twin=TABLE_ID,
    )
    if state.clicked is not None:
        _open(desk, state.clicked)


def _open(desk: Desk, place: int) -> None:
    """The passage of a point, in its document."""
    with connect() as conn:
        target = read_target(conn, desk.map.id, place)
    if target is not None:
        explore_state.remember()
        st.switch_page("pages/document.py", query_params=span_query(*target))
