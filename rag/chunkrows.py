"""Writes a document's chunks into an index and keeps every row whose content is the same, and with it its vector."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.chunking import Chunk

# Arrays of arrays must be rectangular in Postgres, so a heading path travels as one string.
_SEPARATOR = "\x1f"


class Place(NamedTuple):
    """Where a chunk is; all that may differ between rows of equal content."""

    ordinal: int
    start: int
    end: int
    page: int | None
    path: str
    token_count: int


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A row as it is."""

    id: int
    context: str
    text: str
    ordinal: int
    start: int
    end: int
    page: int | None
    path: str
    token_count: int

    @property
    def place(self) -> Place:
        return Place(self.ordinal, self.start, self.end, self.page, self.path, self.token_count)


@dataclass(frozen=True, slots=True)
class Changes:
    """What turns the rows of an index into the wanted chunks."""

    gone: list[int]
    moved: list[tuple[int, Place]]
    new: list[Chunk]


def store_chunks(
    conn: Connection[Any], document_id: UUID, revision: int, index_id: int, chunks: Sequence[Chunk]
) -> bool:
    """Make ``chunks`` the document's chunks in the index.

    False, and nothing changed, if that is no longer wanted: the document is gone, cancelled or has a newer text, or
    the index is retired. Triggers queue what must be embedded.
    """
    target = _lock(conn, document_id, revision, index_id)
    if target is None:
        return False
    collection_id, language = target
    conn.execute(
        """
        insert into public.index_documents (index_id, document_id, collection_id, text_revision) values (%s, %s, %s, %s)
        on conflict (index_id, document_id) do update set text_revision = excluded.text_revision
        """,
        [index_id, document_id, collection_id, revision],
    )
    changes = find_changes(read_stored(conn, index_id, document_id), chunks)
    if changes.gone:
        conn.execute("delete from public.chunks where id = any (%s)", [changes.gone])
    _move(conn, changes.moved)
    _insert(conn, (index_id, document_id, collection_id, language), changes.new)
    return True


def find_changes(stored: Iterable[StoredChunk], wanted: Iterable[Chunk]) -> Changes:
    """Match rows and chunks of equal content in order; the rest goes or is new."""
    rows: dict[tuple[str, str], deque[StoredChunk]] = defaultdict(deque)
    for row in stored:
        rows[row.context, row.text].append(row)
    changes = Changes([], [], [])
    for chunk in wanted:
        same = rows[chunk.context, chunk.text]
        if not same:
            changes.new.append(chunk)
            continue
        row, place = same.popleft(), _place(chunk)
        if row.place != place:
            changes.moved.append((row.id, place))
    changes.gone.extend(row.id for rest in rows.values() for row in rest)
    return changes


def read_stored(conn: Connection[Any], index_id: int, document_id: UUID) -> list[StoredChunk]:
    """The rows of a document in an index, in document order."""
    with conn.cursor(row_factory=class_row(StoredChunk)) as cursor:
        return cursor.execute(
            """
            select id, context, text, ordinal, start_char as start, end_char as end, page,
                   array_to_string(heading_path, %s) as path, token_count
            from public.chunks where index_id = %s and document_id = %s order by ordinal
            """,
            [_SEPARATOR, index_id, document_id],
        ).fetchall()


def _lock(conn: Connection[Any], document_id: UUID, revision: int, index_id: int) -> tuple[UUID, str | None] | None:
    """The document's collection and language if its chunks are still wanted; nobody changes that meanwhile."""
    return conn.execute(
        """
        select d.collection_id, d.language from public.documents d join public.indexes i on i.id = %s
        where d.id = %s and d.text_revision = %s and d.stage <> 'cancelled' and i.state <> 'retired'
        for no key update of d for share of i
        """,
        [index_id, document_id, revision],
    ).fetchone()


def _move(conn: Connection[Any], moved: Sequence[tuple[int, Place]]) -> None:
    if not moved:
        return
    columns = [[id for id, _ in moved], *(list(column) for column in zip(*(place for _, place in moved), strict=True))]
    conn.execute(
        f"""
        update public.chunks c
        set ordinal = m.ordinal, start_char = m.start_char, end_char = m.end_char, page = m.page,
            heading_path = string_to_array(m.path, '{_SEPARATOR}'), token_count = m.token_count
        from unnest(%b::bigint[], %b::int[], %b::int[], %b::int[], %b::int[], %b::text[], %b::int[])
            as m (id, ordinal, start_char, end_char, page, path, token_count)
        where c.id = m.id
        """,
        columns,
    )


def _insert(conn: Connection[Any], owner: tuple[int, UUID, UUID, str | None], chunks: Sequence[Chunk]) -> None:
    if not chunks:
        return
    columns = [list(column) for column in zip(*map(_place, chunks), strict=True)]
    conn.execute(
        f"""
        insert into public.chunks (index_id, document_id, collection_id, language, ordinal, start_char, end_char, page,
                                   heading_path, token_count, context, text)
        select %s, %s, %s, %s, n.ordinal, n.start_char, n.end_char, n.page,
               string_to_array(n.path, '{_SEPARATOR}'), n.token_count, n.context, n.text
        from unnest(%b::int[], %b::int[], %b::int[], %b::int[], %b::text[], %b::int[], %b::text[], %b::text[])
            as n (ordinal, start_char, end_char, page, path, token_count, context, text)
        """,
        [*owner, *columns, [chunk.context for chunk in chunks], [chunk.text for chunk in chunks]],
    )


def _place(chunk: Chunk) -> Place:
    path = _SEPARATOR.join(part.replace(_SEPARATOR, " ") for part in chunk.heading_path)
    return Place(chunk.ordinal, chunk.start, chunk.end, chunk.page, path, chunk.token_count)
