"""The tree of a conversation: an answer hangs below its question, a question below the answer that it goes on from.

What hangs below the same message is branches of one another. Pure functions of a chat's messages, in any order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

from rag.chat.chat_records import Message


def thread(messages: Sequence[Message], at: UUID | None = None) -> list[Message]:
    """One way through the conversation, from its first question to an end: the one that leads through ``at``.

    Below ``at`` it goes on by the newest branch each time. Without ``at``, or when that is gone, it is the way to the
    newest message.
    """
    if not messages:
        return []
    by_id = {message.id: message for message in messages}
    given = by_id.get(at) if at is not None else None
    start = given or max(messages, key=_age)
    return [*_line_above(by_id, start), start, *_line_below(messages, start)]


def siblings(messages: Iterable[Message], message: Message) -> list[UUID]:
    """The message and its branches, oldest first."""
    beside = [one for one in messages if (one.parent_id, one.role) == (message.parent_id, message.role)]
    return [one.id for one in sorted(beside, key=_age)]


def questions_before(messages: Iterable[Message], message: Message) -> int:
    """How many answers have to end before this one's turn comes."""
    line = _line_above({one.id: one for one in messages}, message)
    return sum(one.role == "assistant" and not one.finished for one in line)


def _age(message: Message) -> int:
    return message.position


def _line_above(by_id: dict[UUID, Message], message: Message) -> list[Message]:
    line: list[Message] = []
    while message.parent_id is not None and message.parent_id in by_id:
        message = by_id[message.parent_id]
        line.append(message)
    return line[::-1]


def _line_below(messages: Iterable[Message], message: Message) -> list[Message]:
    below: dict[UUID, list[Message]] = defaultdict(list)
    for one in messages:
        if one.parent_id is not None:
            below[one.parent_id].append(one)
    line: list[Message] = []
    while message.id in below:
        message = max(below[message.id], key=_age)
        line.append(message)
    return line
