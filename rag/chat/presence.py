"""Who has a conversation open. ``conn`` runs as the person whose page it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

#: Who has said nothing for longer is not here any more; the schema says the same.
GONE_AFTER_S = 45.0
#: How often a page that is open says so: two may get lost.
HEARTBEAT_S = 20.0


@dataclass(frozen=True, slots=True)
class Present:
    """Somebody whose page is open; ``asking``: an answer is being made for them, or waits."""

    user_id: UUID
    name: str
    asking: bool


def note_presence(conn: Connection[Any], chat_id: UUID, visit: UUID) -> None:
    """Say that a page, which made up ``visit`` for itself, shows the chat; every :data:`HEARTBEAT_S`.

    Raises :class:`~rag.errors.NotAllowed` for who doesn't see the chat (any more).
    """
    conn.execute("select public.note_presence(%s, %s)", [chat_id, visit])


def end_presence(conn: Connection[Any], visit: UUID) -> None:
    """Say that the page was closed."""
    conn.execute("select public.end_presence(%s)", [visit])


def who_is_here(conn: Connection[Any], chat_id: UUID) -> list[Present]:
    """Everybody with the chat open, once each, by name; nobody for who doesn't see it."""
    with conn.cursor(row_factory=class_row(Present)) as cursor:
        return cursor.execute("select user_id, name, asking from public.who_is_here(%s)", [chat_id]).fetchall()
