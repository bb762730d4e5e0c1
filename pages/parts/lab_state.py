"""What a session keeps of the Search lab between runs: its controls, its view and what was computed for a question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar
from uuid import UUID

import streamlit as st

from pages.parts.lab_address import Side, View, is_lab_key, read_view, write_view
from pages.parts.lab_desk import BUILT_IN, Desk
from pages.parts.why import DOCUMENT, PHRASE
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import StoredProfile

T = TypeVar("T")

#: Key of the question's text field.
QUESTION = "q"
#: Key of the picker of a profile to compare with.
OTHER = "lab_other"
_VIEW = "lab_view"
_BASE = "lab_base"
_GIVEN = "lab_given"
_WRITTEN = "lab_written"
_PLACE = "lab_place"
_KEPT = "lab_kept"
#: What else this page has in its address: the picker's part, and that of "Why isn't it here?".
_OTHERS = ("collection", DOCUMENT, PHRASE)
#: Things computed for a question that are kept: vectors, histograms, marks, verdicts.
_MOST_KEPT = 64

SETTINGS = tuple(one.name for one in fields(RetrievalProfile))
#: What stands in a control for no threshold and no reranker.
_EMPTY: dict[str, Any] = {"threshold": 0.0, "rerank": ""}


def follow_address(collection_id: UUID) -> tuple[View, list[str]]:
    """The view of this run of the page, and what of the address can't be meant.

    Where the address is another than the lab itself wrote, somebody followed a link or went back: it decides. Another
    collection under the same address means that its picker was used: the question goes along, what belongs to the
    collection doesn't.
    """
    query = {name: value for name, value in st.query_params.to_dict().items() if is_lab_key(name)}
    moved = st.session_state.get(_PLACE) not in (None, collection_id)
    kept: View | None = st.session_state.get(_VIEW)
    if kept is not None and (query == st.session_state.get(_WRITTEN) or not query):
        return (View(kept.question, Side(changes=kept.side.changes)), []) if moved else (kept, [])
    return read_view(query)


def take_up(view: View, desk: Desk) -> None:
    """Set the controls to the view where they don't say the same yet: at the first run, by a link, or after a break.

    A browser that asks for another run before it has heard what the first run put into its controls sends them empty.
    No choice of a method is one that nobody can make: then all of them were lost.
    """
    there = all(name in st.session_state for name in (*SETTINGS, QUESTION)) and st.session_state["mode"] is not None
    if st.session_state.get(_VIEW) == view and there:
        return
    st.session_state[QUESTION] = view.question
    set_base(desk.find(view.side))
    set_controls(desk.settings_of(view.side))
    st.session_state[_VIEW] = view
    st.session_state[_GIVEN] = view.other
    st.session_state.pop(OTHER, None)


def put_back_lost(desk: Desk) -> None:
    """Set the controls that a browser sent empty to what the view says of them; before they are drawn.

    Where a run ends an earlier one before the browser has drawn it, what the earlier one put into a control arrives
    without its value, and the browser sends the control's own beginning: no question, no method. Nobody can choose no
    method: with it, both were lost.
    """
    view: View | None = st.session_state.get(_VIEW)
    if view is None or st.session_state.get("mode", "") is not None:
        return
    st.session_state[QUESTION] = st.session_state.get(QUESTION) or view.question
    for name, value in desk.settings_of(view.side).to_json().items():
        if st.session_state.get(name) is None:
            st.session_state[name] = _EMPTY.get(name) if value is None else value


def given_other() -> Side | None:
    """The other side of a comparison that the controls began with."""
    found: Side | None = st.session_state.get(_GIVEN)
    return found


def remember(view: View, collection_id: UUID) -> None:
    """Keep the view, and put it into the address."""
    query = write_view(view)
    st.session_state[_VIEW], st.session_state[_PLACE] = view, collection_id
    st.session_state[_WRITTEN] = query
    now = st.query_params.to_dict()
    now = st.query_params.to_dict()
    # What another page left in the address is dropped.
    wanted = {name: value for name, value in now.items() if name in _OTHERS} | query
    if wanted != now:
        st.query_params.from_dict(wanted)


def change_view(change: Callable[[View], View]) -> None:
    """Callback: have the page begin anew with a changed view, the controls as they are."""
    view = st.session_state.get(_VIEW)
    if isinstance(view, View):
        st.session_state[_VIEW] = change(view)


def set_controls(profile: RetrievalProfile) -> None:
    """Move every slider and choice to what this profile says; before they are drawn, or in a callback."""
    for name, value in profile.to_json().items():
        st.session_state[name] = _EMPTY.get(name) if value is None else value


def change_settings(**changes: Any) -> None:
    """Callback: move some of the controls, as advice does."""
    for name, value in replace(RetrievalProfile(), **changes).to_json().items():
        if name in changes:
            st.session_state[name] = _EMPTY.get(name) if value is None else value


def read_controls() -> RetrievalProfile:
    """The settings that the controls show."""
    base = base_profile()
    # None stands in no control: that one was lost (see take_up).
    controls = {name: st.session_state.get(name) for name in SETTINGS}
    values = {name: getattr(base, name) if value is None else value for name, value in controls.items()}
    threshold = values["threshold"]
    if not threshold:
        # A threshold of 0 or below keeps nearly everything: the slider shows it like none, and nobody moved it.
        values["threshold"] = base.threshold if base.threshold is not None and base.threshold <= 0 else None
    values["rerank"] = (values["rerank"] or "").strip() or None
    return RetrievalProfile.from_json(values)


def set_base(stored: StoredProfile | None) -> None:
    """What changes are counted from: a saved profile, None for the built-in settings."""
    st.session_state[_BASE] = stored


def base() -> StoredProfile | None:
    """The saved profile that the controls began with."""
    found: StoredProfile | None = st.session_state.get(_BASE)
    return found


def base_profile() -> RetrievalProfile:
    """Its settings."""
    stored = base()
    return stored.profile if stored else BUILT_IN


def side_of(profile: RetrievalProfile, index: int | None) -> Side:
    """What the controls say, as a side of an address."""
    stored, begun = base(), base_profile().to_json()
    changes = {name: value for name, value in profile.to_json().items() if value != begun[name]}
    return Side(stored.name if stored else None, stored.version if stored else None, changes, index)


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


def forget(kind: str) -> None:
    """Have everything of a kind, the first part of its key, computed anew."""
    kept: Mapping[tuple[Any, ...], Any] = st.session_state.get(_KEPT, {})
    st.session_state[_KEPT] = {key: value for key, value in kept.items() if key[0] != kind}
