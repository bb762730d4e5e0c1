"""What a conversation asks: its collection, others beside it, or documents or a selection of it. Chosen above it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts.chat_scope import SCOPE, scope_chip, scope_in_address
from pages.parts.session import connect
from pages.parts.words import count, plain, show_error
from rag.chat.asked_sources import NamedDocument, keep_to, list_searchable, scope_of_documents, whole_documents
from rag.chat.chat_records import Chat
from rag.chat.chats import create_chat, leave_scope
from rag.chat.conversations import list_collections as list_asked
from rag.chat.conversations import set_collections
from rag.corpus.collections import list_collections
from rag.errors import CorpuscopeError
from rag.records import Collection
from rag.retrieval.scopes import scope_names

#: Parameter of the address: the other collections that a conversation yet to begin is to ask.
ALSO = "also"
#: Collections that one conversation asks beside its own.
MOST_COLLECTIONS = 7
#: Documents that are listed at once; in a collection with more of them they are looked for by name.
MOST_DOCUMENTS = 300


@dataclass(frozen=True, slots=True)
class Sources:
    """``scope`` is the selection that it is kept to; ``also`` are the collections that it asks beside its own."""

    scope: int | None = None
    also: tuple[UUID, ...] = ()


def read_sources(collection: Collection, chat: Chat | None) -> Sources:
    """What the conversation asks; of one yet to begin, what the address says."""
    if chat is not None:
        with connect() as conn:
            asked = list_asked(conn, chat.id)
        return Sources(chat.scope_id, tuple(one.id for one in asked if one.is_asked and not one.is_home))
    scope = scope_in_address(collection)
    return Sources(scope, () if scope is not None else _also_in_address(collection))


def _also_in_address(collection: Collection) -> tuple[UUID, ...]:
    text = st.query_params.get(ALSO)
    if text is None:
        return ()
    with connect() as conn:
        known = {str(one.id): one.id for one in list_collections(conn) if one.id != collection.id}
    return tuple(known[key] for key in dict.fromkeys(text.split(",")) if key in known)[:MOST_COLLECTIONS]


def begin_chat(conn: psycopg.Connection[Any], collection: Collection, sources: Sources) -> UUID:
    """A new conversation that asks these."""
    chat_id = create_chat(conn, collection.id, scope=sources.scope)
    if sources.also:
        set_collections(conn, chat_id, sources.also)
    return chat_id


def sources_bar(collection: Collection, chat: Chat | None, sources: Sources, most: int = MOST_DOCUMENTS) -> None:
    """What answers are made from and, for whoever began the conversation, the way to change that.

    ``most`` documents are listed at once.
    """
    with connect() as conn:
        known = {one.id: one for one in list_collections(conn)}
        whole = whole_documents(conn, sources.scope) if sources.scope is not None else None
        saved = scope_names(conn, collection.id)
    others = [one.name for key in sources.also if (one := known.get(key)) is not None]
    label = describe_sources(collection.name, others) if sources.scope is None else "Change"
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="chat-sources"):
        if chat is not None and not chat.is_owner:
            scope_chip(collection, chat, None, whole)
            if sources.scope is None:
                st.caption(f":material/database: {label}", width="content")
            return
        scope_chip(collection, chat, sources.scope, whole)
        with st.popover(label, icon=":material/database:", key="ask-what", type="tertiary"), st.container(width=380):
            st.caption("From the next question on, answers are made from these.")
            _pick_collections(collection, chat, sources, list(known.values()))
            _pick_documents(collection, chat, whole or [], most)
            _pick_selection(collection, chat, sources, saved, whole)


def describe_sources(home: str, others: Sequence[str]) -> str:
    """``Everything in Handbook``, ``Handbook and Contracts``, ``Handbook and 2 other collections``; Markdown."""
    if not others:
        return f"Everything in {plain(home)}"
    if len(others) == 1:
        return f"{plain(home)} and {plain(others[0])}"
    return f"{plain(home)} and {count(len(others), 'other collection')}"


def _pick_collections(collection: Collection, chat: Chat | None, sources: Sources, known: Sequence[Collection]) -> None:
    names = {str(one.id): one.name for one in known if one.id != collection.id and one.document_count}
    if not names:
        return
    key = f"also-{collection.id}"
    st.session_state[key] = [str(one) for one in sources.also if str(one) in names]
    st.multiselect(
        "Also in these collections",
        list(names),
        format_func=lambda one: names.get(one, ""),
        key=key,
        placeholder=f"Only {collection.name}",
        max_selections=MOST_COLLECTIONS,
        on_change=_ask_collections,
        args=(collection, chat, key),
        help="Each is searched in its own index, and the hits become one ranking.",
    )


def _ask_collections(collection: Collection, chat: Chat | None, key: str) -> None:
    chosen = [UUID(one) for one in st.session_state[key]]
    if chat is None:
        st.query_params.pop(SCOPE, None)
        _put(ALSO, ",".join(str(one) for one in chosen))
        return
    with _said(), connect() as conn:
        if chosen and chat.scope_id is not None:
            leave_scope(conn, chat.id)
        set_collections(conn, chat.id, chosen)


def _pick_documents(collection: Collection, chat: Chat | None, chosen: Sequence[NamedDocument], most: int) -> None:
    documents = _offered_documents(collection, most)
    names = {str(one.id): one.name for one in (*chosen, *documents)}
    key = f"asked-{collection.id}"
    st.session_state[key] = [str(one.id) for one in chosen]
    st.multiselect(
        f"Only in these documents of {collection.name}",
        list(names),
        format_func=lambda one: names.get(one, ""),
        key=key,
        placeholder="All documents" if documents else "Type a part of a name above",
        on_change=_ask_documents,
        args=(collection, chat, key),
    )


def _offered_documents(collection: Collection, most: int) -> list[NamedDocument]:
    """All of a small collection; of a large one those whose names contain what is typed."""
    part = ""
    if collection.document_count > most:
        part = st.text_input(
            "Find documents by name", key=f"asked-part-{collection.id}", placeholder="A part of the name", max_chars=200
        )
        if not part.strip():
            return []
    with connect() as conn:
        return list_searchable(conn, collection.id, most, part)


def _ask_documents(collection: Collection, chat: Chat | None, key: str) -> None:
    chosen = [UUID(one) for one in st.session_state[key]]
    with _said():
        if not chosen:
            _keep_to(collection, chat, None)
            return
        with connect() as conn:
            scope = scope_of_documents(conn, collection.id, chosen)
        _keep_to(collection, chat, scope)


def _pick_selection(
    collection: Collection,
    chat: Chat | None,
    sources: Sources,
    saved: dict[int, str],
    whole: Sequence[NamedDocument] | None,
) -> None:
    current = None if whole else sources.scope
    if not saved and current is None:
        return
    names: dict[int | None, str] = {None: "None"}
    names.update(saved.items())
    if current is not None:
        names.setdefault(current, "Not saved yet")
    key = f"asked-selection-{collection.id}"
    st.session_state[key] = current
    st.selectbox(
        "Only in this selection",
        list(names),
        format_func=lambda one: names.get(one, ""),
        key=key,
        on_change=_ask_selection,
        args=(collection, chat, key),
        help="Passages that were selected on the map and saved.",
    )


def _ask_selection(collection: Collection, chat: Chat | None, key: str) -> None:
    with _said():
        _keep_to(collection, chat, st.session_state[key])


def _keep_to(collection: Collection, chat: Chat | None, scope: int | None) -> None:
    """Answers come from ``scope`` alone; None lets everything answer again."""
    if chat is None:
        st.query_params.pop(ALSO, None)
        _put(SCOPE, "" if scope is None else str(scope))
        return
    with connect() as conn:
        if scope is None:
            leave_scope(conn, chat.id)
        else:
            set_collections(conn, chat.id, [])
            keep_to(conn, chat.id, scope)


def _put(name: str, value: str) -> None:
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)


@contextmanager
def _said() -> Iterator[None]:
    """In a callback: a refusal is shown above the page."""
    try:
        yield
    except CorpuscopeError as error:
        show_error(error)
