"""Chunks in a collection without the work of parsing and embedding: for the tests of searching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.store.database import Database


def add_document(
    database: Database,
    collection: UUID,
    texts: Sequence[str],
    *,
    name: str = "a.txt",
    language: str | None = "en",
    vectors: Sequence[Sequence[float]] | None = None,
    index: bool = True,
) -> tuple[UUID, list[int]]:
    """A document cut into these chunks, in the lexical index unless told not to; its id and theirs."""
    with database.as_owner() as conn, conn.transaction():
        document = _one(
            conn,
            "insert into documents (collection_id, name, size, sha256, language, text_revision)"
            " values (%s, %s, 1, sha256(convert_to(%s, 'UTF8')), %s, 1) returning id",
            [collection, name, name, language],
        )
        home = active_index(conn, collection)
        conn.execute(
            "insert into index_documents (index_id, document_id, collection_id, text_revision) values (%s, %s, %s, 1)",
            [home, document, collection],
        )
        rows = conn.execute(
            "insert into chunks (index_id, document_id, collection_id, ordinal, start_char, end_char, text, language)"
            " select %s, %s, %s, n - 1, n * 100, n * 100 + 50, t, %s"
            " from unnest(%s::text[]) with ordinality as u (t, n) returning id",
            [home, document, collection, language, list(texts)],
        ).fetchall()
    ids = [row[0] for row in rows]
    if index:
        index_chunks(database, ids)
    if vectors is not None:
        embed_chunks(database, ids, vectors)
    return document, ids


def index_chunks(database: Database, ids: Sequence[int]) -> int:
    with database.as_worker() as conn:
        return int(_one(conn, "select corpuscope.index_lexical(%s::bigint[])", [list(ids)]))


def embed_chunks(database: Database, ids: Sequence[int], vectors: Sequence[Sequence[float]]) -> None:
    with database.as_worker() as conn:
        conn.execute(
            "select corpuscope.store_embeddings(%s::bigint[], (select array_agg(c.content_hash order by u.n)"
            " from unnest(%s::bigint[]) with ordinality as u (id, n) join chunks c using (id)),"
            " %s::text[]::extensions.halfvec[])",
            [list(ids), list(ids), [str(list(vector)) for vector in vectors]],
        )


def active_index(conn: Connection[Any], collection: UUID) -> int:
    return int(_one(conn, "select active_index_id from collections where id = %s", [collection]))


def _one(conn: Connection[Any], query: str, values: Sequence[Any]) -> Any:
    row = conn.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]
