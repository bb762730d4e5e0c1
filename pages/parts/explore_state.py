"""What a session keeps of Explore between runs: the look, and what was computed for it.

The look is the one truth: before a control is drawn, its state is set to what the look says, and its callback changes
the look. So links, "back", other panels and the controls themselves never disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

import streamlit as st

from pages.parts.explore_address import Look, is_explore_key, read_look, write_look

T = TypeVar("T")

_LOOK = "explore_look"
_WRITTEN = "explore_written"
_PLACE = "explore_place"
_KEPT = "explore_kept"
_AIM = "explore_aim"
#: Channels, lists and figures that are kept: of 250,000 points a channel is 250 KB.
_MOST_KEPT = 24


def follow_address(collection_id: UUID) -> tuple[Look, list[str]]:
    """The look of this run of the page, and what of the address can't be meant.

    Where the address is another than Explore itself wrote, somebody followed a link or went back: it decides. Another
    collection under the same address means that its picker was used: the question goes along, what belongs to the
    collection doesn't.
    """
    query = {name: value for name, value in st.query_params.to_dict().items() if is_explore_key(name)}
    moved = st.session_state.get(_PLACE) not in (None, collection_id)
    kept: Look | None = st.session_state.get(_LOOK)
    problems: list[str] = []
    if kept is not None and (query == st.session_state.get(_WRITTEN) or not query):
        found = Look(question=kept.question, text=kept.text) if moved else kept
    else:
        found, problems = read_look(query)
    if found != kept:
        st.session_state[_AIM] = st.session_state.get(_AIM, 0) + 1
    st.session_state[_LOOK], st.session_state[_PLACE] = found, collection_id
    return found, problems


def look() -> Look:
    """What is shown now; :func:`follow_address` has been called before."""
    found: Look = st.session_state[_LOOK]
    return found


def change(**changes: Any) -> None:
    """Show something else from now on: in a callback, or before what it concerns is drawn."""
    st.session_state[_LOOK] = replace(look(), **changes)


def aimed() -> int:
    """Rises when the part of the map that is shown was decided by an address, not by hand."""
    return int(st.session_state.get(_AIM, 0))


def remember() -> None:
    """Put the look into the address."""
    query = write_look(look())
    st.session_state[_WRITTEN] = query
    now = st.query_params.to_dict()
    # What another page left in the address is dropped.
    wanted = {name: value for name, value in now.items() if name == "collection"} | query
    if wanted != now:
        st.query_params.from_dict(wanted)


def keep(key: tuple[Any, ...], make: Callable[[], T]) -> T:
    """What ``make`` gave for this key earlier in the session, or gives now; the oldest are forgotten."""
    kept: dict[tuple[Any, ...], Any] = st.session_state.setdefault(_KEPT, {})
    if key in kept:
        kept[key] = kept.pop(key)
    else:
        kept[key] = make()
        while len(kept) > _MOST_KEPT:
            kept.pop(next(iter(kept)))
    value: T = kept[key]
    return value


def renew() -> None:
    """Have everything read and computed anew: an act has changed tags, exclusions or documents."""
    st.session_state[_KEPT] = {}
