"""What a conversation is kept to: a selection of passages, said above it, and let go there."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import streamlit as st

from pages.parts.scope_menu import scope_menu
from pages.parts.session import connect
from pages.parts.words import count, guarded, plain
from rag.chat.asked_sources import NamedDocument
from rag.chat.chat_records import Chat
from rag.chat.chats import leave_scope
from rag.errors import NotFound
from rag.records import Collection
from rag.retrieval.scopes import Scope, read_scope

#: Parameter of the address: the selection that a conversation yet to begin is to be bound to.
SCOPE = "scope"


def scope_in_address(collection: Collection) -> int | None:
    """The selection that the address names for a new conversation; one that can't be used is said and dropped."""
    text = st.query_params.get(SCOPE)
    if text is None:
        return None
    if (found := _find(text)) is not None and found.collection_id == collection.id:
        return found.id
    del st.query_params[SCOPE]
    st.toast(
        "That selection is gone, or it isn't shared with you: the whole collection answers.",
        icon=":material/filter_alt_off:",
    )
    return None


def _find(text: str) -> Scope | None:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        return None
    try:
        with connect() as conn:
            return read_scope(conn, int(text))
    except NotFound:
        return None


def scope_chip(
    collection: Collection, chat: Chat | None, pending: int | None, whole: Sequence[NamedDocument] | None = None
) -> None:
    """What answers are made from where that isn't the whole collection and, for the owner, a way out.

    ``whole`` names the documents that the selection is, where it is whole ones.
    """
    scope_id = chat.scope_id if chat is not None else pending
    if scope_id is None:
        return
    with connect() as conn:
        scope = read_scope(conn, scope_id)
    with st.container(horizontal=True, vertical_alignment="center", key="chat-scope", gap="small"):
        st.markdown(f":material/filter_alt: {describe_scope(scope, whole)}", width="content")
        if chat is None or chat.is_owner:
            st.button(
                "Remove",
                icon=":material/close:",
                key="leave_scope",
                type="tertiary",
                help="From the next question on, the whole collection answers. The selection itself stays.",
                on_click=_leave,
                args=(chat.id if chat is not None else None,),
            )
            scope_menu(collection, scope, chatting=True)
    if not scope.passages:
        st.caption(":orange[Nothing of this selection can be searched any more: its documents are gone or left out.]")


def describe_scope(scope: Scope, whole: Sequence[NamedDocument] | None = None) -> str:
    """``Only with 37 passages of 4 documents`` and the selection's name, or which documents these are; Markdown."""
    if not whole or scope.name:
        named = f" (“{plain(scope.name)}”)" if scope.name else ""
        return f"Only with {scope.size}{named}"
    names = [plain(one.name) for one in whole[:2]]
    if len(whole) > 2:
        return f"Only with {count(len(whole), 'document')}: {names[0]}, {names[1]} …"
    return f"Only with {' and '.join(names)}"


@guarded
def _leave(chat_id: UUID | None) -> None:
    if chat_id is None:
        st.query_params.pop(SCOPE, None)
        return
    with connect() as conn:
        leave_scope(conn, chat_id)
