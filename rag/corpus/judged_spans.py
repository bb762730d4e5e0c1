"""Judgements follow corrections: their spans move with the text they name, as marks do. ``conn`` runs as the person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from rag.corpus.corrections import Edit, move_span

#: Beyond any text, so that spans on their way from one place to another never meet those that stay.
_ASIDE = 1_000_000_000


def move_judgements(conn: psycopg.Connection[Any], document_id: UUID, edits: Sequence[Edit], revision: int) -> None:
    """Make the document's judgements say the text of ``revision``; one whose text is gone goes too.

    Where two of a question come to name the same characters, the better grade stays.
    """
    rows = conn.execute(
        """
        select id, question_id, start_char, end_char from public.judgements
        where document_id = %s and start_char is not null order by grade desc, id
        """,
        [document_id],
    ).fetchall()
    moved: dict[tuple[int, int, int], int] = {}
    gone: list[int] = []
    for id_, question, start, end in rows:
        span = move_span(start, end, edits)
        if span is None or (question, *span) in moved:
            gone.append(id_)
        else:
            moved[(question, *span)] = id_
    if gone:
        conn.execute("delete from public.judgements where id = any (%s)", [gone])
    before = {id_: (start, end) for id_, _, start, end in rows}
    changed = [(id_, start, end) for (_, start, end), id_ in moved.items() if before[id_] != (start, end)]
    if changed:
        _move(conn, changed)
    conn.execute("update public.judgements set text_revision = %s where document_id = %s", [revision, document_id])


def _move(conn: psycopg.Connection[Any], spans: Sequence[tuple[int, int, int]]) -> None:
    """In two steps: in one, a span could pass through the place of another that still has to move."""
    ids, starts, ends = (list(column) for column in zip(*spans, strict=True))
    conn.execute(
        "update public.judgements set start_char = start_char + %s, end_char = end_char + %s where id = any (%s)",
        [_ASIDE, _ASIDE, ids],
    )
    conn.execute(
        """
        update public.judgements j set start_char = v.start_char, end_char = v.end_char
        from unnest(%s::bigint[], %s::int[], %s::int[]) as v (id, start_char, end_char) where j.id = v.id
        """,
        [ids, starts, ends],
    )
