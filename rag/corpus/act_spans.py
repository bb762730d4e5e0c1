"""Acts of curation follow corrections: what they mean in a text moves with it. ``conn`` runs as who corrects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from rag.corpus.corrections import Edit, move_span


def move_acts(conn: psycopg.Connection[Any], document_id: UUID, edits: Sequence[Edit]) -> None:
    """Move what acts want of this document, and marks that they put aside, so that undoing still means the same."""
    spans = conn.execute("select start_char, end_char from corpuscope.list_act_spans(%s)", [document_id]).fetchall()
    moves = [(start, end, move_span(start, end, edits)) for start, end in spans if end > edits[0].start]
    changed = [(start, end, *(moved or (None, None))) for start, end, moved in moves if moved != (start, end)]
    if changed:
        conn.execute(
            "select corpuscope.move_act_spans(%s, %s::int[], %s::int[], %s::int[], %s::int[])",
            [document_id, *(list(column) for column in zip(*changed, strict=True))],
        )
