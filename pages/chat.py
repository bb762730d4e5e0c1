"""Chat: ask the documents of a collection; answers are streamed and quote their sources."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import streamlit as st

from pages.parts.addresses import read_uuid
from pages.parts.answers import follow_answer, show_answer, show_question
from pages.parts.chat_list import chat_list, chat_menu, open_chat
from pages.parts.chat_scope import scope_chip, scope_in_address
from pages.parts.empty import empty_state, no_documents, not_ready, sample_questions
from pages.parts.picker import page_header
from pages.parts.progress_bar import describe_hindrance
from pages.parts.session import connect, require_database, require_user
from pages.parts.words import guarded, plain, show_error
from rag.chat.chat_records import Chat, Message
from rag.chat.chats import ask, create_chat, list_chats, list_messages
from rag.corpus.limits import Usage, describe_left, my_limits, tightest
from rag.corpus.progress import Progress, read_progress
from rag.errors import LimitReached
from rag.records import Collection

_ASKED = "asked_by_click"


def show_chat(collection: Collection, progress: Progress) -> None:
    with connect() as conn:
        chats = list_chats(conn, collection.id)
        current = find_current(chats)
        messages = list_messages(conn, current.id) if current else []
        left = tightest(my_limits(conn, collection.id), "questions today")
    pending = scope_in_address(collection) if current is None else None
    chat_list(chats, current.id if current else None)
    scoped = pending is not None or (current is not None and current.scope_id is not None)
    typed = question_input("these passages" if scoped else collection.name, left)
    question = typed or st.session_state.pop(_ASKED, None)
    if question:
        try:
            put_question(collection, current, question, pending)
        except LimitReached as error:
            show_error(error)
    # Replaced at once when a chat begins: what was in it would stand beside the answer as long as that is written.
    beginning = st.empty()
    if current is None:
        with beginning.container():
            scope_chip(collection, None, pending)
            show_beginning(collection)
        return
    scope_chip(collection, current, None)
    if hindrance := _hindrance(messages, progress):
        st.warning(hindrance, icon=":material/pause_circle:")
    for message in messages:
        if message.role == "user":
            show_question(message)
        elif message.finished:
            show_answer(message)
        else:
            follow_answer(message)
    st.fragment(watch, run_every=3, key="watch-chat")(current)


def question_input(asked: str, limit: Usage | None) -> str | None:
    """Where questions to ``asked`` are typed, with how many are left today where that is limited."""
    words = f"Ask {asked}"
    if limit is not None:
        words += f" ({describe_left([limit]).rstrip('.')})"
    if limit is not None and limit.left == 0:
        whose = "You have" if limit.scope == "person" else "This collection has"
        st.info(f"{whose} no questions left today. Days end at midnight UTC.", icon=":material/hourglass_bottom:")
    return st.chat_input(words, max_chars=8000, key="question", disabled=limit is not None and limit.left == 0)


def find_current(chats: list[Chat]) -> Chat | None:
    """The chat that the address names, if it is one of these."""
    wanted = read_uuid("chat")
    return next((chat for chat in chats if chat.id == wanted), None)


def current_chat_menu(collection: Collection) -> None:
    """Beside the picker: rename or delete the open chat."""
    with connect() as conn:
        current = find_current(list_chats(conn, collection.id))
    if current is not None:
        chat_menu(current)


def put_question(collection: Collection, chat: Chat | None, question: str, scope: int | None = None) -> None:
    """Store the question in the open chat, or in a new one that is bound to ``scope``, and show that."""
    with connect() as conn:
        chat_id: UUID = chat.id if chat else create_chat(conn, collection.id, scope=scope)
        ask(conn, chat_id, question)
    open_chat(chat_id)
    st.rerun()


def show_beginning(collection: Collection) -> None:
    with empty_state(
        f"Ask {plain(collection.name)}",
        "Each answer quotes the passages that it rests on; a number opens its source at the quoted words.",
        icon="forum",
        key="chat",
    ):
        sample_questions(collection, key="chat", on_click=ask_this, centred=True)


def ask_this(question: str) -> None:
    """Callback of the sample questions."""
    st.session_state[_ASKED] = question


def _hindrance(messages: list[Message], progress: Progress) -> str:
    """Why an answer doesn't come, if one is waited for."""
    if all(message.finished for message in messages):
        return ""
    return describe_hindrance(progress)


@guarded
def watch(chat: Chat) -> None:
    """An idle viewer: looks now and then whether somebody asked in another tab."""
    with connect() as conn:
        chats = list_chats(conn, chat.collection_id)
    latest: datetime | None = next((one.updated_at for one in chats if one.id == chat.id), None)
    if latest is None or latest > chat.updated_at:
        st.rerun()


require_user()
require_database()
chosen = page_header("Chat", current_chat_menu)
if chosen is None or not chosen.document_count:
    no_documents("chat", chosen)
else:
    with connect() as conn:
        now = read_progress(conn, chosen.id)
    if now.embedded_total:
        show_chat(chosen, now)
    else:
        not_ready(chosen)
