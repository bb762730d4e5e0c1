"""Making, renaming and deleting collections."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.words import count, plain, show_error
from rag.corpus.collections import create_collection, delete_collection, describe_deletion, rename_collection
from rag.corpus.samples import load_sample
from rag.errors import CorpuscopeError
from rag.records import Collection


def open_collection(collection_id: UUID) -> None:
    """Make it the session's collection and start over."""
    st.session_state["chosen_collection"] = str(collection_id)
    st.query_params["collection"] = str(collection_id)
    st.rerun()


def try_sample() -> None:
    """Load the sample corpus and open it."""
    try:
        with connect() as conn:
            made = load_sample(conn)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify("The sample corpus is being read. It can be searched in a few seconds.", icon="library_books")
    open_collection(made)


@st.dialog("New collection")
def create_collection_dialog() -> None:
    collection_form()


def collection_form() -> None:
    """A name and what is in it; opens the collection once it is made."""
    with st.form("new_collection", border=False):
        name = st.text_input("Name", max_chars=200, placeholder="Contracts 2026")
        description = st.text_input("What is in it", max_chars=500, placeholder="Optional")
        submitted = st.form_submit_button("Create collection", type="primary")
    if not submitted:
        return
    try:
        with connect() as conn:
            made = create_collection(conn, name, description)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(f"{plain(name)} is ready for documents.")
    open_collection(made)


@st.dialog("Rename collection")
def rename_collection_dialog(collection: Collection) -> None:
    with st.form("rename_collection", border=False):
        name = st.text_input("Name", value=collection.name, max_chars=200)
        submitted = st.form_submit_button("Rename", type="primary")
    if not submitted:
        return
    try:
        with connect() as conn:
            rename_collection(conn, collection.id, name)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(f"Renamed to {plain(name)}.")
    st.rerun()


@st.dialog("Delete collection")
def delete_collection_dialog(collection: Collection) -> None:
    with connect() as conn:
        gone = describe_deletion(conn, collection.id)
    st.markdown(f"**{plain(collection.name)}** goes for good, and with it:")
    nouns = {"documents": "document", "chunks": "chunk", "marks": "mark", "chats": "chat", "profiles": "profile"}
    nouns["questions"] = "question"
    st.markdown(
        "\n".join(f"- {count(number, nouns[what])}" for what, number in gone.items() if number) or "- nothing else"
    )
    st.caption("The files that you uploaded are deleted too. This can't be undone.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        keep = st.button("Keep it", key="keep_collection")
        delete = st.button("Delete for good", key="delete_collection", type="primary", icon=":material/delete:")
    if keep:
        st.rerun()
    if not delete:
        return
    try:
        with connect() as conn:
            delete_collection(conn, collection.id)
    except CorpuscopeError as error:
        show_error(error)
        return
    st.session_state.pop("chosen_collection", None)
    st.query_params.pop("collection", None)
    notify(f"{plain(collection.name)} was deleted.", icon="delete")
    st.rerun()
