"""Searching 100,000 chunks: under policies against the superuser's SQL, and filtered against the better of two plans.

Two models hold the same vectors: of the one a single collection has all, of the other three collections have 10, 40 and
50 %. The arms take turns query by query, so that what else the machine does falls on both. A search is timed as users
make it, in a transaction of its own, and so is the raw SQL, which returns the same columns and is prepared; where
filters are measured, it runs as the same user, so that the ratio is that of the plans.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import Connection

from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import search
from rag.store.bootstrap import LOCAL_USER
from rag.store.database import Database, open_embedded
from rag.store.postgres import EmbeddedPostgres

ROWS = 100_000
QUERIES = 150
DIMENSIONS = 384
CHUNKS_A_DOCUMENT = 50
RLS_TARGET, FILTER_TARGET, RECALL_TARGET = 1.3, 1.2, 0.98

Row = dict[str, Any]
Vectors = NDArray[np.float16]

_OUTPUT = """
select c.id, c.text, c.heading_path, c.page, c.start_char, c.end_char, d.id, d.name, d.title, x.text_revision,
1 - n.distance from ({inner}) n join chunks c on c.id = n.chunk_id join documents d on d.id = c.document_id
join index_documents x on x.index_id = c.index_id and x.document_id = c.document_id order by n.distance + 0 limit 10"""
_GRAPH = """select e.chunk_id, e.embedding::halfvec(384) <=> %(vector)s::halfvec(384) as distance from embeddings e
where e.model_id = {model} and e.index_id + 0 = {index} and not e.excluded {filter} order by 2 limit {limit}"""
_SCAN = """select e.chunk_id, e.embedding <=> %(vector)s::halfvec as distance from embeddings e
where e.index_id = {index} and not e.excluded {filter} order by 2 limit 10"""
#: One for the graph, since the planner would rather read the btree of documents, and one for that btree.
_GRAPH_FILTER = "and coalesce(e.document_id = any (%(documents)s), false)"
_SCAN_FILTER = "and e.document_id = any (%(documents)s)"
#: For the raw SQL; search_chunks() has its own.
_SETTINGS = ("hnsw.iterative_scan = relaxed_order", "hnsw.ef_search = 200", "enable_seqscan = off", "jit = off")


@dataclass
class Corpus:
    """One collection: its rows of the vectors, and its documents in the same order."""

    collection: UUID
    index: int
    model: int
    vectors: Vectors
    documents: list[UUID]


def run(rows: int = ROWS, queries: int = QUERIES) -> list[Row]:
    """Measure on an embedded server of its own; about five minutes."""
    with (
        tempfile.TemporaryDirectory(prefix="corpuscope-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "home") as server,
        open_embedded(server) as database,
        psycopg.connect(server.dsn("supabase_admin"), autocommit=True) as admin,
    ):
        register_vector(admin)
        _set_plans(admin)
        vectors, questions = _cluster(rows, queries)
        whole, tenth, half = _fill(admin, database, vectors)
        measured = [
            _measure_rights(admin, database, corpus, share, questions)
            for share, corpus in ((10, tenth), (50, half), (100, whole))
        ]
        for share in (1, 10, 100):
            measured += _measure_filter(admin, database, whole, share, questions)
        return measured + _measure_words(database, whole, questions)


def _cluster(rows: int, queries: int) -> tuple[Vectors, Vectors]:
    """Points around 1,000 centres, and questions near some of them."""
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(1000, DIMENSIONS))
    points = centres[rng.integers(0, 1000, rows)] + rng.normal(scale=0.7, size=(rows, DIMENSIONS))
    near = points[rng.integers(0, rows, queries)] + rng.normal(scale=0.5, size=(queries, DIMENSIONS))
    return points.astype(np.float16), near.astype(np.float16)


def _fill(admin: Connection[Any], database: Database, vectors: Vectors) -> tuple[Corpus, Corpus, Corpus]:
    """The whole under one model; under the other a tenth, a half and what is left."""
    rows = len(vectors)
    whole = _store(admin, database, "one", "everything", vectors)
    tenth = _store(admin, database, "two", "a tenth", vectors[: rows // 10])
    half = _store(admin, database, "two", "a half", vectors[-rows // 2 :])
    _store(admin, database, "two", "the rest", vectors[rows // 10 : -rows // 2])
    admin.execute("vacuum analyze")
    for model in (whole.model, tenth.model):
        _tell(f"building the vector index of model {model}")
        admin.execute("select corpuscope.ensure_vector_index(%s)", [model])
    admin.execute("vacuum analyze")
    return whole, tenth, half


def _store(admin: Connection[Any], database: Database, model: str, name: str, vectors: Vectors) -> Corpus:
    """A collection of these vectors, written past the triggers; its words are indexed as a worker would."""
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
        chunks = _copy_chunks(admin, owner, ids, len(vectors))
        _copy_vectors(admin, owner, ids, chunks, vectors)
    for start in range(0, len(chunks), 64):
        admin.execute("select corpuscope.index_lexical(%s)", [chunks[start : start + 64]])
    return Corpus(collection, index, model_id, vectors, ids)


def _copy_chunks(admin: Connection[Any], owner: Row, documents: list[UUID], rows: int) -> list[int]:
    texts = _write_texts(rows)
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


def _write_texts(rows: int) -> list[str]:
    """Sixty words each, with frequencies that fall as Zipf's law says."""
    rng = np.random.default_rng(11)
    consonants, vowels = list("bdfgklmnprst"), list("aeiou")
    syllables = np.array([a + b for a in consonants for b in vowels])
    vocabulary = np.array(["".join(rng.choice(syllables, rng.integers(2, 5))) for _ in range(40_000)])
    shares = np.cumsum(1 / np.arange(3, 40_003))
    words = vocabulary[np.searchsorted(shares / shares[-1], rng.random((rows, 60)))]
    return [" ".join(row) for row in words]


