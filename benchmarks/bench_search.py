"""Searching 100,000 chunks: under policies against the superuser's SQL, and filtered against the better of two plans.

Two models hold the same vectors: of the one a single collection has all, of the other three collections have 10, 40 and
50 %. The arms take turns query by query, so that what else the machine does falls on both. A search is timed as users
make it, in a transaction of its own, and so is the raw SQL, which returns the same columns and is prepared, each on one
connection; where filters are measured, it runs as the same user, so that the ratio is that of the plans. Then the user
joins 1,000 more collections, and the first ratios are taken again.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import Connection

from benchmarks.search_corpus import Corpus, Row, Vectors, cluster, fill, write_texts
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import search
from rag.store.bootstrap import LOCAL_USER
from rag.store.database import Database, open_embedded
from rag.store.postgres import EmbeddedPostgres

ROWS = 100_000
COLLECTIONS = 1000
QUERIES = 150
WARM_UP = 50
RLS_TARGET, FILTER_TARGET, RECALL_TARGET = 1.3, 1.2, 0.98

_OUTPUT = """
select c.id, c.text, c.heading_path, c.page, c.start_char, c.end_char, d.id, d.name, d.title, x.text_revision,
1 - n.distance from ({inner}) n join chunks c on c.id = n.chunk_id join documents d on d.id = c.document_id
join index_documents x on x.index_id = c.index_id and x.document_id = c.document_id order by n.distance + 0 limit 10"""
#: Vectors travel in binary, as ours do: as text each would cost a quarter of a millisecond.
_GRAPH = """select e.chunk_id, e.embedding::halfvec(384) <=> %(vector)b::halfvec(384) as distance from embeddings e
where e.model_id = {model} and e.index_id + 0 = {index} and not e.excluded {filter} order by 2 limit {limit}"""
_SCAN = """select e.chunk_id, e.embedding <=> %(vector)b::halfvec as distance from embeddings e
where e.index_id = {index} and not e.excluded {filter} order by 2 limit 10"""
#: One for the graph, since the planner would rather read the btree of documents, and one for that btree.
_GRAPH_FILTER = "and coalesce(e.document_id = any (%(documents)s), false)"
_SCAN_FILTER = "and e.document_id = any (%(documents)s)"
#: For the raw SQL; search_chunks() has its own.
_SETTINGS = ("hnsw.iterative_scan = relaxed_order", "hnsw.ef_search = 200", "enable_seqscan = off", "jit = off")


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
        # A pool that is asked before its first connection is there opens a second one and uses them in turn: the
        # processor's caches would serve them half as well as they serve the one of the raw SQL.
        database.pool.wait()
        vectors, questions = cluster(rows, queries)
        whole, tenth, half = fill(admin, database, vectors)
        shares = ((10, tenth), (50, half), (100, whole))
        # As young as the app's: the connection that wrote all this has the whole server memory mapped already.
        with psycopg.connect(server.dsn("supabase_admin"), autocommit=True) as raw:
            register_vector(raw)
            _set_plans(raw)
            measured = [_measure_rights(raw, database, corpus, share, questions) for share, corpus in shares]
            for share in (1, 10, 100):
                measured += _measure_filter(database, whole, share, questions)
            measured += _measure_words(database, whole, questions)
            _join_collections(admin)
            for share, corpus in shares:
                row = _measure_rights(raw, database, corpus, share, questions)
                measured.append(row | {"name": f"{row['name']}, member of {COLLECTIONS:,} collections"})
        return measured


def _join_collections(admin: Connection[Any]) -> None:
    """Make more collections and let the user into them."""
    with admin.transaction():
        admin.execute("set local session_replication_role = replica")
        admin.execute(
            "with made as (insert into collections (name, created_by) select 'more ' || n, %(user)s"
            " from generate_series(1, %(number)s) n returning id)"
            " insert into collection_members (collection_id, user_id, role) select id, %(user)s, 'viewer' from made",
            {"user": LOCAL_USER, "number": COLLECTIONS},
        )
    admin.execute("vacuum analyze collections, collection_members")


def _measure_rights(admin: Connection[Any], database: Database, corpus: Corpus, share: int, questions: Vectors) -> Row:
    """search_chunks() as a person whose collection has that share of all, over the superuser's SQL of the same plan."""
    sql = _OUTPUT.format(inner=_GRAPH.format(model=corpus.model, index=corpus.index, filter="", limit=10))
    arms = {
        "raw": lambda vector: _run_in_transaction(admin, sql, vector),
        "search": lambda vector: _search(database, corpus, vector),
    }
    times, _ = _race(arms, questions)
    return _compare(f"search where {share} % is visible, over raw SQL", times["search"], times["raw"], RLS_TARGET)


def _measure_filter(database: Database, corpus: Corpus, share: int, questions: Vectors) -> list[Row]:
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
    texts = [" ".join(rng.permutation(text.split())[:10]) for text in write_texts(len(questions))]
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
    for number, vector in enumerate([*questions[:WARM_UP], *questions]):
        order = list(arms) if number % 2 else list(arms)[::-1]
        for name in order:
            started = time.perf_counter()
            found = arms[name](vector)
            if number >= min(WARM_UP, len(questions)):
                times[name].append(time.perf_counter() - started)
                results[name].append(found)
    return times, results


def _run(conn: Connection[Any], sql: str, vector: NDArray[Any], documents: Sequence[UUID] | None = None) -> list[int]:
    values = {"vector": HalfVector(vector), "documents": documents}
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


if __name__ == "__main__":
    for measured_row in run(*map(int, sys.argv[1:])):
        print(measured_row)
