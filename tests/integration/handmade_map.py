"""A map without UMAP: every embedded chunk of an index on a grid, in the order of their ids."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from rag.mapping.maps import CorpusMap, read_map
from rag.store.database import Database
from tests.integration.searchable import active_index


def draw_map(database: Database, collection: UUID, owner: UUID, *, without: Collection[int] = ()) -> CorpusMap:
    """The nth chunk, from 0, lies at (n % 32, n // 32) thousands in leaf n % 4; ``without`` have no point."""
    with database.as_owner() as conn:
        index = active_index(conn, collection)
        row = conn.execute(
            "insert into public.maps (collection_id, index_id, state, settings, drawn_at, finished_at)"
            " values (%s, %s, 'done', '{\"neighbours\": 15, \"min_dist\": 0.1}', now(), now()) returning id",
            [collection, index],
        ).fetchone()
        assert row is not None
        conn.execute(
            "insert into public.map_points (map_id, place, chunk_id, collection_id, document_id, x, y, leaf)"
            " select %(map)s, n, id, collection_id, document_id, n %% 32 * 1000, n / 32 * 1000, n %% 4 from ("
            "  select c.id, c.collection_id, c.document_id, (row_number() over (order by c.id) - 1)::int as n"
            "  from public.chunks c join public.embeddings e on e.chunk_id = c.id"
            "  where c.index_id = %(index)s and c.id <> all (%(without)s)) c",
            {"map": row[0], "index": index, "without": list(without)},
        )
        conn.execute(
            "update public.maps set points = (select count(*) from public.map_points p where p.map_id = maps.id)"
            " where id = %s",
            [row[0]],
        )
    with database.as_user(owner) as conn:
        return read_map(conn, row[0])
