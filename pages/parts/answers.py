"""Messages of a chat: questions, finished answers, and the answer that is being written."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from pages.parts.citations import answer_markdown, sources_row
from pages.parts.markdown import sanitise
from pages.parts.product import product
from pages.parts.session import connect
from pages.parts.words import count, plain, show_error
from rag.chat.chat_records import Message, PhaseNote
from rag.chat.chats import retry_answer, stop_answer
from rag.chat.feeds import tail_answer
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


def show_question(message: Message) -> None:
    """The question as it was typed."""
    with st.chat_message("user", avatar=":material/person:"):
        st.markdown(plain(message.content))


def show_answer(message: Message) -> None:
    """A finished answer: how it came about, what it says, and where that stands."""
    with st.chat_message("assistant", avatar=":material/auto_awesome:"):
        _show_phases(message)
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


def _show_phases(message: Message) -> None:
    seconds = sum(note.seconds or 0.0 for note in message.phases)
    found = count(len(message.passages), "passage")
    label = f"{PHASE_WORDS[message.phase]} · {seconds:.1f} s · {found} read"
    with st.expander(label, type="compact", key=f"phases-{message.id}"):
        for note in message.phases:
            st.caption(_describe(note))
        if message.model:
            st.caption(f"Written by {plain(message.model)}")


def _describe(note: PhaseNote) -> str:
    took = f" · {note.seconds:.1f} s" if note.seconds is not None else ""
    detail = f": {plain(note.detail)}" if note.detail else ""
    return f"**{PHASE_WORDS.get(note.phase, note.phase.capitalize())}**{detail}{took}"


def follow_answer(message: Message) -> None:
    """Draw the answer as it grows; ends with a rerun once it is final. Leaving the page loses nothing."""
    shared = product()
    assert shared.feed is not None
    with st.chat_message("assistant", avatar=":material/auto_awesome:"):
        with st.container(horizontal=True, vertical_alignment="center"):
            phase = st.empty()
            st.button(
                "Stop",
                icon=":material/stop_circle:",
                key=f"stop-{message.id}",
                on_click=_call,
                args=(stop_answer, message.id),
                disabled=message.stop_requested,
            )
        body = st.empty()
        text = ""
        for event in tail_answer(connect, shared.feed, message.id):
            if event.kind == "restart":
                text = ""
            elif event.kind == "text":
                text += event.text
                body.markdown(sanitise(text))
            if event.kind == "done":
                break
            phase.markdown(_live_phase(event.phase, event.detail), width="content")
    st.rerun()


def _live_phase(phase: str, detail: str) -> str:
    more = f" · {plain(detail)}" if detail else ""
    return f":shimmer[**{PHASE_WORDS.get(phase, phase)}**]{more}"


def _call(action, message_id: UUID) -> None:  # type: ignore[no-untyped-def]
    try:
        with connect() as conn:
            action(conn, message_id)
    except CorpuscopeError as error:
        show_error(error)
