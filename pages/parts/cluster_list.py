"""The clusters of a map beside it: what each is called, how large it is and what it is about; select it, rename it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from pages.parts import explore_state
from pages.parts.cluster_naming import propose_names, rename
from pages.parts.explore_board import PANEL
from pages.parts.explore_colours import Colouring
from pages.parts.explore_desk import Desk
from pages.parts.explore_palette import own_colour
from pages.parts.map_view import Mark
from pages.parts.words import count, plain
from rag.curation.selections import Selection
from rag.mapping.cluster_rows import Cluster

#: Rows before the button that shows all.
_AT_FIRST = 30
_HEIGHT = 560
_OPEN = "cluster_open"
_ALL = "cluster_all"


def show(desk: Desk, colouring: Colouring) -> list[Mark]:
    """Draw them, largest first, at the granularity of the look; the open one is marked on the map."""
    clusters = colouring.clusters
    propose_names(desk, clusters)
    if not clusters:
        st.caption("There are no clusters yet." if desk.working else "This map has no clusters.")
        return []
    dots = colouring.by == "cluster"
    if dots:
        st.html(f"<style>{_dots(clusters)}</style>")
    shown = clusters if st.session_state.get(_ALL) else clusters[:_AT_FIRST]
    with st.container(height=_HEIGHT, border=False, key="clusters-dots" if dots else "clusters-plain", gap=None):
        for cluster in shown:
            _row(desk, cluster)
        if len(shown) < len(clusters):
            st.button(f"Show all {len(clusters)}", key="cluster_show_all", type="tertiary", on_click=_show_all)
    chosen = _opened(clusters)
    return [Mark(chosen.x, chosen.y, "found")] if chosen else []


def _dots(clusters: Sequence[Cluster]) -> str:
    """The colour that each cluster has on the map, before its name."""
    return "".join(
        f".st-key-cluster_{one.number} button::before{{background:light-dark({pair.light},{pair.dark})}}"
        for one, pair in ((one, own_colour(place)) for place, one in enumerate(clusters))
    )


def _row(desk: Desk, cluster: Cluster) -> None:
    is_open = st.session_state.get(_OPEN) == cluster.number
    name = plain(cluster.label)
    st.button(
        f"**{name}** :gray[{cluster.points:,}]" if is_open else f"{name} :gray[{cluster.points:,}]",
        key=f"cluster_{cluster.number}",
        type="tertiary",
        width="stretch",
        on_click=_toggle,
        args=(cluster.number,),
    )
    if is_open:
        _detail(desk, cluster)


def _detail(desk: Desk, cluster: Cluster) -> None:
    with st.container(key="cluster-detail", gap="small"):
        words = escape(", ".join(cluster.words))
        sentence = f'<blockquote dir="auto">{escape(cluster.sentence)}</blockquote>' if cluster.sentence else ""
        st.html(f'<p dir="auto"><b>{count(cluster.points, "passage")}</b> · {words}</p>{sentence}')
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Select",
                icon=":material/select_all:",
                key="cluster_select",
                help="Select its passages: see, tag or leave out what is in it",
                on_click=_select,
                args=(cluster,),
            )
            if desk.may_edit and st.button("Rename", icon=":material/edit:", key="cluster_rename"):
                rename(desk.map.id, cluster)


def _opened(clusters: Sequence[Cluster]) -> Cluster | None:
    number = st.session_state.get(_OPEN)
    return next((one for one in clusters if one.number == number), None)


def _toggle(number: int) -> None:
    st.session_state[_OPEN] = None if st.session_state.get(_OPEN) == number else number


def _show_all() -> None:
    st.session_state[_ALL] = True


def _select(cluster: Cluster) -> None:
    """A cluster is selected by its number: it is the same at whatever granularity one looks."""
    explore_state.change(selection=Selection.of_clusters([cluster.number]).to_text())
    st.session_state[PANEL] = "selection"
