"""The selection of Explore: from the lasso into the look, and from the look to the points that are meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from pages.parts import explore_state
from pages.parts.explore_address import Place
from pages.parts.explore_desk import Desk
from pages.parts.map_view import MapState
from pages.parts.session import connect
from rag.curation.selecting import Selection, selected_places
from rag.errors import InvalidInput

_POLYGON = "explore_polygon"
Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


def take_up_state(state: MapState) -> bool:
    """Take what was done on the map into the look; whether something new was selected."""
    if state.view is not None:
        explore_state.change(place=Place(*state.view))
    before = st.session_state.get(_POLYGON)
    st.session_state[_POLYGON] = state.polygon
    if state.polygon is None or state.polygon == before:
        return False
    if state.polygon:
        return _select(state.polygon)
    if polygon_of(explore_state.look().selection):
        explore_state.change(selection="")
    return False


def _select(polygon: Sequence[tuple[float, float]]) -> bool:
    try:
        selection = Selection.of_polygon(polygon)
    except InvalidInput:
        return False
    explore_state.change(selection=selection.to_text())
    return True


def read_selection(text: str) -> Selection | None:
    """The selection of a look; None where there is none, or none that can be meant."""
    try:
        return Selection.from_text(text) if text else None
    except InvalidInput:
        return None


def polygon_of(text: str) -> Sequence[tuple[float, float]] | None:
    """The polygon of a selection that was drawn."""
    selection = read_selection(text)
    return selection.polygon if selection is not None and selection.polygon else None


def mask_of(desk: Desk, text: str, places: int) -> Mask | None:
    """Which of the places are selected; None where nothing is."""
    selection = read_selection(text)
    if selection is None:
        return None

    def read() -> Mask:
        found = np.zeros(places, np.bool_)
        with connect() as conn:
            found[selected_places(conn, desk.map.id, selection)] = True
        return found

    return explore_state.keep(("selected", desk.map.id, str(desk.version), text), read)
