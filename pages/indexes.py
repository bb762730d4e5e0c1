"""Indexes: versions of a collection under another model or chunking; built, compared, swapped and dropped."""

from __future__ import annotations

import streamlit as st

from pages.parts.confirmation import show_refusal
from pages.parts.empty import empty_state
from pages.parts.index_cards import show_indexes
from pages.parts.index_form import BUILD, LIST, VIEW, close_when_built, show_build
from pages.parts.picker import page_header
from pages.parts.session import require_database, require_user
from rag.records import Collection


def show(collection: Collection) -> None:
    """The list, and for those who may change the collection the way to another one."""
    show_refusal()
    if collection.role == "viewer":
        show_indexes(collection)
        return
    close_when_built()
    view = st.segmented_control(
        "View",
        [LIST, BUILD],
        default=LIST,
        required=True,
        key=VIEW,
        bind="query-params",
        label_visibility="collapsed",
    )
    if view == BUILD:
        show_build(collection)
    else:
        show_indexes(collection)


require_user()
require_database()
chosen = page_header("Indexes")
if chosen is None:
    with empty_state(
        "No collection yet", "The indexes of a collection show here once there is one.", icon="layers", key="indexes"
    ):
        st.page_link("pages/documents.py", label="Go to Documents", icon=":material/arrow_forward:")
else:
    show(chosen)
