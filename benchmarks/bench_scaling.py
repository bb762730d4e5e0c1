"""What docs/scaling.md reckons with: bytes a chunk, searches a second from many connections, and what workers add.

Bytes and searches: one collection of 100,000 chunks of about 130 words under a model of 384 numbers. Workers: processes
of their own whose model costs nothing, so that what is measured is the rest: reading, chunking, the queue and the
database that takes the rows. All of it shares the cores of one machine, clients included, so that a hundred searches
here are a lower bound for a server that its clients don't compete with.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector

from benchmarks.bench_ingest import _corpus
from benchmarks.search_corpus import Corpus, Row, Vectors, cluster, store_collection
from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.records import LOCAL_USER
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import search
from rag.settings import Settings
from rag.store.database import Database, open_embedded
from rag.store.postgres import EmbeddedPostgres
from rag.vectors.embedders import load_tokens
from rag.vectors.models import describe_model
from rag.vectors.registration import register_model
from rag.work.worker import run_worker

ROWS = 100_000
CLIENTS = (1, 2, 4, 8)
WRITERS = 4
WORKERS = (1, 2, 4)
SECONDS = 5.0
FILES = 60
GRAPH_FILES = 210
WORDS = 130

_SIZES = {
    "chunks: text, place and hash": ("chunks",),
    "vectors: halfvec and hash": ("embeddings",),
    "postings for BM25": ("corpuscope.postings",),
    "other words for BM25": ("corpuscope.chunk_terms", "corpuscope.lexemes", "corpuscope.lexeme_counts"),
}


def run(rows: int = ROWS, files: int = FILES) -> list[Row]:
    """Measure on an embedded server of its own; about six minutes."""
    return [*measure_corpus(rows), *measure_workers(files)]


def measure_corpus(rows: int = ROWS) -> list[Row]:
    """Bytes a chunk, the building of the graph, and searches a second."""
    with (
        tempfile.TemporaryDirectory(prefix="corpuscope-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "home") as server,
        open_embedded(server) as database,
        psycopg.connect(server.dsn("supabase_admin"), autocommit=True) as admin,
    ):
        register_vector(admin)
        vectors, questions = cluster(rows, 200)
        corpus = store_collection(admin, database, "one", "all", vectors, words=False, length=WORDS)
        began = time.perf_counter()
        _index_words(server.dsn("supabase_admin"), corpus)
        indexed = time.perf_counter() - began
        admin.execute("vacuum analyze")
        began = time.perf_counter()
        admin.execute("select corpuscope.ensure_vector_index(%s)", [corpus.model])
        built = time.perf_counter() - began
        admin.execute("vacuum analyze")
        return [
            *_sizes(admin, corpus, rows),
            {"name": f"vector index of {rows:,} made at once", "value": rows / built, "unit": "chunks/s"},
            {"name": f"words indexed for BM25, {WRITERS} connections", "value": rows / indexed, "unit": "chunks/s"},
            *[_search_rate(database, corpus, questions, "dense", clients) for clients in CLIENTS],
            *[_search_rate(database, corpus, questions, "hybrid", clients) for clients in CLIENTS[:3]],
        ]


def _index_words(dsn: str, corpus: Corpus) -> None:
    """As workers do, several at once."""
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("select id from chunks where index_id = %s order by id", [corpus.index]).fetchall()
    ids = [row[0] for row in rows]

    def work(batches: Sequence[list[int]]) -> None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            for batch in batches:
                conn.execute("select corpuscope.index_lexical(%s)", [batch])

    batches = [ids[start : start + 64] for start in range(0, len(ids), 64)]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(work, [batches[n::WRITERS] for n in range(WRITERS)]))


def _sizes(admin: psycopg.Connection[Any], corpus: Corpus, rows: int) -> list[Row]:
    """Each kind of row with its own indexes; the graph counts apart from the table that it is on."""
    graph = _number(admin, "select pg_relation_size(%s::regclass)", f"embeddings_hnsw_{corpus.model}")
    found = {
        "text alone": _number(admin, "select sum(octet_length(text)) from chunks where index_id = %s", corpus.index)
    }
    for name, tables in _SIZES.items():
        total = sum(_number(admin, "select pg_total_relation_size(%s::regclass)", table) for table in tables)
        found[name] = total - (graph if "embeddings" in tables else 0)
    found["vector index, HNSW with m = 16"] = graph
    postings = _number(admin, "select count(*) from corpuscope.postings where index_id = %s", corpus.index) / rows
    counted = {"name": f"postings a chunk of {WORDS} made-up words", "value": postings}
    return [counted] + [
        {"name": f"bytes a chunk: {name}", "value": size / rows, "unit": "bytes"} for name, size in found.items()
    ]


def _number(conn: psycopg.Connection[Any], query: str, value: object) -> float:
    row = conn.execute(query.encode(), [value]).fetchone()
    assert row is not None
    return float(row[0])


def _search_rate(database: Database, corpus: Corpus, questions: Vectors, mode: str, clients: int) -> Row:
    """Searches a second of so many processes with one connection each, and their times."""
    context = multiprocessing.get_context("spawn")
    ready, times = context.Barrier(clients), context.Queue()
    order = (database.app_dsn, corpus.collection, questions, mode)
    running = [context.Process(target=_keep_searching, args=(*order, n, ready, times)) for n in range(clients)]
    for process in running:
        process.start()
    taken = np.concatenate([times.get(timeout=120) for _ in running])
    for process in running:
        process.join()
    p50, p95 = (float(np.percentile(taken, share) * 1000) for share in (50, 95))
    return {
        "name": f"{mode} searches a second, {clients} connections",
        "value": len(taken) / SECONDS,
        "unit": f"searches/s (p50 {p50:.1f} ms, p95 {p95:.1f} ms)",
    }


def _keep_searching(
    dsn: str, collection: UUID, questions: NDArray[np.float16], mode: str, number: int, ready: Any, times: Any
) -> None:
    """One client: other questions than its neighbours', warm before the clock starts."""
    profile = RetrievalProfile.from_json({"mode": mode, "k": 10})
    taken: list[float] = []
    with Database(dsn) as database:

        def ask(at: int) -> None:
            row = questions[(at * 7 + number * 31) % len(questions)]
            with database.as_user(LOCAL_USER) as conn:
                search(conn, collection, _WORDS[at % len(_WORDS)], np.asarray(row, np.float32), profile)

        for at in range(30):
            ask(at)
        ready.wait(60)
        end = time.perf_counter() + SECONDS
        while (began := time.perf_counter()) < end:
            ask(len(taken))
            taken.append(time.perf_counter() - began)
    times.put(np.array(taken))


