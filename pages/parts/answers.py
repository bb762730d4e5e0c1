"""Messages of a chat: questions, finished answers, and the answer that is being written."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from uuid import UUID

import streamlit as st

from pages.parts.answer_acts import act_button, act_row, copy_button
from pages.parts.answer_branches import branch_arrows
from pages.parts.answer_votes import vote_buttons, vote_panel
from pages.parts.answer_why import why_panel
from pages.parts.chat_export import text_to_copy
from pages.parts.chat_panels import is_open
from pages.parts.chat_presence import badge, describe_queue, question_name
from pages.parts.chat_view import ChatView
from pages.parts.citations import answer_markdown, sources_row
from pages.parts.markdown import sanitise
from pages.parts.product import product
from pages.parts.question_edit import deletion_form, edit_form
from pages.parts.session import connect
from pages.parts.words import plain, show_error
from rag.chat.chat_records import Message, PhaseNote
from rag.chat.chats import retry_answer, stop_answer
from rag.chat.feeds import tail_answer
from rag.chat.transcripts import describe_making, writer
from rag.errors import CorpuscopeError

PHASE_WORDS = {
    "queued": "Waiting for a worker",
    "analyzing": "Analyzing",
    "retrieving": "Retrieving",
    "generating": "Generating",
    "complete": "Complete",
    "failed": "Failed",
    "stopped": "Stopped",
    "restarted": "Started again",
}
_ASSISTANT = ":material/auto_awesome:"


def show_question(view: ChatView, message: Message) -> None:
    """The question as it was typed, whose it is, and what can be done with it."""
    with st.container(key=f"question-{message.id}", gap="xsmall"):
        if who := question_name(view.chat, message):
            mark = badge(message.asked_by, message.asker or who) if message.asked_by is not None else ""
            st.html(f'<div class="cs-person cs-bare">{mark}<b>{escape(who)}</b></div>')
        with st.chat_message("user", avatar=":material/person:"):
            if is_open("edit", message.id):
                edit_form(message, view.choice)
            else:
                st.markdown(as_typed(message.content))
        act_row(_question_acts(view, message), "What to do with this question")
        if is_open("delete", message.id):
            deletion_form(message, len(view.shown) - view.shown.index(message) - 1)
        else:
            st.empty()


def as_typed(text: str) -> str:
    """Markdown that shows what somebody typed as it stands, line by line."""
    return "  \n".join(plain(line) for line in text.splitlines())


def _question_acts(view: ChatView, message: Message) -> list[str]:
    own = message.asked_by == view.me
    return [
        branch_arrows(view.messages, message),
        act_button("edit", message.id, "edit", "Edit the question and ask again") if own else "",
        copy_button(message.id, message.content, "Copy the question"),
        act_button("delete", message.id, "delete", "Delete this question and what follows")
        if own or view.chat.is_owner
        else "",
    ]


def show_answer(view: ChatView, message: Message) -> None:
    """A finished answer: how it came about, what it says, where that stands, and what can be done with it."""
    with st.chat_message("assistant", avatar=_ASSISTANT):
        _show_phases(message)
        _show_rewritten(message)
        if message.content:
            with st.container(key=f"answer-{message.id}"):
                st.markdown(answer_markdown(message))
        if message.phase == "failed":
            hint = f"  \n{plain(message.error_hint)}" if message.error_hint else ""
            st.error(f"{plain(message.error or 'The answer failed.')}{hint}", icon=":material/error:")
        if message.phase == "stopped":
            st.caption(":material/stop_circle: Stopped before it was finished.")
        sources_row(message)
        if message.phase in ("failed", "stopped"):
            st.button(
                "Try again",
                icon=":material/refresh:",
                key=f"retry-{message.id}",
                on_click=_call,
                args=(retry_answer, message.id),
            )
        act_row(_answer_acts(view, message), "What to do with this answer")
        _show_panel(view, message)


def _show_phases(message: Message) -> None:
    label = " · ".join([PHASE_WORDS[message.phase], *describe_making(message)])
    with st.expander(label, type="compact", key=f"phases-{message.id}"):
        for note in message.phases:
            st.caption(_describe(note))
        if message.model:
            st.caption(f"Written by {plain(message.model)}")


def _describe(note: PhaseNote) -> str:
    took = f" · {note.seconds:.1f} s" if note.seconds is not None else ""
    detail = f": {plain(note.detail)}" if note.detail else ""
    return f"**{PHASE_WORDS.get(note.phase, note.phase.capitalize())}**{detail}{took}"


def _show_rewritten(message: Message) -> None:
    if message.standalone:
        st.caption(f":material/manage_search: Searched for: *{plain(message.standalone)}*")


def _answer_acts(view: ChatView, message: Message) -> list[str]:
    profile = view.profiles.name_of(message.profile)
    made = " · ".join(words for words in (writer(message), profile) if words)
    return [
        branch_arrows(view.messages, message),
        copy_button(message.id, text_to_copy(message), "Copy the answer with its sources") if message.content else "",
        vote_buttons(view, message),
        act_button("again", message.id, "refresh", f"Answer again: {view.describe_choice()}"),
        act_button("why", message.id, "help", "Why this answer?", pressed=is_open("why", message.id)),
        f'<span class="cs-quiet cs-made">{escape(made)}</span>' if made else "",
    ]


def _show_panel(view: ChatView, message: Message) -> None:
    """Always in one place, so that what is closed goes at once, also while another answer is followed."""
    if is_open("vote", message.id) and view.vote_of_mine(message.id) is not None:
        vote_panel(view, message)
    elif is_open("why", message.id):
        why_panel(view, message)
    else:
        st.empty()


class Growing:
    """The place of an answer that isn't finished: drawn at once with what is known, followed when all else is drawn."""

    def __init__(self, view: ChatView, message: Message, hindrance: str = "") -> None:
        """``hindrance`` says why nothing happens; it goes once something does."""
        self._message = message
        with st.chat_message("assistant", avatar=_ASSISTANT):
            with st.container(horizontal=True, vertical_alignment="center"):
                self._phase = st.empty()
                waits = describe_queue(view.messages, message)
                words = f":material/hourglass_top: {waits}" if waits else _live_phase(message.phase, "")
                self._phase.markdown(words, width="content")
                st.button(
                    "Stop",
                    icon=":material/stop_circle:",
                    key=f"stop-{message.id}",
                    on_click=_call,
                    args=(stop_answer, message.id),
                    disabled=message.stop_requested,
                )
            self._hindrance = st.empty()
            if hindrance and message.phase == "queued":
                self._hindrance.warning(hindrance, icon=":material/pause_circle:")
            self._body = st.empty()
            act_row([branch_arrows(view.messages, message)], "Branches of this answer")

    def follow(self, look_around: Callable[[], bool]) -> None:
        """Draw the answer as it grows, until it is final or ``look_around`` says that there is more to draw anew."""
        shared = product()
        assert shared.feed is not None
        text = said = ""
        for event in tail_answer(connect, shared.feed, self._message.id):
            if event.kind == "restart":
                text = ""
            elif event.kind == "text":
                text += event.text
                self._body.markdown(sanitise(text))
            if event.kind == "done" or look_around():
                return
            words = _live_phase(event.phase, event.detail)
            if event.phase != "queued" and words != said:
                said = words
                self._hindrance.empty()
                self._phase.markdown(words, width="content")


def _live_phase(phase: str, detail: str) -> str:
    more = f" · {plain(detail)}" if detail else ""
    return f":shimmer[**{PHASE_WORDS.get(phase, phase)}**]{more}"


def _call(action: Callable[..., object], message_id: UUID) -> None:
    try:
        with connect() as conn:
            action(conn, message_id)
    except CorpuscopeError as error:
        show_error(error)
