"""Parsed texts, their corrections and their chunks. Offsets count code points, end exclusive."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rag.corpus.act_spans import move_acts
from rag.corpus.corrections import Edit, find_edits, move_pages, move_span
from rag.corpus.documents import get_document
from rag.corpus.judged_spans import move_judgements
from rag.corpus.scope_spans import move_scopes
from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.records import ChunkRow, DocumentText


def page_of(page_starts: list[int], offset: int) -> int | None:
    """The page, counted from 1, that holds ``offset``; None in a text without pages."""
    return max(1, bisect_right(page_starts, offset)) if page_starts else None


def read_text(conn: psycopg.Connection[Any], document_id: UUID, revision: int | None = None) -> DocumentText:
    """The parsed text, by default the current revision; :class:`NotFound` says when there is none yet."""
    with conn.cursor(row_factory=class_row(DocumentText)) as cursor:
        found = cursor.execute(
            """
            select t.document_id, t.revision, t.text, t.page_starts
            from public.document_texts t join public.documents d on d.id = t.document_id
            where t.document_id = %s and t.revision = coalesce(%s, d.text_revision)
            """,
            [document_id, revision],
        ).fetchone()
    if found is None:
        get_document(conn, document_id)
        raise NotFound(
            "This document has no text yet." if revision is None else f"This document has no revision {revision}."
        )
    return found


def list_chunks(conn: psycopg.Connection[Any], document_id: UUID) -> list[ChunkRow]:
    """The document's chunks in the collection's active index, in text order."""
    with conn.cursor(row_factory=class_row(ChunkRow)) as cursor:
        return cursor.execute(
            """
            select k.id, k.ordinal, k.start_char as start, k.end_char as "end", k.page, k.heading_path, k.text,
                   k.token_count, k.excluded,
                   exists (select from public.embeddings e where e.chunk_id = k.id) as embedded
            from public.documents d
            join public.collections c on c.id = d.collection_id
            join public.chunks k on k.index_id = c.active_index_id and k.document_id = d.id
            where d.id = %s order by k.ordinal
            """,
            [document_id],
        ).fetchall()


def correct_text(
    conn: psycopg.Connection[Any], document_id: UUID, base_revision: int, start: int, end: int, replacement: str
) -> int:
    """Replace characters ``start`` to ``end`` of revision ``base_revision``; returns the new revision.

    Page starts, marks and judgements move with the text; those whose text is gone go too. Where ``replacement``
    repeats the old text, only what differs counts as changed, so a whole text can be handed back.
    :class:`InvalidInput` when somebody corrected the text since ``base_revision``; without a difference nothing is
    written.
    """
    current = _lock_text(conn, document_id, base_revision)
    if not 0 <= start <= end <= len(current.text):
        raise InvalidInput(
            f"Characters {start} to {end} are not part of this text of {len(current.text):,} characters."
        )
    new = current.text[:start] + _storable(replacement) + current.text[end:]
    return _write(conn, current, new, None)


def restore_revision(conn: psycopg.Connection[Any], document_id: UUID, revision: int) -> int:
    """Make an earlier revision's text current again, as a new revision, which is returned: this undoes corrections."""
    old = read_text(conn, document_id, revision)
    current = _lock_text(conn, document_id, None)
    return _write(conn, current, old.text, old.page_starts)


def _lock_text(conn: psycopg.Connection[Any], document_id: UUID, base_revision: int | None) -> DocumentText:
    row = conn.execute("select text_revision from public.documents where id = %s for update", [document_id]).fetchone()
    if row is None:
        get_document(conn, document_id)
        raise NotAllowed("You may read this document but not correct it.", hint="Ask an owner for editing.")
    if base_revision is not None and row[0] != base_revision:
        raise InvalidInput(
            "Somebody corrected this text while you did.", hint="Reload it, then make your correction again."
        )
    return read_text(conn, document_id)


def _storable(text: str) -> str:
    """Without what Postgres can't hold: NUL and lone surrogates."""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")


def _write(conn: psycopg.Connection[Any], current: DocumentText, text: str, page_starts: list[int] | None) -> int:
    edits = find_edits(current.text, text)
    if not edits:
        return current.revision
    if not text.strip():
        raise InvalidInput("A document can't be left without text.", hint="Delete the document instead.")
    _move_marks(conn, current.document_id, edits)
    move_judgements(conn, current.document_id, edits, current.revision + 1)
    move_scopes(conn, current.document_id, edits)
    move_acts(conn, current.document_id, edits)
    if page_starts is None:
        page_starts = move_pages(current.page_starts, edits)
    conn.execute(
        """
        insert into public.document_texts (document_id, revision, text, page_starts, edited_by)
        values (%s, %s, %s, %s, auth.uid())
        """,
        [current.document_id, current.revision + 1, text, page_starts],
    )
    return current.revision + 1


def _move_marks(conn: psycopg.Connection[Any], document_id: UUID, edits: list[Edit]) -> None:
    marks = conn.execute(
        "select id, start_char, end_char from public.span_marks where document_id = %s and end_char > %s",
        [document_id, edits[0].start],
    ).fetchall()
    moved = {mark_id: move_span(start, end, edits) for mark_id, start, end in marks}
    kept = [(mark_id, *span) for mark_id, span in moved.items() if span is not None]
    gone = [mark_id for mark_id, span in moved.items() if span is None]
    if gone:
        conn.execute("delete from public.span_marks where id = any (%s)", [gone])
    if kept:
        ids, starts, ends = (list(column) for column in zip(*kept, strict=True))
        conn.execute(
            """
            update public.span_marks m set start_char = v.start_char, end_char = v.end_char
            from unnest(%s::bigint[], %s::int[], %s::int[]) as v (id, start_char, end_char) where m.id = v.id
            """,
            [ids, starts, ends],
        )
