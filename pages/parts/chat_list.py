"""The chats of a collection, in the sidebar: open, start, rename and delete."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import streamlit as st

from pages.parts.chat_scope import SCOPE
from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.words import guarded, plain
from rag.chat.chat_records import Chat
from rag.chat.chats import delete_chat, rename_chat

#: Chats that the sidebar lists; older ones are found by their address.
MOST = 30


def chat_list(chats: Sequence[Chat], current: UUID | None) -> None:
    """Buttons in the sidebar; the open chat is the filled one."""
    with st.sidebar:
        st.button("New chat", icon=":material/add:", key="new_chat", on_click=open_chat, args=(None,), width="stretch")
        if chats:
            st.caption("Chats about this collection")
        with st.container(gap=None, key="chat-list"):
            for chat in chats[:MOST]:
                st.button(
                    plain(chat.title),
                    icon=":material/filter_alt:" if chat.scope_id is not None else None,
                    key=f"chat-{chat.id}",
                    on_click=open_chat,
                    args=(chat.id,),
                    type="secondary" if chat.id == current else "tertiary",
                    width="stretch",
                    wrap=False,
                )


def open_chat(chat_id: UUID | None) -> None:
    """Callback: put the chat into the address; None begins a new one, about the whole collection."""
    st.query_params.pop(SCOPE, None)
    if chat_id is None:
        st.query_params.pop("chat", None)
    else:
        st.query_params["chat"] = str(chat_id)


def chat_menu(chat: Chat) -> None:
    """Rename and delete, at the chat's own title."""
    icons = {"Rename": "edit", "Delete": "delete"}
    picked = st.menu_button(
        "Chat",
        list(icons),
        format_func=lambda action: f":material/{icons[action]}: {action}",
        key="chat_menu",
        help="Rename or delete this chat",
    )
    if picked == "Rename":
        _rename_dialog(chat)
    elif picked == "Delete":
        _delete_dialog(chat)


@st.dialog("Rename chat")
@guarded
def _rename_dialog(chat: Chat) -> None:
    with st.form("rename_chat", border=False):
        title = st.text_input("Title", value=chat.title, max_chars=200)
        submitted = st.form_submit_button("Rename", type="primary")
    if submitted:
        with connect() as conn:
            rename_chat(conn, chat.id, title)
        st.rerun()


@st.dialog("Delete chat")
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
