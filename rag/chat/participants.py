"""Who takes part in a conversation. ``conn`` runs as the person who asks; the schema decides who may do what.

Whoever takes part sees all of it, and so has to be a member of all its collections. Who loses access to one of them
sees nothing of the conversation any more until they have it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.errors import NotFound


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who takes part. ``sees_it`` is False for who lost access to one of the collections."""

    user_id: UUID
    name: str
    is_owner: bool
    sees_it: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody whom the conversation can be shared with."""

    user_id: UUID
    name: str
    email: str

    @property
    def label(self) -> str:
        """``Vera (vera@example.org)``, so that two of one name are told apart."""
        return f"{self.name} ({self.email})" if self.email and self.name != self.email else self.name


def participants(conn: Connection[Any], chat_id: UUID) -> list[Participant]:
    """The owner, then everybody whom it is shared with; nobody for who doesn't take part."""
    with conn.cursor(row_factory=class_row(Participant)) as cursor:
        return cursor.execute(
            """
            select user_id, name, role = 'owner' as is_owner, sees_it
            from public.chat_people(%s) where role <> 'left'
            """,
            [chat_id],
        ).fetchall()


def list_candidates(conn: Connection[Any], chat_id: UUID) -> list[Candidate]:
    """Members of all its collections who don't take part yet, by name; nobody for anybody but the owner."""
    with conn.cursor(row_factory=class_row(Candidate)) as cursor:
        return cursor.execute("select user_id, name, email from public.chat_candidates(%s)", [chat_id]).fetchall()


def share_chat(conn: Connection[Any], chat_id: UUID, user_ids: Sequence[UUID]) -> int:
    """Let these people take part; how many of them are new. Owners only, else :class:`~rag.errors.NotAllowed`.

    :class:`~rag.errors.InvalidInput` names who is no member of which collection; nobody is added then.
    """
    row = conn.execute("select public.share_chat(%s, %s)", [chat_id, list(user_ids)]).fetchone()
    assert row is not None
    return int(row[0])


def unshare_chat(conn: Connection[Any], chat_id: UUID, user_id: UUID) -> None:
    """Take somebody out; what they asked stays. Owners only: else, or who is not in, :class:`NotFound`."""
    row = conn.execute("select public.unshare_chat(%s, %s)", [chat_id, user_id]).fetchone()
    if row is None or not row[0]:
        raise NotFound("That person doesn't take part any more, or it isn't your conversation.")


def leave_chat(conn: Connection[Any], chat_id: UUID) -> None:
    """Take part no longer. :class:`NotFound` for the owner, who can delete it, and for who isn't in."""
    row = conn.execute("select public.unshare_chat(%s)", [chat_id]).fetchone()
    if row is None or not row[0]:
        raise NotFound("You don't take part in that conversation, or it is your own.")
