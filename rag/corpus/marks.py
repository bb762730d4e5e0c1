"""Marks on spans of a document's text: exclusions from search, and tags. They outlive an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.records import SpanMark

_COLUMNS = 'id, document_id, start_char as start, end_char as "end", kind, tag'


def list_marks(conn: psycopg.Connection[Any], document_id: UUID) -> list[SpanMark]:
    """The document's marks in text order."""
    with conn.cursor(row_factory=class_row(SpanMark)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from public.span_marks where document_id = %s order by start_char, end_char, id",
            [document_id],
        ).fetchall()


def exclude_span(conn: psycopg.Connection[Any], document_id: UUID, start: int, end: int) -> int:
    """Keep characters ``start`` to ``end`` (exclusive) out of search; returns the mark's id.

    A chunk drops out when at least half of it is excluded. The same span twice is one mark.
    """
    return _add(conn, document_id, start, end, None)


def tag_span(conn: psycopg.Connection[Any], document_id: UUID, start: int, end: int, tag: str) -> int:
    """Tag characters ``start`` to ``end`` (exclusive); returns the mark's id. The same tag twice is one mark."""
    tag = " ".join(tag.replace("\x00", "").split())
    if not 1 <= len(tag) <= 80:
        raise InvalidInput("A tag needs 1 to 80 characters.")
    return _add(conn, document_id, start, end, tag)


def remove_mark(conn: psycopg.Connection[Any], mark_id: int) -> SpanMark:
    """Remove one mark and return it, for :func:`restore_marks` to undo this."""
    removed = remove_marks(conn, [mark_id])
    if not removed:
        raise NotFound("That mark is gone already, or you may not change it.")
    return removed[0]


def remove_marks(conn: psycopg.Connection[Any], mark_ids: Sequence[int]) -> list[SpanMark]:
    """Remove marks and return those that were there, for :func:`restore_marks` to undo this."""
    with conn.cursor(row_factory=class_row(SpanMark)) as cursor:
        return cursor.execute(
            f"delete from public.span_marks where id = any (%s) returning {_COLUMNS}", [list(mark_ids)]
        ).fetchall()


def restore_marks(conn: psycopg.Connection[Any], marks: Sequence[SpanMark]) -> list[int]:
    """Put removed marks back; returns their new ids, in the same order."""
    return [_add(conn, mark.document_id, mark.start, mark.end, mark.tag) for mark in marks]


def _add(conn: psycopg.Connection[Any], document_id: UUID, start: int, end: int, tag: str | None) -> int:
    _check_span(conn, document_id, start, end)
    span = {"document": document_id, "start": start, "end": end, "tag": tag, "kind": "tag" if tag else "exclusion"}
    same = conn.execute(
        """
        select id from public.span_marks
        where document_id = %(document)s and kind = %(kind)s and start_char = %(start)s and end_char = %(end)s
          and tag is not distinct from %(tag)s
        """,
        span,
    ).fetchone()
    if same is not None:
        # Where it came of an act of curation: from now on it is somebody's own, and stays when that is undone.
        conn.execute("update public.span_marks set by_acts = false where id = %s and by_acts", [same[0]])
        return int(same[0])
    try:
        made = conn.execute(
            """
            insert into public.span_marks (document_id, collection_id, start_char, end_char, kind, tag)
            select id, collection_id, %(start)s, %(end)s, %(kind)s, %(tag)s
            from public.documents where id = %(document)s
            returning id
            """,
            span,
        ).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed("You may read this document but not mark it.", hint="Ask an owner for editing.") from error
    assert made is not None
    return int(made[0])


def _check_span(conn: psycopg.Connection[Any], document_id: UUID, start: int, end: int) -> None:
    row = conn.execute("select char_count from public.documents where id = %s", [document_id]).fetchone()
    if row is None:
        raise NotFound("That document doesn't exist, or it isn't shared with you.")
    length = row[0] or 0
    if not 0 <= start < end <= length:
        raise InvalidInput(f"Choose a part of the text: it has {length:,} characters, and {start} to {end} is none.")