def _measure_rights(admin: Connection[Any], database: Database, corpus: Corpus, share: int, questions: Vectors) -> Row:
    """search_chunks() as a person whose collection has that share of all, over the superuser's SQL of the same plan."""
    sql = _OUTPUT.format(inner=_GRAPH.format(model=corpus.model, index=corpus.index, filter="", limit=10))
    arms = {
        "raw": lambda vector: _run_in_transaction(admin, sql, vector),
        "search": lambda vector: _search(database, corpus, vector),
    }
    times, _ = _race(arms, questions)
    return _compare(f"search where {share} % is visible, over raw SQL", times["search"], times["raw"], RLS_TARGET)


def _measure_filter(
    admin: Connection[Any], database: Database, corpus: Corpus, share: int, questions: Vectors
) -> list[Row]:
    """Searching chosen documents: time over the better plan, recall@10, and whether each search gave 10 rows."""
    rng = np.random.default_rng(share)
    chosen = np.sort(rng.permutation(len(corpus.documents))[: len(corpus.documents) * share // 100])
    documents = [corpus.documents[n] for n in chosen]
    graph = _GRAPH.format(model=corpus.model, index=corpus.index, filter=_GRAPH_FILTER, limit=10)
    scan = _SCAN.format(index=corpus.index, filter=_SCAN_FILTER)
    arms = {
        "relaxed": lambda vector: _run_as_user(database, _OUTPUT.format(inner=graph), vector, documents),
        "exact": lambda vector: _run_as_user(database, _OUTPUT.format(inner=scan), vector, documents),
        "search": lambda vector: _search(database, corpus, vector, documents),
    }
    times, results = _race(arms, questions)
    better = min(times["relaxed"], times["exact"], key=np.median)
    found, truth = results["search"], results["exact"]
    recall = float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, truth, strict=True)]))
    fewest = min(map(len, found))
    name = f"search of {share} % of the documents"
    return [
        _compare(f"{name}, over the better plan", times["search"], better, FILTER_TARGET),
        {"name": f"{name}: recall@10", "value": recall, "target": f">= {RECALL_TARGET}", "ok": recall >= RECALL_TARGET},
        {"name": f"{name}: fewest rows", "value": fewest, "target": "10", "ok": fewest == 10},
    ]


