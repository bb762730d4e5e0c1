"""Which hints somebody may have: those on what they may look at. ``conn`` runs as that person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from rag.errors import InvalidInput

#: Most topics that one page listens to.
MOST = 8
_TOPIC = re.compile(r"(chat|presence|message|documents):([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
#: What has to be visible, by the kind of the topic.
_ROWS = {
    "chat": "select from public.chats where id = %s",
    "presence": "select from public.chats where id = %s",
    "message": "select from public.messages where id = %s",
    "documents": "select from public.collections where id = %s",
}


class Topic(NamedTuple):
    """What hints are about: ``chat:<id>``, ``presence:<chat>``, ``message:<id>`` or ``documents:<collection>``."""

    kind: str
    id: UUID

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


def read_topics(text: str) -> list[Topic]:
    """Topics from a comma-separated list; raises :class:`InvalidInput` for anything else."""
    found = [_TOPIC.fullmatch(part) for part in dict.fromkeys(text.split(","))]
    topics = [Topic(match[1], UUID(match[2])) for match in found if match]
    if len(topics) != len(found) or len(topics) > MOST:
        raise InvalidInput("That is nothing to listen to.")
    return topics


def may_watch(conn: Connection[Any], topics: Sequence[Topic]) -> bool:
    """Whether the person may look at all that ``topics`` are about, in one statement."""
    checks = " and ".join(f"exists ({_ROWS[topic.kind]})" for topic in topics)
    row = conn.execute(f"select {checks}".encode(), [topic.id for topic in topics]).fetchone()
    return bool(row and row[0])
