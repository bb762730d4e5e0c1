"""Where on a map the words lie that an answer of the chat quotes. ``conn`` runs as the person who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import args_row

from rag.chat.chat_records import FINAL_PHASES, Phase
from rag.mapping.asking import Point


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer that the person sees, to a question asked before; ``profile`` None is the default of its time."""

    message_id: UUID
    chat_id: UUID
    phase: Phase
    asked_at: datetime
    profile: dict[str, Any] | None

    @property
    def finished(self) -> bool:
        """True when nothing more happens by itself."""
        return self.phase in FINAL_PHASES


@dataclass(frozen=True, slots=True)
class CitedPlace:
    """One quoted passage, by its number in the answer; ``point`` is None where the map doesn't have its chunk."""

    number: int
    chunk_id: int | None
    document: str
    point: Point | None


def latest_answer(conn: Connection[Any], collection_id: UUID, question: str) -> GivenAnswer | None:
    """The newest answer in the person's chats about the collection to just this question, finished or being written."""
    with conn.cursor(row_factory=args_row(GivenAnswer)) as cursor:
        return cursor.execute(
            """
            select a.id, a.chat_id, a.phase, a.created_at, a.profile
            from public.chats c
            join public.messages q on q.chat_id = c.id and q.role = 'user' and q.content = %s
            join public.messages a on a.parent_id = q.id and a.role = 'assistant'
            where c.collection_id = %s and a.phase not in ('failed', 'stopped')
            order by a.created_at desc, a.id limit 1
            """,
            [question.replace("\x00", "").strip(), collection_id],
        ).fetchone()


def cited_places(conn: Connection[Any], map_id: int, message_id: UUID) -> list[CitedPlace]:
    """The passages that an answer cites, each at the chunk of the map's index that holds most of the first quote.

    A quote of an older text of its document counts only where the chunk that it was read in is still there.
    """
    rows = conn.execute(
        """
        with quoted as (
            select distinct on (c.number) c.number, c.start_char, c.end_char, p.document_id, p.document_name,
                   p.chunk_id, p.text_revision
            from public.citations c join public.passages p on p.message_id = c.message_id and p.number = c.number
            where c.message_id = %(message)s order by c.number, c.ordinal
        )
        select q.number, k.id, q.document_name, m.place, m.x, m.y, m.leaf
        from quoted q
        left join lateral (
            select c.id from public.maps g
            join public.chunks c on c.index_id = g.index_id and c.document_id = q.document_id
                and c.start_char < q.end_char and c.end_char > q.start_char
            join public.index_documents x on x.index_id = c.index_id and x.document_id = c.document_id
            where g.id = %(map)s and (c.id = q.chunk_id or x.text_revision = q.text_revision)
            order by c.id = q.chunk_id desc,
                least(c.end_char, q.end_char) - greatest(c.start_char, q.start_char) desc, c.id
            limit 1
        ) k on true
        left join public.map_points m on m.map_id = %(map)s and m.chunk_id = k.id
        order by q.number
        """,
        {"message": message_id, "map": map_id},
    )
    return [
        CitedPlace(number, chunk, document, Point(*point) if point[0] is not None else None)
        for number, chunk, document, *point in rows
    ]
