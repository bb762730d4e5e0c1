"""The chats of a collection, in the sidebar: open, start, rename and delete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from uuid import UUID

import streamlit as st

from pages.parts.answer_branches import AT
from pages.parts.chat_scope import SCOPE
from pages.parts.chat_sources import ALSO
from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.words import guarded, plain, to_local
from rag.chat.chat_records import Chat
from rag.chat.chats import delete_chat, rename_chat

#: Chats that the sidebar lists; older ones are found by their address.
MOST = 30
_MENU = "chat_menu_open"


def chat_list(chats: Sequence[Chat], current: UUID | None) -> None:
    """Buttons in the sidebar, by when each conversation went on last; the open one is the filled one."""
    with st.sidebar:
        st.button("New chat", icon=":material/add:", key="new_chat", on_click=open_chat, args=(None,), width="stretch")
        with st.container(gap=None, key="chat-list"):
            for when, group in groupby(chats[:MOST], key=lambda chat: _when(to_local(chat.updated_at).date())):
                st.caption(when)
                for chat in group:
                    _chat_button(chat, current)


def _chat_button(chat: Chat, current: UUID | None) -> None:
    narrow = "filter_alt" if chat.scope_id is not None else None
    icon = "group" if chat.shared or not chat.is_owner else narrow
    st.button(
        plain(chat.title),
        icon=f":material/{icon}:" if icon else None,
        key=f"chat-{chat.id}",
        on_click=open_chat,
        args=(chat.id,),
        type="secondary" if chat.id == current else "tertiary",
        width="stretch",
        wrap=False,
    )


def _when(day: date) -> str:
    days = (to_local(datetime.now(UTC)).date() - day).days
    if days < 1:
        return "Today"
    if days == 1:
        return "Yesterday"
    if days < 7:
        return "This week"
    return f"{day:%B %Y}"


def open_chat(chat_id: UUID | None) -> None:
    """Callback: put the chat into the address; None begins a new one, about the whole collection."""
    for name in (SCOPE, ALSO, AT):
        st.query_params.pop(name, None)
    if chat_id is None:
        st.query_params.pop("chat", None)
    else:
        st.query_params["chat"] = str(chat_id)


def chat_menu(chat: Chat) -> None:
    """Rename and delete, at the chat's own title; for whoever began it."""
    st.session_state.pop(_MENU, None)
    if not chat.is_owner:
        return
    icons = {"Rename": "edit", "Delete": "delete"}
    picked = st.menu_button(
        "Chat",
        list(icons),
        format_func=lambda action: f":material/{icons[action]}: {action}",
        key="chat_menu",
        help="Rename or delete this chat",
    )
    if picked:
        st.session_state[_MENU] = True
    if picked == "Rename":
        _rename_dialog(chat)
    elif picked == "Delete":
        _delete_dialog(chat)


def menu_is_open() -> bool:
    """Whether a dialog of the menu was opened in this run. A page that follows an answer would keep it from working."""
    return _MENU in st.session_state


@st.dialog("Rename chat", on_dismiss="rerun")
@guarded
def _rename_dialog(chat: Chat) -> None:
    with st.form("rename_chat", border=False):
        title = st.text_input("Title", value=chat.title, max_chars=200)
        submitted = st.form_submit_button("Rename", type="primary")
    if submitted:
        with connect() as conn:
            rename_chat(conn, chat.id, title)
        st.rerun()


@st.dialog("Delete chat", on_dismiss="rerun")
@guarded
def _delete_dialog(chat: Chat) -> None:
    st.markdown(f"**{plain(chat.title)}** goes for good, with its questions, answers and citations.")
    st.caption("The documents stay. This can't be undone.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        keep = st.button("Keep", key="keep_chat")
        delete = st.button("Delete for good", key="delete_chat", type="primary", icon=":material/delete:")
    if keep:
        st.rerun()
    if delete:
        with connect() as conn:
            delete_chat(conn, chat.id)
        st.query_params.pop("chat", None)
        notify("The chat was deleted.", icon="delete")
        st.rerun()