def _measure_words(database: Database, corpus: Corpus, questions: Vectors) -> list[Row]:
    """Lexical and hybrid searches by ten words of some chunk, without a target."""
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.permutation(text.split())[:10]) for text in _write_texts(len(questions))]
    rows = []
    for mode in ("lexical", "hybrid"):
        profile = RetrievalProfile.from_json({"mode": mode})
        times = []
        for text, vector in zip(texts, questions, strict=True):
            started = time.perf_counter()
            with database.as_user(LOCAL_USER) as conn:
                search(conn, corpus.collection, text, vector.astype(np.float32), profile)
            times.append(time.perf_counter() - started)
        rows.append({"name": f"{mode} search, p50", "value": float(np.median(times)) * 1000, "unit": "ms"})
        rows.append({"name": f"{mode} search, p95", "value": float(np.percentile(times, 95)) * 1000, "unit": "ms"})
    return rows


def _race(
    arms: dict[str, Callable[[NDArray[Any]], list[int]]], questions: Vectors
) -> tuple[dict[str, list[float]], dict[str, list[list[int]]]]:
    """Seconds and results of each arm, in turns; the first questions only warm up."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    results: dict[str, list[list[int]]] = {name: [] for name in arms}
    for number, vector in enumerate([*questions[:10], *questions]):
        order = list(arms) if number % 2 else list(arms)[::-1]
        for name in order:
            started = time.perf_counter()
            found = arms[name](vector)
            if number >= 10:
                times[name].append(time.perf_counter() - started)
                results[name].append(found)
    return times, results


def _run(conn: Connection[Any], sql: str, vector: NDArray[Any], documents: Sequence[UUID] | None = None) -> list[int]:
    values = {"vector": HalfVector(vector).to_text(), "documents": documents}
    return [row[0] for row in conn.execute(sql.encode(), values, prepare=True)]


def _run_in_transaction(admin: Connection[Any], sql: str, vector: NDArray[Any]) -> list[int]:
    with admin.transaction():
        return _run(admin, sql, vector)


def _run_as_user(database: Database, sql: str, vector: NDArray[Any], documents: Sequence[UUID]) -> list[int]:
    with database.as_user(LOCAL_USER) as conn:
        return _run(conn, sql, vector, documents)


def _set_plans(admin: Connection[Any]) -> None:
    """For this session, and for the app's connections, which are opened after this."""
    admin.execute("load 'vector'")
    for setting in _SETTINGS:
        admin.execute(f"set {setting}".encode())
        admin.execute(f"alter role authenticator set {setting}".encode())


def _search(
    database: Database, corpus: Corpus, vector: NDArray[Any], documents: Sequence[UUID] | None = None
) -> list[int]:
    with database.as_user(LOCAL_USER) as conn:
        hits = search(conn, corpus.collection, "x", HalfVector(vector), RetrievalProfile(mode="dense"), documents)
    return [hit.chunk_id for hit in hits]


def _compare(name: str, ours: list[float], theirs: list[float], most: float) -> Row:
    """Medians: the pair of a slow moment is slow in both arms."""
    ratio = float(np.median(ours) / np.median(theirs))
    shown = {"value": round(float(np.median(ours)) * 1000, 3), "unit": "ms", "ratio": round(ratio, 3)}
    tail = round(float(np.percentile(ours, 95)) * 1000, 3)
    return {"name": name, **shown, "p95": tail, "target": f"<= {most}", "ok": ratio <= most}


def _value(conn: Connection[Any], query: str, values: Sequence[Any]) -> Any:
    row = conn.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]


def _tell(what: str) -> None:
    print(f"  {what}…", file=sys.stderr, flush=True)
