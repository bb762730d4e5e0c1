"""How the shown map was made and how true it is; the others of the collection, and a new one."""

from __future__ import annotations

from html import escape

import streamlit as st

from pages.parts import explore_state
from pages.parts.explore_desk import Desk
from pages.parts.explore_making import may_make, settings_form
from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.words import ago, clock, count, duration, show_error
from rag.errors import CorpuscopeError
from rag.mapping.maps import CorpusMap, delete_map

_PHASES = {
    "reading": "reading",
    "neighbours": "neighbours",
    "layout": "layout",
    "clusters": "clusters",
    "labels": "names",
    "measuring": "measuring",
}
_TRUST = (
    "Trustworthiness@15: of the 15 points that lie nearest to each on the map, how far they are among its nearest in "
    "meaning. 1 is perfect, a random map scores 0.5."
)


def show_details(desk: Desk) -> None:
    """Facts as rows, then the other maps."""
    st.html(f'<div class="cs-facts cs-map-facts">{"".join(map(_row, facts(desk)))}</div>')
    if steps := _steps(desk.map):
        st.caption(f"{steps}.", width=320)
    st.caption(_TRUST, width=320)
    others = [one for one in desk.maps if one.drawn and one.id != desk.map.id]
    if others:
        st.markdown("**Other maps**")
    for one in others:
        _other(desk, one)
    if desk.may_edit and len(others) + 1 > 1:
        _delete(desk, desk.map, "Delete this map")
    if may_make(desk):
        with st.expander("Make a new map", icon=":material/map:", key="explore-new", type="compact"):
            settings_form(desk, key="new", label="Make map", primary=False)


def facts(desk: Desk) -> list[tuple[str, str]]:
    """Names and values, for the shown map."""
    one, trust = desk.map, desk.map.trustworthiness
    rows = [
        ("Map", f"{one.id}, made {clock(one.drawn_at or one.created_at)}"),
        ("Points", f"{desk.version.points:,}" if desk.version else "0"),
        ("Index", f"{one.index_id}" + (f", {desk.index.model.label}" if desk.index else "")),
        ("Neighbours", f"{one.settings.neighbours}"),
        ("Minimum distance", f"{one.settings.min_dist:g}"),
        ("Seed", f"{one.seed}"),
        ("Trustworthiness@15", f"{trust:.3f}" if trust is not None else "not measured yet"),
    ]
    if isinstance(whole := one.timings.get("whole"), int | float):
        rows.append(("Made in", _seconds(whole)))
    return rows


def _steps(one: CorpusMap) -> str:
    """``Reading 0.4 s, neighbours 0.1 s, …``."""
    times = [(name, one.timings.get(phase)) for phase, name in _PHASES.items()]
    parts = [f"{name} {_seconds(value)}" for name, value in times if isinstance(value, int | float)]
    return ", ".join(parts).capitalize()


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 60 else duration(value)


def _row(fact: tuple[str, str]) -> str:
    name, value = fact
    return f"<span>{escape(name)}</span><b>{escape(value)}</b>"


def _other(desk: Desk, one: CorpusMap) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.caption(
            f"Map {one.id} · {count(one.present or one.points, 'point')} · {one.settings.neighbours} neighbours"
            f" · {ago(one.created_at)}",
            width="stretch",
        )
        if st.button("Show", type="tertiary", key=f"map_show_{one.id}"):
            explore_state.change(map_id=one.id, place=None, hidden=(), selection="")
            st.rerun()
        if desk.may_edit:
            _delete(desk, one, "")


def _delete(desk: Desk, one: CorpusMap, label: str) -> None:
    if not st.button(
        label, icon=":material/delete:", type="tertiary", key=f"map_delete_{one.id}", help=f"Delete map {one.id}"
    ):
        return
    try:
        with connect() as conn:
            delete_map(conn, one.id)
    except CorpuscopeError as error:
        show_error(error)
        return
    if one.id == desk.map.id:
        explore_state.change(map_id=None, place=None, hidden=(), selection="")
    notify(f"Map {one.id} was deleted.", icon="delete")
    st.rerun()
