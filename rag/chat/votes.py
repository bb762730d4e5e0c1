"""Thumbs on answers: each person has one vote on each, which everybody in the conversation sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.errors import InvalidInput

MAX_REASON_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Vote:
    """``vote`` is 1 or -1; ``mine``: whether it is the reader's own."""

    message_id: UUID
    user_id: UUID
    vote: Literal[1, -1]
    reason: str
    created_at: datetime
    mine: bool


def vote(conn: Connection[Any], message_id: UUID, value: Literal[1, -1] | None, reason: str = "") -> None:
    """Vote for or against an answer, in place of an earlier vote; None takes that back.

    Raises :class:`~rag.errors.NotAllowed` for an answer that the person doesn't see.
    """
    if len(reason) > MAX_REASON_CHARS:
        raise InvalidInput(f"A reason has {MAX_REASON_CHARS:,} characters at most.")
    conn.execute("select public.vote_answer(%s, %s, %s)", [message_id, value, reason.replace("\x00", "")])


def read_votes(conn: Connection[Any], message_ids: Sequence[UUID]) -> list[Vote]:
    """Everybody's votes on these answers, the oldest first."""
    with conn.cursor(row_factory=class_row(Vote)) as cursor:
        return cursor.execute(
            """
            select message_id, user_id, vote, reason, created_at, user_id = (select auth.uid()) as mine
            from public.message_votes where message_id = any (%s) order by created_at, user_id
            """,
            [list(message_ids)],
        ).fetchall()
