"""What a conversation is kept to: documents or a selection of its collection. ``conn`` runs as the person who asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Connection

from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.retrieval.scopes import Piece, make_scope


class NamedDocument(NamedTuple):
    """A document by which a conversation is kept."""

    id: UUID
    name: str


def list_searchable(conn: Connection[Any], collection_id: UUID, most: int, part: str = "") -> list[NamedDocument]:
    """Documents of the collection that have a text and, in any case, ``part`` in their name; ``most``, by name."""
    rows = conn.execute(
        """
        select id, name from public.documents
        where collection_id = %s and char_count > 0 and trashed_at is null and strpos(lower(name), lower(%s)) > 0
        order by lower(name), id limit %s
        """,
        [collection_id, part.replace("\x00", "").strip(), most],
    )
    return [NamedDocument(*row) for row in rows]


def scope_of_documents(conn: Connection[Any], collection_id: UUID, document_ids: Sequence[UUID]) -> int:
    """A selection without a name of the whole texts of these documents; its id.

    Raises :class:`InvalidInput` where none of them has a text in this collection, and :class:`NotFound`.
    """
    rows = conn.execute(
        "select id, char_count from public.documents where collection_id = %s and id = any (%s) and char_count > 0",
        [collection_id, list(document_ids)],
    ).fetchall()
    if not rows:
        raise InvalidInput(
            "None of these documents has a text yet.", hint="Choose others, or wait until they are read."
        )
    return make_scope(conn, collection_id, None, [Piece(document, 0, length) for document, length in rows])


def whole_documents(conn: Connection[Any], scope_id: int) -> list[NamedDocument] | None:
    """The documents that the selection is, by name; None where it is passages, or has parts of a document alone."""
    rows = conn.execute(
        """
        select d.id, d.name, bool_and(s.start_char = 0 and s.end_char >= d.char_count) from public.scope_spans s
        join public.scopes o on o.id = s.scope_id
        join public.documents d on d.id = s.document_id and d.collection_id = o.collection_id and d.trashed_at is null
        where s.scope_id = %s group by d.id, d.name order by lower(d.name), d.id
        """,
        [scope_id],
    ).fetchall()
    if not rows or not all(whole for _, _, whole in rows):
        return None
    return [NamedDocument(document, name) for document, name, _ in rows]


def keep_to(conn: Connection[Any], chat_id: UUID, scope_id: int) -> None:
    """From the next question on, answer from this selection alone. Answers asked for already are made as they were.

    Raises :class:`NotFound` for a selection that can't be used there, :class:`NotAllowed` for anybody but the owner.
    """
    try:
        changed = conn.execute("update public.chats set scope_id = %s where id = %s", [scope_id, chat_id]).rowcount
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ForeignKeyViolation) as error:
        raise NotFound("That selection doesn't exist any more, or it isn't shared with you.") from error
    if not changed:
        raise NotAllowed("Only whoever began this conversation chooses what it asks.")
