"""Ask a question again in other words: in its place, as a branch beside it. And delete it with what follows."""

from __future__ import annotations

import streamlit as st

from pages.parts.answer_branches import show_branch
from pages.parts.chat_panels import close_panel
from pages.parts.chat_profile import Choice
from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.words import count, show_error
from rag.chat.chat_records import Message
from rag.chat.chats import MAX_QUESTION_CHARS, delete_message, edit_question
from rag.errors import CorpuscopeError


def edit_form(message: Message, choice: Choice) -> None:
    """In the place of the question: its words to be changed, and sent with the profile and model of now."""
    with st.form(f"edit-{message.id}", border=False, enter_to_submit=False):
        words = st.text_area(
            "Your question", value=message.content, max_chars=MAX_QUESTION_CHARS, key=f"edited-{message.id}", height=110
        )
        with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small"):
            st.caption("The question before stays: flip back to it at any time.", width="stretch")
            st.form_submit_button("Cancel", key=f"edit-cancel-{message.id}", on_click=close_panel)
            sent = st.form_submit_button("Send", type="primary", icon=":material/send:", key=f"edit-send-{message.id}")
    if not sent:
        return
    try:
        with connect() as conn:
            edit_question(conn, message.id, words, choice.settings(), model=choice.model)
    except CorpuscopeError as error:
        show_error(error)
        return
    close_panel()
    show_branch(None)
    st.rerun()


def deletion_form(message: Message, following: int) -> None:
    """Asks whether a question goes with the ``following`` messages that go on from it."""
    with st.container(border=True, key=f"delete-panel-{message.id}"):
        more = f" and what follows, {count(following, 'message')}," if following else ""
        st.markdown(f"**Delete this question{more} for good?** This can't be undone; other branches stay.")
        with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            st.button("Keep", key=f"keep-{message.id}", on_click=close_panel)
            sure = st.button("Delete for good", key=f"delete-{message.id}", type="primary", icon=":material/delete:")
    if not sure:
        return
    try:
        with connect() as conn:
            delete_message(conn, message.id)
    except CorpuscopeError as error:
        show_error(error)
        return
    close_panel()
    show_branch(None)
    notify("The question was deleted.", icon="delete")
    st.rerun()
