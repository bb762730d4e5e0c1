"""How far a passage is read beyond the chunk that was found: its neighbours in the document, none of them twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.records import Hit

#: Code points of a document's text, end exclusive.
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A chunk near the chunk ``of``, ``distance`` chunks after it (before it: negative)."""

    of: int
    distance: int
    start: int
    end: int
    excluded: bool


def widen(conn: Connection[Any], hits: Sequence[Hit], reach: int) -> list[Span]:
    """For each hit the span of its document to read: with up to ``reach`` chunks before and after it.

    See :func:`widen_spans` for what is left out. ``conn`` runs as whoever asks.
    """
    if not reach or not hits:
        return [(hit.start, hit.end) for hit in hits]
    near: dict[int, list[Neighbour]] = defaultdict(list)
    with conn.cursor(row_factory=class_row(Neighbour)) as cursor:
        rows = cursor.execute(
            "select middle.id as of, c.ordinal - middle.ordinal as distance,"
            ' c.start_char as start, c.end_char as "end", c.excluded'
            " from public.chunks middle join public.chunks c"
            " on (c.index_id, c.document_id) = (middle.index_id, middle.document_id)"
            " and c.ordinal between middle.ordinal - %s and middle.ordinal + %s"
            " where middle.id = any (%s)",
            [reach, reach, [hit.chunk_id for hit in hits]],
        )
        for row in rows:
            near[row.of].append(row)
    return widen_spans(hits, near)


def widen_spans(hits: Sequence[Hit], near: Mapping[int, Sequence[Neighbour]]) -> list[Span]:
    """The span to read for each hit, best first.

    None reaches beyond an excluded chunk, nor into the chunks of other hits, nor into what was added to better ones.
    """
    read: dict[UUID, list[tuple[int, Span]]] = defaultdict(list)
    for hit in hits:
        read[hit.document_id].append((hit.chunk_id, (hit.start, hit.end)))
    spans = []
    for hit in hits:
        start, end = _reach(hit, near.get(hit.chunk_id, ()))
        for chunk, (other_start, other_end) in read[hit.document_id]:
            if chunk != hit.chunk_id and other_start < hit.start:
                start = max(start, min(other_end, hit.start))
            if chunk != hit.chunk_id and other_end > hit.end:
                end = min(end, max(other_start, hit.end))
        read[hit.document_id].append((hit.chunk_id, (start, end)))
        spans.append((start, end))
    return spans


def _reach(hit: Hit, near: Sequence[Neighbour]) -> Span:
    chunks = {one.distance: one for one in near}
    start, end = hit.start, hit.end
    for step in (-1, 1):
        distance = step
        while (chunk := chunks.get(distance)) is not None and not chunk.excluded:
            start, end = min(start, chunk.start), max(end, chunk.end)
            distance += step
    return start, end
