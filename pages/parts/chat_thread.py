"""One conversation on the page: its messages from the first question on, and whatever of it grows or changes."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.parts.addresses import read_uuid
from pages.parts.answer_acts import Click, dispatch, last_click, listen
from pages.parts.answer_branches import AT, newer_elsewhere, show_branch
from pages.parts.answer_votes import judge_by_click, vote_by_click
from pages.parts.answers import Growing, show_answer, show_question
from pages.parts.chat_panels import toggle_panel
from pages.parts.chat_presence import PresenceRow
from pages.parts.chat_profile import Choice
from pages.parts.chat_sharing import sharing_is_open
from pages.parts.chat_view import ChatView
from pages.parts.live import listen_live
from pages.parts.product import product
from pages.parts.session import connect
from pages.parts.words import guarded, plain
from rag.chat.chat_records import Chat
from rag.chat.chats import regenerate_answer
from rag.chat.pulse import read_pulse
from rag.errors import CorpuscopeError

#: Messages that are drawn at first, and that are added by going back.
MOST = 20
_DRAWN = "chat_drawn"
_FIRST = "chat_first"


def act_on_click(choice: Choice) -> None:
    """Do what a button of the thread asked for, before anything of the conversation is read or drawn."""
    click = last_click()
    try:
        dispatch(
            click,
            {
                "flip": lambda click: show_branch(click.to),
                "edit": lambda click: toggle_panel("edit", click.message),
                "delete": lambda click: toggle_panel("delete", click.message),
                "why": lambda click: toggle_panel("why", click.message),
                "up": vote_by_click,
                "down": vote_by_click,
                "again": lambda click: _answer_again(click, choice),
                "good": judge_by_click,
                "bad": judge_by_click,
            },
        )
    except CorpuscopeError as problem:
        st.toast(plain(f"{problem} {problem.hint or ''}".strip()), icon=":material/error:")
        return
    if click is not None and click.act in ("flip", "again"):
        # What stands above was drawn for the branch before: the button that exports it.
        st.rerun()


def _answer_again(click: Click, choice: Choice) -> None:
    with connect() as conn:
        regenerate_answer(conn, click.message, choice.settings(), model=choice.model)
    show_branch(None)


def show_thread(view: ChatView, hindrance: str) -> Growing | None:
    """Draw the branch; the first answer on it that isn't finished is returned, to be followed at last.

    ``hindrance`` says why no answer is worked on, empty where nothing is in the way.
    """
    begin = _begin(view)
    with _place([message.id for message in view.shown[begin:]]):
        listen()
        if begin:
            _offer_earlier(view, begin)
        growing: Growing | None = None
        for message in view.shown[begin:]:
            if message.role == "user":
                show_question(view, message)
            elif message.finished:
                show_answer(view, message)
            else:
                place = Growing(view, message, "" if growing else hindrance)
                growing = growing or place
        if newer_elsewhere(view.messages, view.shown):
            st.button(
                "Newer messages are on another branch: show them",
                icon=":material/arrow_downward:",
                key="newest_branch",
                type="tertiary",
                on_click=show_branch,
                args=(None,),
            )
    return growing


def _begin(view: ChatView) -> int:
    """Where on its branch the page begins: a browser takes seconds over very many messages.

    It stays where it is while the conversation goes on, and goes back as far as the message that the address names.
    """
    places = {message.id: place for place, message in enumerate(view.shown)}
    first: UUID | None = st.session_state.get(_FIRST)
    begin = places[first] if first in places else max(0, len(view.shown) - MOST)
    named = read_uuid(AT)
    begin = min(begin, max(0, places[named] - 1)) if named in places else begin
    st.session_state[_FIRST] = view.shown[begin].id if view.shown else None
    return begin


def _offer_earlier(view: ChatView, begin: int) -> None:
    def show_earlier() -> None:
        st.session_state[_FIRST] = view.shown[max(0, begin - MOST)].id

    with st.container(horizontal=True, horizontal_alignment="center"):
        st.button(
            f"Show earlier messages ({begin:,})",
            icon=":material/arrow_upward:",
            key="earlier_messages",
            type="tertiary",
            on_click=show_earlier,
        )


def _place(shown: list[UUID]) -> DeltaGenerator:
    """The container of the thread, empty at once where the thread doesn't just go on.

    What a run doesn't draw again stays on the page until its end, and a run that follows an answer ends late. So the
    thread changes between two places then: the one that it leaves becomes empty in the same moment.
    """
    before, side = st.session_state.get(_DRAWN, ([], 0))
    if shown[: len(before)] != before:
        side = 1 - side
    st.session_state[_DRAWN] = (shown, side)
    if side:
        st.empty()
    place = st.container(key="chat-thread")
    if not side:
        st.empty()
    return place


class Lookout:
    """Notices that something of a conversation has changed beside the text of the answer that is followed."""

    def __init__(self, chat_id: UUID) -> None:
        self._chat = chat_id
        feed = product().feed
        assert feed is not None
        self._feed, self._position = feed, feed.position()
        self._pulse = self._read()

    @property
    def position(self) -> int:
        """Of the feed, before what is shown was read."""
        return self._position

    def _read(self) -> object:
        with connect() as conn:
            return read_pulse(conn, self._chat)

    def hint(self) -> bool:
        """Whether there was a hint and it meant something; costs nothing while there is none."""
        if not self._feed.wait(f"chat:{self._chat}", 0, after=self._position):
            return False
        self._position = self._feed.position()
        return self.changed()

    def changed(self) -> bool:
        """Whether it looks otherwise than when this was made."""
        return self._read() != self._pulse


def follow(growing: Growing, lookout: Lookout, *others: Callable[[], object]) -> None:
    """Follow the answer until something calls for a new run, which this then begins. ``others`` look around as well."""

    def look_around() -> bool:
        for other in others:
            other()
        return lookout.hint()

    growing.follow(look_around)
    st.rerun()


def stand_by(chat: Chat, lookout: Lookout) -> PresenceRow:
    """Who is here; and while nothing is followed, a new run as soon as the conversation looks otherwise than now."""
    rows: list[PresenceRow] = []

    @guarded
    def watch() -> None:
        again = bool(rows)
        listen_live("chat-feed", [f"chat:{chat.id}", f"presence:{chat.id}"], after=lookout.position)
        rows[:] = [PresenceRow(chat)]
        if again and lookout.changed() and not sharing_is_open():
            st.rerun()

    st.fragment(watch, key="watch-chat")()
    return rows[0]
