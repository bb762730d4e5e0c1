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

#: A number of an embedding takes two bytes (halfvec).
_BYTES_PER_NUMBER = 2


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One index and how far it is filled; ``complete`` means that it can be swapped in.

    ``documents`` are chunked for it, ``expected`` would be when it is done: all that have text. ``chars`` and
    ``chars_expected`` are their lengths. ``answered_until`` is when it was the active one last; None if it never was,
    or is. ``problem`` says why nothing goes on, and ``problem_hint`` what to do.
    """

    id: int
    state: IndexState
    model_id: int
    provider: str
    model: str
    dimensions: int
    window: int
    chunking: dict[str, Any]
    paused: bool
    problem: str | None
    problem_hint: str | None
    answered_until: datetime | None
    documents: int
    expected: int
    chars: int
    chars_expected: int
    chunks: int
    embedded: int
    failed: int
    complete: bool
    created_at: datetime

    @property
    def model_row(self) -> ModelRow:
        """What embeds its passages and the questions to it."""
        return ModelRow(self.model_id, self.provider, self.model, self.dimensions, self.window)

    @property
    def vector_bytes(self) -> int:
        """What its vectors take by themselves, without the graph over them."""
        return self.embedded * self.dimensions * _BYTES_PER_NUMBER

    @property
    def remaining(self) -> int | None:
        """Chunks that still want a vector, those of unread documents going by the read ones; None without any."""
        known = self.chunks - self.embedded - self.failed
        unread = self.chars_expected - self.chars
        if unread <= 0:
            return known
        return known + round(unread * self.chunks / self.chars) if self.chunks and self.chars else None

    @property
    def unfinished(self) -> bool:
        """Whether workers have something to do for it, or would if it weren't paused."""
        return self.state != "retired" and (
            self.documents < self.expected or self.embedded + self.failed < self.chunks or self.state == "building"
        )


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


def list_indexes(conn: psycopg.Connection[Any], collection_id: UUID, index_id: int | None = None) -> list[IndexRow]:
    """The collection's indexes, the active one first, then the newest; retired ones last. Or that one alone."""
    with conn.cursor(row_factory=class_row(IndexRow)) as cursor:
        return cursor.execute(
            """
            with texts as (
                select d.id, d.text_revision, coalesce(d.char_count, 0) as chars from public.documents d
                where d.collection_id = %(collection)s and d.text_revision > 0 and d.stage <> 'cancelled'
            )
            select i.id, i.state, m.id as model_id, m.provider, m.name as model, m.dimensions,
                   m.window_tokens as window, i.chunking, i.paused, i.problem, i.problem_hint, i.answered_until,
                   i.created_at,
                   i.state <> 'retired' and not i.paused and public.index_is_complete(i.id) as complete,
                   s.*, (select count(*)::int from texts) as expected,
                   (select coalesce(sum(chars), 0)::bigint from texts) as chars_expected
            from public.indexes i
            join public.embedding_models m on m.id = i.model_id
            cross join lateral (
                select count(*) filter (where t.id is not null)::int as documents,
                       coalesce(sum(t.chars), 0)::bigint as chars,
                       coalesce(sum(x.chunk_count), 0)::int as chunks,
                       coalesce(sum(x.embedded_count), 0)::int as embedded,
                       coalesce(sum(x.failed_count), 0)::int as failed
                from public.index_documents x
                left join texts t on t.id = x.document_id and t.text_revision <= x.text_revision
                where x.index_id = i.id
            ) s
            where i.collection_id = %(collection)s and i.id = coalesce(%(index)s, i.id)
            order by array_position(array['active', 'ready', 'building', 'retired'], i.state), i.id desc
            """,
            {"collection": collection_id, "index": index_id},
        ).fetchall()


def get_index(conn: psycopg.Connection[Any], collection_id: UUID, index_id: int) -> IndexRow:
    """One of :func:`list_indexes`; :class:`NotFound` if there is none such."""
    found = list_indexes(conn, collection_id, index_id)
    if not found:
        raise NotFound("That index does not exist, or its collection isn't shared with you.")
    return found[0]


def build_index(
    conn: psycopg.Connection[Any], collection_id: UUID, chunking: dict[str, Any], model_id: int | None = None
) -> int:
    """Start a second index beside the active one; workers fill it. Returns its id."""
    return int(_call(conn, "build_index(%s, %s, %s)", [collection_id, Jsonb(chunking), model_id]))


def pause_index(conn: psycopg.Connection[Any], index_id: int) -> None:
    """Let nothing be done for an index that doesn't answer; what it has stays."""
    _call(conn, "pause_index(%s)", [index_id])


def resume_index(conn: psycopg.Connection[Any], index_id: int) -> None:
    """Take up a paused index, and what was given up on for it."""
    _call(conn, "resume_index(%s)", [index_id])


def activate_index(conn: psycopg.Connection[Any], index_id: int) -> None:
    """Swap a complete index in; the one it replaces stays ready, for swapping back."""
    _call(conn, "activate_index(%s)", [index_id])


def retire_index(conn: psycopg.Connection[Any], index_id: int) -> None:
    """Drop an index that doesn't answer; a large one is emptied by the workers."""
    _call(conn, "retire_index(%s)", [index_id])


def _call(conn: psycopg.Connection[Any], call: str, values: list[Any]) -> Any:
    try:
        row = conn.execute(f"select public.{call}", values).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(_sentence(error)) from error
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        hint = "Wait until all of its chunks are embedded." if "complete" in _sentence(error) else ""
        raise InvalidInput(_sentence(error), hint=hint) from error
    return row[0] if row else None


def _sentence(error: psycopg.Error) -> str:
    return error.diag.message_primary or "The database refused that."
