"""Whole replies of a chat model, for work that nobody watches word by word."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from rag.chat.llm import ChatModel
from rag.chat.prompts import Turn
from rag.settings import Settings

_MAX_REPLY = 20_000


def configured_model(settings: Settings) -> ChatModel | None:
    """The chat model of the settings, None where there is none."""
    if not settings.chat_model:
        return None
    return ChatModel(
        settings.chat_model,
        api_key=settings.openai_api_key.get_secret_value(),
        base_url=settings.openai_base_url,
        silence_s=settings.chat_timeout_s,
    )


def whole_reply(model: ChatModel, turns: Sequence[Turn], check: Callable[[], None]) -> str:
    """What the model says, up to a length; ``check`` is called as it comes and may raise."""
    reply = ""
    with closing(model.stream(turns)) as pieces:
        for piece in pieces:
            check()
            reply += piece
            if len(reply) > _MAX_REPLY:
                break
    return reply


def read_object(reply: str) -> dict[str, Any] | None:
    """The JSON object in a reply, whatever stands around it; None where there is none."""
    try:
        said, _ = json.JSONDecoder().raw_decode(reply[reply.index("{") :])
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
