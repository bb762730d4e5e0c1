"""Scopes follow corrections: their spans move with the text, as marks do. ``conn`` runs as the person who corrects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from rag.corpus.corrections import Edit, move_span


def move_scopes(conn: psycopg.Connection[Any], document_id: UUID, edits: Sequence[Edit]) -> None:
    """Move the spans of everybody's scopes in this document; one of whose text nothing is left goes."""
    spans = conn.execute("select start_char, end_char from corpuscope.list_scope_spans(%s)", [document_id]).fetchall()
    moves = [(start, end, move_span(start, end, edits)) for start, end in spans if end > edits[0].start]
    changed = [(start, end, *(moved or (None, None))) for start, end, moved in moves if moved != (start, end)]
    if changed:
        conn.execute(
            "select corpuscope.move_scope_spans(%s, %s::int[], %s::int[], %s::int[], %s::int[])",
            [document_id, *(list(column) for column in zip(*changed, strict=True))],
        )
