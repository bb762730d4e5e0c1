"""Whole replies of a chat model, for work that nobody watches word by word."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from rag.chat.llm import ChatModel, Usage, chat_model
from rag.chat.prompts import Turn
from rag.settings import Settings

_MAX_REPLY = 20_000


def configured_model(settings: Settings) -> ChatModel | None:
    """The chat model of the settings, None where there is none."""
    return chat_model(settings) if settings.chat_model else None


def whole_reply(
    model: ChatModel,
    turns: Sequence[Turn],
    check: Callable[[], None],
    spent: Callable[[Usage], None] = lambda usage: None,
) -> str:
    """What the model says, up to a length; ``check`` is called as it comes and may raise.

    ``spent`` is told what it cost, however it ends.
    """
    said = ""
    reply = model.reply(turns)
    try:
        with reply:
            for piece in reply:
                check()
                said += piece
                if len(said) > _MAX_REPLY:
                    break
    finally:
        spent(reply.usage)
    return said


def read_object(reply: str) -> dict[str, Any] | None:
    """The JSON object in a reply, whatever stands around it; None where there is none."""
    try:
        said, _ = json.JSONDecoder().raw_decode(reply[reply.index("{") :])
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
