"""Chat: ask the documents of a collection; answers are streamed and quote their sources."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from pages.parts.addresses import read_uuid
from pages.parts.answer_branches import AT, show_branch, shown_branch
from pages.parts.chat_export import export_button
from pages.parts.chat_list import chat_list, chat_menu, menu_is_open, open_chat
from pages.parts.chat_profile import Choice, Profiles, lab_link, profile_picker, read_profiles
from pages.parts.chat_sharing import say_if_gone, share_button, sharing_is_open
from pages.parts.chat_sources import Sources, begin_chat, read_sources, sources_bar
from pages.parts.chat_thread import Lookout, act_on_click, follow, show_thread, stand_by
from pages.parts.chat_view import ChatView
from pages.parts.empty import empty_state, no_documents, not_ready, sample_questions
from pages.parts.model_picker import chosen_model, model_picker, spending_note
from pages.parts.picker import page_header
from pages.parts.progress_bar import describe_hindrance
from pages.parts.session import connect, require_database, require_user
from pages.parts.words import plain, show_error
from rag.chat.chat_records import Chat
from rag.chat.chats import ask, list_chats, list_messages
from rag.chat.votes import read_votes
from rag.corpus.limits import Usage, describe_left, my_limits, tightest
from rag.corpus.progress import Progress, read_progress
from rag.errors import LimitReached
from rag.records import Collection

_ASKED = "asked_by_click"


def show_chat(collection: Collection, progress: Progress) -> None:
    profiles = read_profiles(collection)
    choice = Choice(profiles.chosen, chosen_model())
    act_on_click(choice)
    with connect() as conn:
        chats = list_chats(conn, collection.id)
        left = tightest(my_limits(conn, collection.id), "questions today")
    current = find_current(chats)
    lookout = Lookout(current.id) if current else None
    view = read_view(collection, current, profiles, choice) if current else None
    sources = read_sources(collection, current)
    chat_list(chats, current.id if current else None)
    narrow = sources.scope is not None or bool(sources.also)
    show_made_with(collection, profiles, current)
    typed = question_input("these sources" if narrow else collection.name, left)
    question = typed or st.session_state.pop(_ASKED, None)
    if question:
        try:
            put_question(collection, view, question, sources, choice)
        except LimitReached as error:
            show_error(error)
    # Replaced at once when a chat begins: what was in it would stand beside the answer as long as that is written.
    beginning = st.empty()
    if view is None or lookout is None:
        with beginning.container(key="chat-top"):
            say_if_gone()
            sources_bar(collection, None, sources)
            show_beginning(collection)
        return
    show_conversation(view, sources, lookout, progress)


def show_conversation(view: ChatView, sources: Sources, lookout: Lookout, progress: Progress) -> None:
    with st.container(key="chat-top"):
        sources_bar(view.collection, view.chat, sources)
        presence = stand_by(view.chat, lookout)
    growing = show_thread(view, describe_hindrance(progress))
    # A dialog does nothing while its page follows an answer.
    if growing is not None and not (sharing_is_open() or menu_is_open()):
        follow(growing, lookout, presence.refresh)


def read_view(collection: Collection, chat: Chat, profiles: Profiles, choice: Choice) -> ChatView:
    with connect() as conn:
        messages = list_messages(conn, chat.id)
        votes = read_votes(conn, [message.id for message in messages if message.role == "assistant"])
    me = require_user().user_id
    return ChatView(collection, chat, messages, shown_branch(messages), votes, profiles, choice, me)


def show_made_with(collection: Collection, profiles: Profiles, chat: Chat | None) -> None:
    """The profile and the model of the next answer, above where the question is typed."""
    with st.bottom, st.container(horizontal=True, vertical_alignment="center", gap="small", key="chat-made-with"):
        profile_picker(profiles)
        model_picker()
        lab_link(collection, profiles)
        spending_note(chat.id if chat else None)


def question_input(asked: str, limit: Usage | None) -> str | None:
    """Where questions to ``asked`` are typed, with how many are left today where that is limited.

    By itself and in no container: only so does the page scroll on with an answer.
    """
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
    """Beside the picker: share, export, rename or delete the open chat."""
    with connect() as conn:
        current = find_current(list_chats(conn, collection.id))
    if current is not None:
        share_button(current)
        export_button(current, read_uuid(AT))
        chat_menu(current)


def put_question(
    collection: Collection, view: ChatView | None, question: str, sources: Sources, choice: Choice
) -> None:
    """Store the question at the end of the branch that is shown, or in a new chat, and show that."""
    with connect() as conn:
        chat_id: UUID = view.chat.id if view else begin_chat(conn, collection, sources)
        parent = view.shown[-1].id if view and view.shown else None
        ask(conn, chat_id, question, choice.settings(), parent=parent, model=choice.model)
    if view is None:
        open_chat(chat_id)
    show_branch(None)
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
