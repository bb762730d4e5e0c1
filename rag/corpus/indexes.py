"""Indexes: versions of a collection, each with its chunking and its embedding model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.vectors.models import ModelRow

IndexState = Literal["building", "ready", "active", "retired"]


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One index and how far it is filled; ``complete`` means that it can be swapped in."""

    id: int
    state: IndexState
    model: str
    dimensions: int
    chunking: dict[str, Any]
    documents: int
    chunks: int
    embedded: int
    failed: int
    complete: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SearchedIndex:
    """The index that a search looks into, and the model by which its questions are embedded."""

    id: int
    state: IndexState
    model: ModelRow


def read_searched_index(
    conn: psycopg.Connection[Any], collection_id: UUID, index_id: int | None = None
) -> SearchedIndex:
    """The active index, or the one that is named; :class:`NotFound` if the collection has none such.

    Embed the question by ``model`` and hand ``id`` on to the search: whatever is swapped in between, the vector meets
    the vectors of its own model.
    """
    row = conn.execute(
        """
        select i.id, i.state, m.id, m.provider, m.name, m.dimensions, m.window_tokens
        from public.collections c
        join public.indexes i on i.collection_id = c.id and i.id = coalesce(%s, c.active_index_id)
        join public.embedding_models m on m.id = i.model_id
        where c.id = %s and i.state <> 'retired'
        """,
        [index_id, collection_id],
    ).fetchone()
    if row is None:
        raise NotFound("That index does not exist, or its collection isn't shared with you.")
    return SearchedIndex(row[0], row[1], ModelRow(*row[2:]))


def list_indexes(conn: psycopg.Connection[Any], collection_id: UUID) -> list[IndexRow]:
    """The collection's indexes, the active one first, then the newest; retired ones last."""
    with conn.cursor(row_factory=class_row(IndexRow)) as cursor:
        return cursor.execute(
            """
            select i.id, i.state, m.name as model, m.dimensions, i.chunking, i.created_at,
                   count(x.document_id)::int as documents, coalesce(sum(x.chunk_count), 0)::int as chunks,
                   coalesce(sum(x.embedded_count), 0)::int as embedded, coalesce(sum(x.failed_count), 0)::int as failed,
                   i.state <> 'retired' and public.index_is_complete(i.id) as complete
            from public.indexes i
            join public.embedding_models m on m.id = i.model_id
            left join public.index_documents x on x.index_id = i.id
            where i.collection_id = %s
            group by i.id, m.id
            order by array_position(array['active', 'ready', 'building', 'retired'], i.state), i.id desc
            """,
            [collection_id],
        ).fetchall()


def build_index(
    conn: psycopg.Connection[Any], collection_id: UUID, chunking: dict[str, Any], model_id: int | None = None
) -> int:
    """Start a second index beside the active one; workers fill it. Returns its id."""
    return int(_call(conn, "build_index(%s, %s, %s)", [collection_id, Jsonb(chunking), model_id]))


def activate_index(conn: psycopg.Connection[Any], index_id: int) -> None:
    """Swap a complete index in; the one it replaces stays ready, for swapping back."""
    _call(conn, "activate_index(%s)", [index_id])


def retire_index(conn: psycopg.Connection[Any], index_id: int) -> None:
    """Empty an index that doesn't answer."""
    _call(conn, "retire_index(%s)", [index_id])


def _call(conn: psycopg.Connection[Any], call: str, values: list[Any]) -> Any:
    try:
        row = conn.execute(f"select public.{call}", values).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(_sentence(error)) from error
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise InvalidInput(_sentence(error), hint="Wait until all of its chunks are embedded.") from error
    return row[0] if row else None


def _sentence(error: psycopg.Error) -> str:
    return error.diag.message_primary or "The database refused that."
