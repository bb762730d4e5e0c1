"""What unrelated passages score under a collection's model, so that a threshold means something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class Baseline:
    """Cosine similarity of pairs of unrelated passages under ``model``: their mean and 95th percentile."""

    model: str
    mean: float
    p95: float


def read_baseline(conn: psycopg.Connection[Any], collection_id: UUID, index_id: int | None = None) -> Baseline | None:
    """Of the collection's active index, or the one that is named; None until a worker has measured its model."""
    with conn.cursor(row_factory=class_row(Baseline)) as cursor:
        return cursor.execute(
            """
            select m.name as model, m.random_mean::float8 as mean, m.random_p95::float8 as p95
            from public.collections c
            join public.indexes i on i.collection_id = c.id and i.id = coalesce(%s, c.active_index_id)
            join public.embedding_models m on m.id = i.model_id
            where c.id = %s and m.random_mean is not null and m.random_p95 is not null
            """,
            [index_id, collection_id],
        ).fetchone()
