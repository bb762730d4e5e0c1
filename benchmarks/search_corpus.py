"""What :mod:`benchmarks.bench_search` searches: synthetic vectors and words, written past the triggers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import Connection

from rag.store.bootstrap import LOCAL_USER
from rag.store.database import Database

DIMENSIONS = 384
CHUNKS_A_DOCUMENT = 50

Row = dict[str, Any]
Vectors = NDArray[np.float16]


@dataclass
class Corpus:
    """One collection: its rows of the vectors, and its documents in the same order."""

    collection: UUID
    index: int
    model: int
    vectors: Vectors
    documents: list[UUID]


def cluster(rows: int, queries: int) -> tuple[Vectors, Vectors]:
    """Points around 1,000 centres, and questions near some of them."""
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(1000, DIMENSIONS))
    points = centres[rng.integers(0, 1000, rows)] + rng.normal(scale=0.7, size=(rows, DIMENSIONS))
    near = points[rng.integers(0, rows, queries)] + rng.normal(scale=0.5, size=(queries, DIMENSIONS))
    return points.astype(np.float16), near.astype(np.float16)


def fill(admin: Connection[Any], database: Database, vectors: Vectors) -> tuple[Corpus, Corpus, Corpus]:
    """The whole under one model; under the other a tenth, a half and what is left."""
    rows = len(vectors)
    whole = store_collection(admin, database, "one", "everything", vectors)
    tenth = store_collection(admin, database, "two", "a tenth", vectors[: rows // 10])
    half = store_collection(admin, database, "two", "a half", vectors[-rows // 2 :])
    store_collection(admin, database, "two", "the rest", vectors[rows // 10 : -rows // 2])
    admin.execute("vacuum analyze")
    for model in (whole.model, tenth.model):
        _tell(f"building the vector index of model {model}")
        admin.execute("select corpuscope.ensure_vector_index(%s)", [model])
    admin.execute("vacuum analyze")
    return whole, tenth, half


def store_collection(
    admin: Connection[Any],
    database: Database,
    model: str,
    name: str,
    vectors: Vectors,
    *,
    words: bool = True,
    length: int = 60,
) -> Corpus:
    """A collection of these vectors, written past the triggers; its words, ``length`` a chunk, as a worker would."""
    _tell(f"writing {len(vectors):,} chunks")
    register = "select corpuscope.register_model('local', %s, %s, 256, '', '')"
    model_id = _value(admin, register, [model, DIMENSIONS])
    with database.as_user(LOCAL_USER) as conn:
        collection = _value(conn, "select create_collection(%s)", [name])
    index = _value(admin, "select active_index_id from collections where id = %s", [collection])
    owner = {"collection": collection, "index": index, "model": model_id, "size": CHUNKS_A_DOCUMENT}
    with admin.transaction():
        admin.execute("set local session_replication_role = replica")
        documents = admin.execute(
            "insert into documents (collection_id, name, size, sha256, language, text_revision, stage)"
            " select %(collection)s, n::text, 1, sha256(n::text::bytea), 'en', 1, 'ready'"
            " from generate_series(1, %(documents)s) n returning id",
            owner | {"documents": -(-len(vectors) // CHUNKS_A_DOCUMENT)},
        ).fetchall()
        admin.execute(
            "insert into index_documents select %(index)s, d.id, d.collection_id, 1, %(size)s, %(size)s, 0"
            " from documents d where d.collection_id = %(collection)s",
            owner,
        )
        ids = [row[0] for row in documents]
        chunks = _copy_chunks(admin, owner, ids, write_texts(len(vectors), length))
        _copy_vectors(admin, owner, ids, chunks, vectors)
    for start in range(0, len(chunks) if words else 0, 64):
        admin.execute("select corpuscope.index_lexical(%s)", [chunks[start : start + 64]])
    return Corpus(collection, index, model_id, vectors, ids)


def _copy_chunks(admin: Connection[Any], owner: Row, documents: list[UUID], texts: list[str]) -> list[int]:
    columns = "index_id, document_id, collection_id, ordinal, start_char, end_char, text, language"
    with admin.cursor() as cursor, cursor.copy(f"copy chunks ({columns}) from stdin".encode()) as copy:
        for n, text in enumerate(texts):
            document, ordinal = documents[n // CHUNKS_A_DOCUMENT], n % CHUNKS_A_DOCUMENT
            start = ordinal * 1000
            copy.write_row((owner["index"], document, owner["collection"], ordinal, start, start + 999, text, "en"))
    return [row[0] for row in admin.execute("select id from chunks where index_id = %s order by id", [owner["index"]])]


def _copy_vectors(
    admin: Connection[Any], owner: Row, documents: list[UUID], chunks: list[int], vectors: Vectors
) -> None:
    columns = "chunk_id, model_id, index_id, collection_id, document_id, content_hash, embedding"
    place = (owner["model"], owner["index"], owner["collection"])
    with admin.cursor() as cursor, cursor.copy(f"copy embeddings ({columns}) from stdin".encode()) as copy:
        for n, (chunk, vector) in enumerate(zip(chunks, vectors, strict=True)):
            copy.write_row((chunk, *place, documents[n // CHUNKS_A_DOCUMENT], b"", HalfVector(vector).to_text()))


def write_texts(rows: int, length: int = 60) -> list[str]:
    """``length`` words each, with frequencies that fall as Zipf's law says."""
    rng = np.random.default_rng(11)
    consonants, vowels = list("bdfgklmnprst"), list("aeiou")
    syllables = np.array([a + b for a in consonants for b in vowels])
    vocabulary = np.array(["".join(rng.choice(syllables, rng.integers(2, 5))) for _ in range(40_000)])
    shares = np.cumsum(1 / np.arange(3, 40_003))
    words = vocabulary[np.searchsorted(shares / shares[-1], rng.random((rows, length)))]
    return [" ".join(row) for row in words]


def _value(conn: Connection[Any], query: str, values: Sequence[Any]) -> Any:
    row = conn.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]


def _tell(what: str) -> None:
    print(f"  {what}…", file=sys.stderr, flush=True)
