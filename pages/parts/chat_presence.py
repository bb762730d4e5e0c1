"""Who has a conversation open, whose question is being answered, and whose question is whose."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from html import escape
from uuid import UUID

import streamlit as st

from pages.parts.product import product
from pages.parts.session import connect, require_user
from pages.parts.words import count
from rag.chat.branches import questions_before
from rag.chat.chat_records import Chat, Message
from rag.chat.presence import Present, who_is_here

#: Chips that are drawn; the others are a number.
MOST = 6

#: Who asked something and has no account any more.
GONE = "Somebody who left"


class PresenceRow:
    """The people who have the conversation open, as chips; alone, nobody is shown."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat.id
        self._alone = chat.is_owner and not chat.shared
        self._slot = st.empty()
        self._position = 0
        self._shown = ""
        self.draw()

    def draw(self) -> None:
        """Look who is here, and draw it where it changed."""
        if self._alone:
            return
        feed = product().feed
        self._position = feed.position() if feed is not None else 0
        with connect() as conn:
            people = who_is_here(conn, self._chat)
        chips = presence_html(people, require_user().user_id)
        if chips == self._shown:
            return
        self._shown = chips
        if chips:
            self._slot.html(chips)
        else:
            self._slot.empty()

    def refresh(self) -> None:
        """Draw it anew if somebody came, went or asked since; cheap, for the loop that follows an answer."""
        if not self._alone and self._heard():
            self.draw()

    def _heard(self) -> bool:
        feed = product().feed
        topics = (f"presence:{self._chat}", f"chat:{self._chat}")
        return feed is not None and any(feed.wait(topic, 0, after=self._position) for topic in topics)


def presence_html(people: Sequence[Present], me: UUID) -> str:
    """Chips, whoever asks first and oneself last; empty while nobody else is here."""
    if all(one.user_id == me for one in people):
        return ""
    ordered = sorted(people, key=lambda one: (one.user_id == me, not one.asking, one.name.casefold()))
    chips = "".join(_chip(one, me) for one in ordered[:MOST])
    if len(ordered) > MOST:
        chips += f'<span class="cs-person cs-more">and {count(len(ordered) - MOST, "other")}</span>'
    return f'<div class="cs-people" role="status" aria-label="Who is here">{chips}</div>'


def _chip(one: Present, me: UUID) -> str:
    name = "You" if one.user_id == me else escape(one.name)
    asking = "<small>asking</small>" if one.asking else ""
    state = " cs-asking" if one.asking else ""
    return f'<span class="cs-person{state}">{badge(one.user_id, one.name)}<span>{name}</span>{asking}</span>'


def badge(user_id: UUID, name: str) -> str:
    """A round badge with the person's initials, always of the same hue; HTML."""
    hue = zlib.crc32(user_id.bytes) % 12 * 30
    return f'<i aria-hidden="true" style="--cs-hue: {hue}">{escape(initials(name))}</i>'


def initials(name: str) -> str:
    """``AB`` for Ada Brook, ``A`` for ada@example.org."""
    words = [word for word in name.partition("@")[0].split() if word[0].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper() or "?"


def question_name(chat: Chat, message: Message) -> str:
    """Who asked, as it stands at a question: ``You`` for one's own; empty in a conversation of one person."""
    me = require_user().user_id
    if message.asked_by == me:
        return "You" if chat.shared or not chat.is_owner else ""
    return message.asker or GONE


def describe_queue(messages: Sequence[Message], message: Message) -> str:
    """``2 questions before yours`` for an answer that waits for others; empty where it is next."""
    before = questions_before(messages, message)
    if message.phase != "queued" or not before:
        return ""
    whose = "yours" if message.asked_by == require_user().user_id else "it"
    return f"{count(before, 'question')} before {whose}"
