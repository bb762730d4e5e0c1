"""Where in a collection the lab looks: which documents, which selection of passages, and which of its indexes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import streamlit as st

from pages.parts.lab_address import MAX_DOCUMENTS, View
from pages.parts.lab_desk import Desk
from pages.parts.lab_state import change_view
from pages.parts.scope_menu import scope_menu
from pages.parts.words import count, plain
from rag.corpus.indexes import IndexRow

_INDEX = "lab_index"


def pick_scope(desk: Desk, view: View) -> None:
    """A popover beside the collection; another choice begins the page anew with it."""
    parts = [count(len(desk.documents), "document")] if desk.documents else []
    if desk.scope is not None:
        parts.append(plain(desk.scope.name) if desk.scope.name else count(desk.scope.passages, "selected passage"))
    parts = parts or ["All documents"]
    if view.side.index is not None:
        parts.append(f"index {view.side.index}")
    with st.popover(" · ".join(parts), icon=":material/filter_alt:", key="lab-scope"), st.container(width=380):
        _pick_documents(desk)
        if desk.scopes or desk.scope:
            _pick_selection(desk)
        if len(desk.indexes) > 1:
            _pick_index(desk, view)


def _pick_documents(desk: Desk) -> None:
    key = f"only-{desk.collection.id}"
    names = {str(row.id): row.name for row in desk.rows}
    st.session_state[key] = [str(document) for document in desk.documents]

    def chosen(view: View) -> View:
        return replace(view, documents=tuple(UUID(one) for one in st.session_state[key]))

    st.multiselect(
        "Only in these documents",
        list(names),
        format_func=lambda one: names.get(one, ""),
        key=key,
        placeholder="All documents",
        max_selections=MAX_DOCUMENTS,
        on_change=_change,
        args=(chosen,),
    )


def _pick_selection(desk: Desk) -> None:
    key = f"selection-{desk.collection.id}"
    current = desk.scope
    names = {None: "Everything"} | dict(desk.scopes)
    if current is not None:
        names[current.id] = current.name or "Not saved yet"
    st.session_state[key] = current.id if current else None

    def chosen(view: View) -> View:
        return replace(view, scope=st.session_state[key])

    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "Only in this selection",
            list(names),
            format_func=lambda one: names.get(one, ""),
            key=key,
            on_change=_change,
            args=(chosen,),
            help="Passages that were selected on the map and saved. The chat can be kept to them too.",
        )
        if current is not None:
            scope_menu(desk.collection, current)
    if current is not None:
        st.caption(current.size)


def _pick_index(desk: Desk, view: View) -> None:
    by_id: dict[int | None, IndexRow] = {None if one.state == "active" else one.id: one for one in desk.indexes}
    st.session_state[_INDEX] = view.side.index if view.side.index in by_id else None

    def chosen(view: View) -> View:
        return replace(view, side=replace(view.side, index=st.session_state[_INDEX]))

    st.selectbox(
        "Index",
        list(by_id),
        format_func=lambda one: describe_index(by_id[one]),
        key=_INDEX,
        on_change=_change,
        args=(chosen,),
        help="Chat and everybody else search the active index; here you can look into another one before it is used.",
    )


def _change(change: Callable[[View], View]) -> None:
    change_view(change)


def describe_index(index: IndexRow) -> str:
    """One line about an index."""
    state = {"active": "active", "ready": "ready", "building": "being built"}.get(index.state, index.state)
    return f"No. {index.id} ({state}): {plain(index.model)}, {count(index.embedded, 'chunk')}"
