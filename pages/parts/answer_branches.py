"""Branches of a conversation: which one is shown, and the arrows that flip through them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import streamlit as st

from pages.parts.addresses import read_uuid
from pages.parts.answer_acts import act_button
from rag.chat.branches import siblings, thread
from rag.chat.chat_records import Message

#: Parameter of the address: a message that the shown branch leads through; without it the newest is shown.
AT = "at"


def shown_branch(messages: Sequence[Message]) -> list[Message]:
    """The branch that the address names, or the newest."""
    return thread(messages, read_uuid(AT))


def show_branch(message: UUID | str | None) -> None:
    """Put a message into the address whose branch is to be shown; None shows the newest."""
    if message is None:
        st.query_params.pop(AT, None)
    else:
        st.query_params[AT] = str(message)


def branch_arrows(messages: Sequence[Message], message: Message) -> str:
    """``‹ 2 / 3 ›`` as HTML; empty for a message without branches beside it."""
    branches = siblings(messages, message)
    if len(branches) < 2:
        return ""
    place = branches.index(message.id)
    what = "question" if message.role == "user" else "answer"
    before = branches[place - 1] if place else None
    after = branches[place + 1] if place + 1 < len(branches) else None
    return (
        f'<span class="cs-branches">{_arrow(message.id, before, "chevron_left", f"Earlier {what}")}'
        f'<span class="cs-branch" role="img" aria-label="{what} {place + 1} of {len(branches)}">'
        f"{place + 1} / {len(branches)}</span>"
        f"{_arrow(message.id, after, 'chevron_right', f'Later {what}')}</span>"
    )


def _arrow(message: UUID, to: UUID | None, icon: str, label: str) -> str:
    return act_button(
        "flip", message, icon, label, to=None if to is None else str(to), refusal="" if to else "There is no other"
    )


def newer_elsewhere(messages: Sequence[Message], shown: Sequence[Message]) -> bool:
    """Whether the newest message is on another branch than the one that is shown."""
    return bool(messages) and max(messages, key=lambda one: one.position).id not in {one.id for one in shown}
