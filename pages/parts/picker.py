"""The collection that a session works with: picked once, kept in the address, the same on every page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from pages.parts.collection_dialogs import create_collection_dialog, delete_collection_dialog, rename_collection_dialog
from pages.parts.guests import guest_note, is_guest
from pages.parts.notices import show_notices
from pages.parts.session import connect
from pages.parts.sharing import share_dialog
from pages.parts.words import plain
from rag.corpus.collections import list_collections
from rag.records import Collection

CHOSEN = "chosen_collection"
_WIDGET = "collection_picker"


def page_header(title: str, actions: Callable[[Collection], None] | None = None) -> Collection | None:
    """The title on the left, the collection picker on the right; returns the collection, None when there is none.

    ``actions`` draws what else belongs into that row.
    """
    with connect() as conn:
        collections = list_collections(conn)
    with st.container(horizontal=True, vertical_alignment="center", key="page-header"):
        st.title(title, anchor=False, width="stretch")
        chosen = _pick(collections) if collections else None
        if actions is not None and chosen is not None:
            actions(chosen)
    guest_note()
    show_notices()
    return chosen


def _pick(collections: Sequence[Collection]) -> Collection:
    by_id = {str(collection.id): collection for collection in collections}
    wanted = (st.query_params.get("collection"), st.session_state.get(CHOSEN))
    current = next((key for key in wanted if key in by_id), next(iter(by_id)))
    st.session_state[_WIDGET] = current
    st.selectbox(
        "Collection",
        list(by_id),
        format_func=lambda key: f"{by_id[key].name} (public)" if by_id[key].is_public else by_id[key].name,
        key=_WIDGET,
        on_change=_remember,
        label_visibility="collapsed",
        width=260,
        icon=":material/folder_open:",
    )
    st.session_state[CHOSEN] = current
    st.query_params["collection"] = current
    return by_id[current]


def _remember() -> None:
    st.query_params["collection"] = st.session_state[CHOSEN] = st.session_state[_WIDGET]


def collection_menu(chosen: Collection) -> None:
    """Makes, shares, renames and deletes collections; guests do nothing of this."""
    if is_guest():
        return
    owned = chosen.role == "owner"
    share = "Share" if owned else "Who has access"
    icons = {share: "group", "New collection": "add"}
    if owned:
        icons |= {"Rename": "edit", "Delete": "delete"}
    picked = st.menu_button(
        "Collection",
        list(icons),
        format_func=lambda action: f":material/{icons[action]}: {action}",
        help=f"Share, rename or delete {plain(chosen.name)}, or make another collection",
        key="collection_menu",
    )
    if picked == share:
        share_dialog(chosen)
    elif picked == "New collection":
        create_collection_dialog()
    elif picked == "Rename":
        rename_collection_dialog(chosen)
    elif picked == "Delete":
        delete_collection_dialog(chosen)
