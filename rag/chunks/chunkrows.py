"""Writes a document's chunks into an index and keeps every row whose content is the same, and with it its vector."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.chunks.chunking import Chunk

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


Outcome = Literal["stored", "unwanted", "busy"]


def store_chunks(
    conn: Connection[Any], document_id: UUID, revision: int, index_id: int, chunks: Sequence[Chunk]
) -> Outcome:
    """Make ``chunks`` the document's chunks in the index; triggers queue what must be embedded.

    Nothing is changed if that is ``unwanted`` by now (the document is gone, cancelled or has a newer text, or the index
    is retired), or if somebody is changing the same rows: ``busy``, try again in a moment.
    """
    locked = conn.execute(
        "select corpuscope.lock_for_chunking(%s, %s, %s)", [document_id, revision, index_id]
    ).fetchone()
    assert locked is not None
    if locked[0] != "wanted":
        return "unwanted" if locked[0] == "unwanted" else "busy"
    owner = conn.execute(
        """
        insert into public.index_documents (index_id, document_id, collection_id, text_revision)
        select %s, id, collection_id, %s from public.documents where id = %s
        on conflict (index_id, document_id) do update set text_revision = excluded.text_revision
        returning index_id, document_id, collection_id,
                  (select d.language from public.documents d where d.id = index_documents.document_id)
        """,
        [index_id, revision, document_id],
    ).fetchone()
    assert owner is not None
    changes = find_changes(read_stored(conn, index_id, document_id), chunks)
    if changes.gone:
        conn.execute("delete from public.chunks where id = any (%s)", [changes.gone])
    _move(conn, changes.moved)
    _insert(conn, owner, changes.new)
    return "stored"


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


def _insert(conn: Connection[Any], owner: tuple[Any, ...], chunks: Sequence[Chunk]) -> None:
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
