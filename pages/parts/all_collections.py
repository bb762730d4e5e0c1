"""All collections of the installation from outside: whose they are, how large, and their limits."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from pages.parts.limits_overview import change_own_limits
from pages.parts.limits_words import Held, effective, say_use
from pages.parts.row_picker import pick_row
from pages.parts.session import connect
from pages.parts.words import count, size
from rag.auth.administration import CollectionRow, LimitRow, list_all_collections, list_limits


def show_all_collections() -> None:
    """The tab: a table, and the limits of the one that is picked."""
    with connect() as conn:
        collections = list_all_collections(conn)
        limits = list_limits(conn)
    if not collections:
        st.caption("There is no collection yet.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_summary(collections), width="stretch")
        wanted = st.text_input(
            "Name contains",
            key="collection_filter",
            placeholder="Filter by name or owner",
            label_visibility="collapsed",
            icon=":material/filter_list:",
            width=240,
            type="search",
        )
    shown = _matching(collections, wanted or "")
    picked = _table(shown)
    if picked is not None:
        _show_picked(picked, limits)
    st.caption("You see names and sizes here. What is in a collection is seen by those it is shared with.")


def _summary(collections: Sequence[CollectionRow]) -> str:
    public = sum(one.is_public for one in collections)
    files, held = sum(one.files for one in collections), sum(one.bytes for one in collections)
    parts = [count(len(collections), "collection"), count(files, "file"), size(held)]
    return " · ".join([*parts, *([f"{public:,} public"] if public else [])])


def _matching(collections: Sequence[CollectionRow], part: str) -> list[CollectionRow]:
    wanted = part.casefold().strip()
    return [one for one in collections if wanted in " ".join([one.name, *one.owners]).casefold()]


def _table(collections: Sequence[CollectionRow]) -> CollectionRow | None:
    config = st.column_config
    picked = pick_row(
        [_row(one) for one in collections],
        [one.id for one in collections],
        parameter="of",
        columns={
            "Name": config.TextColumn(width=230),
            "Owners": config.TextColumn(width=260),
            "Members": config.NumberColumn(width=80),
            "Read by": config.MultiselectColumn(
                options=["Members", "Everybody"], color=["gray", "orange"], width=100, disabled=True
            ),
            "Files": config.NumberColumn(width=70),
            "Space": config.NumberColumn(format="bytes", width=86),
            "Asked today": config.NumberColumn(width=100),
        },
        alt="Collections and what they hold",
    )
    return next((one for one in collections if one.id == picked), None)


def _row(one: CollectionRow) -> dict[str, Any]:
    return {
        "Name": one.name,
        "Owners": ", ".join(one.owners),
        "Members": one.members,
        "Read by": ["Everybody" if one.is_public else "Members"],
        "Files": one.files,
        "Space": one.bytes,
        "Asked today": one.questions_today,
    }


def _show_picked(one: CollectionRow, limits: Sequence[LimitRow]) -> None:
    held = Held(one.name, one.files, one.bytes, one.questions_today)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="picked-collection"):
        said = say_use(held, effective(limits, "collection", one.id))
        st.html(
            f'<div class="cs-head"><b>{escape(one.name)}</b><span class="cs-quiet">{said}</span></div>', width="stretch"
        )
        if st.button("Limits", icon=":material/data_usage:", key="collection_limits"):
            change_own_limits("collection", one.id, limits, {("collection", one.id): held})
