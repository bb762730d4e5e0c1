"""The trash of a collection: documents that were deleted and can be had back. ``conn`` runs as an editor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from rag.errors import InvalidInput, NotAllowed

#: Days until upkeep deletes for good; the schema says the same.
KEPT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Trashed:
    """A document in the trash, with as many ``passages`` in the active index; it is deleted for good at ``goes_at``."""

    id: UUID
    name: str
    title: str | None
    size: int
    trashed_at: datetime
    goes_at: datetime
    act_id: int | None
    trashed_by: UUID | None
    passages: int


def list_trash(conn: Connection[Any], collection_id: UUID) -> list[Trashed]:
    """What lies in the trash, the latest first; nothing for those who may not edit."""
    with conn.cursor(row_factory=class_row(Trashed)) as cursor:
        return cursor.execute("select * from public.list_trash(%s)", [collection_id]).fetchall()


def restore_documents(conn: Connection[Any], document_ids: Sequence[UUID]) -> int:
    """Take documents out of the trash with their chunks, vectors, marks and judgements; returns how many."""
    return _call(conn, "select public.restore_documents(%s)", [list(document_ids)])


def delete_for_good(conn: Connection[Any], collection_id: UUID, document_ids: Sequence[UUID]) -> int:
    """Delete these documents of the trash; there is no way back. Returns how many."""
    return _call(conn, "select public.purge_documents(%s, %s)", [collection_id, list(document_ids)])


def empty_trash(conn: Connection[Any], collection_id: UUID) -> int:
    """Delete everything in the trash of a collection for good; returns how many documents."""
    return _call(conn, "select public.purge_documents(%s)", [collection_id])


def _call(conn: Connection[Any], statement: str, values: Sequence[Any]) -> int:
    try:
        row = conn.execute(statement.encode(), values).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(error.diag.message_primary, hint="Ask an owner for editing.") from error
    except psycopg.errors.RaiseException as error:
        raise InvalidInput(error.diag.message_primary, hint=error.diag.message_hint) from error
    return int(row[0]) if row else 0
