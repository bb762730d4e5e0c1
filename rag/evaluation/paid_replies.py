"""Replies of a chat model for jobs outside conversations, counted as those of whoever asked for the job."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from rag.chat import spending
from rag.chat.chat_records import Usage
from rag.chat.llm import ChatModel
from rag.chat.prompts import Turn
from rag.chat.replies import whole_reply
from rag.evaluation.errand import Errand


def ask_model(errand: Errand, model: ChatModel, asker: UUID, turns: Sequence[Turn]) -> str:
    """A whole reply, where the caps of ``asker`` allow it. Raises :class:`LimitReached`.

    No transaction is open while the model writes.
    """

    def count(usage: Usage) -> None:
        with errand.database.as_worker() as conn:
            spending.record(conn, errand.settings, None, asker, model.name, usage)

    with errand.database.as_worker() as conn:
        spending.check(conn, errand.settings, None, asker, model.name)
    return whole_reply(model, turns, errand.check, count)