#: Questions in the words that :func:`benchmarks.search_corpus.write_texts` makes up.
_WORDS = ["badega kilo", "tu paruno", "lomi sedafu gi", "nobaka", "rifu dela"]


class FreeModel:
    """A model that costs nothing: vectors at random, as long and as even as real ones."""

    def __init__(self, settings: Settings) -> None:
        self.info = describe_model(settings)
        self.tokens = load_tokens(settings)
        self._chance = np.random.default_rng()

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = self._chance.standard_normal((len(texts), self.info.dimensions), np.float32)
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)

    def embed_question(self, text: str) -> NDArray[np.float32]:
        return np.asarray(self.embed_passages([text])[0])


def measure_workers(files: int = FILES) -> list[Row]:
    """Chunks a second from upload to searchable, by the number of worker processes."""
    with (
        tempfile.TemporaryDirectory(prefix="corpuscope-bench-") as folder,
        EmbeddedPostgres(Path(folder)) as server,
        open_embedded(server) as database,
    ):
        register_model(database, Settings(_env_file=None))
        # Past 10,000 vectors there is a graph, and each vector more is put into it.
        with _working(database, 2):
            _ingest(database, _corpus(GRAPH_FILES, seed=0), "a graph")
        with database.as_owner() as conn:
            assert _number(
                conn, "select corpuscope.ensure_vector_index(min(id))::int from embedding_models where id > %s", 0
            )
        return [_work(database, count, files) for count in WORKERS]


def _work(database: Database, workers: int, files: int) -> Row:
    """Let so many workers read a corpus of its own; they are there before it is."""
    with _working(database, workers):
        _ingest(database, _corpus(workers, seed=100 + workers), f"warm-up {workers}")
        corpus = _corpus(files, seed=workers)
        began = time.perf_counter()
        chunks = _ingest(database, corpus, f"{workers} workers")
        seconds = time.perf_counter() - began
    return {"name": f"chunks a second, {workers} workers, a model that costs nothing", "value": chunks / seconds}


@contextmanager
def _working(database: Database, workers: int) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    order = (database.app_dsn, database.owner_dsn, stop)
    running = [context.Process(target=_worker, args=order) for _ in range(workers)]
    for process in running:
        process.start()
    try:
        yield
    finally:
        stop.set()
        for process in running:
            process.join(30)


def _ingest(database: Database, corpus: dict[str, str], name: str) -> int:
    with database.as_user(LOCAL_USER) as conn:
        collection = create_collection(conn, name)
    for title, text in corpus.items():
        with database.as_user(LOCAL_USER) as conn:
            store_document(conn, collection, title, io.BytesIO(text.encode()), max_bytes=2**24)
    with database.as_owner() as conn:
        while conn.execute(
            "select 1 from documents where stage <> 'ready' and collection_id = %s", [collection]
        ).fetchone():
            time.sleep(0.05)
        return int(_number(conn, "select count(*) from chunks where collection_id = %s", collection))


def _worker(app_dsn: str, owner_dsn: str, stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told = threading.Event()

    def tell() -> None:
        stop.wait()
        told.set()

    threading.Thread(target=tell, daemon=True).start()
    with Database(app_dsn, owner_dsn) as database:
        run_worker(Settings(_env_file=None), database, stop=told, load_embedder=FreeModel, queues=("ingest", "embed"))


if __name__ == "__main__":
    for row in run(*map(int, sys.argv[1:])):
        print(json.dumps(row))
