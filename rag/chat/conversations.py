"""Which collections a conversation asks: its home and others. ``conn`` runs as the person who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class AskedCollection:
    """A collection of a conversation. ``is_asked``: whether new answers are made from it.

    One that is not asked any more may still be quoted, so who takes part has to be a member of it all the same.
    """

    id: UUID
    name: str
    is_home: bool
    is_asked: bool


def list_collections(conn: Connection[Any], chat_id: UUID) -> list[AskedCollection]:
    """The home first, then the others by when they came; nothing for who doesn't take part."""
    with conn.cursor(row_factory=class_row(AskedCollection)) as cursor:
        return cursor.execute(
            """
            select c.id, c.name, x.is_home, x.is_asked
            from (
                select collection_id, true as is_home, true as is_asked, null::timestamptz as added_at
                from public.chats where id = %(chat)s
                union all
                select collection_id, false, is_asked, added_at from public.chat_collections where chat_id = %(chat)s
            ) x join public.collections c on c.id = x.collection_id
            order by x.added_at nulls first, c.name
            """,
            {"chat": chat_id},
        ).fetchall()


def set_collections(conn: Connection[Any], chat_id: UUID, collection_ids: Sequence[UUID]) -> None:
    """Ask these from the next question on, beside the home, which may be named too. Owners only.

    Raises :class:`~rag.errors.InvalidInput` where somebody takes part who is no member of one of them, and
    :class:`~rag.errors.NotAllowed` for anybody but the owner and for what the owner doesn't see.
    """
    conn.execute("select public.set_chat_collections(%s, %s)", [chat_id, list(collection_ids)])
