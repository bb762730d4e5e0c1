"""The support of an answer's sentences as rows. ``conn`` runs as the worker to store, as the viewer to read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from rag.chat.chat_records import SentenceSupport


def store_support(conn: Connection[Any], message_id: UUID, attempt: int, supports: Sequence[SentenceSupport]) -> None:
    """Keep what was found, in place of what an earlier attempt left; nothing when the answer is another's by now."""
    held = conn.execute(
        "select from public.messages where id = %s and attempt = %s for share", [message_id, attempt]
    ).fetchone()
    if held is None:
        return
    conn.execute("delete from public.message_support where message_id = %s", [message_id])
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into public.message_support
                (message_id, attempt, ordinal, start_char, end_char, cited, verdict, lexical, similarity, missing)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (message_id, attempt, s.ordinal, s.start, s.end, s.cited, s.verdict, s.lexical, s.similarity, s.missing)
                for s in supports
            ],
        )


def read_support(conn: Connection[Any], message_ids: Sequence[UUID]) -> dict[UUID, list[SentenceSupport]]:
    """What is known of each of these answers that the person may see, in the order of their sentences."""
    found: dict[UUID, list[SentenceSupport]] = defaultdict(list)
    with conn.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(
            """
            select s.message_id, s.ordinal, s.start_char as start, s.end_char as "end", s.cited, s.verdict, s.lexical,
                   s.similarity, s.missing
            from public.message_support s join public.messages m on (m.id, m.attempt) = (s.message_id, s.attempt)
            where s.message_id = any (%s) order by s.message_id, s.ordinal
            """,
            [list(message_ids)],
        ):
            found[row.pop("message_id")].append(SentenceSupport(**row))
    return found
