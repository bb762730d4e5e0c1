"""What can be done with one selection where it is used: chat with it or search it; name and delete it, for editors."""

from __future__ import annotations

import streamlit as st

from pages.parts.lab_address import lab_query
from pages.parts.notices import notify
from pages.parts.question_picker import may_edit
from pages.parts.session import connect
from pages.parts.words import guarded, plain, show_error
from rag.errors import CorpuscopeError
from rag.records import Collection
from rag.retrieval.scopes import Scope, delete_scope, name_scope

_CHAT, _SEARCH = "Chat only with these", "Search only these"


def scope_menu(collection: Collection, scope: Scope, *, chatting: bool = False) -> None:
    """Beside the selection's name, in the Search lab or, ``chatting``, above a conversation."""
    icons = {_SEARCH: "search"} if chatting else {_CHAT: "forum"}
    if may_edit(collection):
        icons["Rename" if scope.name else "Save"] = "bookmark"
        if scope.name:
            icons["Delete"] = "delete"
    picked = st.menu_button(
        "Selection",
        list(icons),
        format_func=lambda action: f":material/{icons[action]}: {action}",
        key="scope_menu",
        help="What else can be done with this selection",
    )
    if picked == _CHAT:
        st.switch_page("pages/chat.py", query_params={"collection": str(collection.id), "scope": str(scope.id)})
    elif picked == _SEARCH:
        st.switch_page("pages/search.py", query_params=lab_query(collection.id, "", scope=scope.id))
    elif picked in ("Rename", "Save"):
        _name_dialog(scope)
    elif picked == "Delete":
        _delete_dialog(scope)


def ask_name(before: str = "") -> str | None:
    """A form for a selection's name; the name once it was submitted."""
    with st.form("scope_name_form", border=False):
        name = st.text_input("Name", value=before, max_chars=80, placeholder="Warranty terms", key="scope_name")
        submitted = st.form_submit_button("Save", type="primary", key="scope_name_save")
    return name if submitted else None


@st.dialog("Name of the selection")
@guarded
def _name_dialog(scope: Scope) -> None:
    show_naming(scope)


def show_naming(scope: Scope) -> None:
    """What the dialog holds."""
    if (name := ask_name(scope.name or "")) is None:
        return
    try:
        with connect() as conn:
            name_scope(conn, scope.id, name)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(f"Saved as “{plain(name)}”.", icon="bookmark_added")
    st.rerun()


@st.dialog("Delete selection")
@guarded
def _delete_dialog(scope: Scope) -> None:
    show_deleting(scope)


def show_deleting(scope: Scope) -> None:
    """What the dialog holds."""
    st.markdown(f"**{plain(scope.name or '')}** ({scope.size}) goes from all lists. No document changes by it.")
    st.caption("Conversations that are kept to it stay so. This can't be undone.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="keep_scope"):
            st.rerun()
        delete = st.button("Delete for good", key="delete_scope", type="primary", icon=":material/delete:")
    if not delete:
        return
    with connect() as conn:
        delete_scope(conn, scope.id)
    st.query_params.pop("scope", None)
    notify(f"{plain(scope.name or 'The selection')} was deleted.", icon="delete")
    st.rerun()
