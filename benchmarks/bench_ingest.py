"""Ingest end to end (store, parse, chunk, embed, index, write) against encoding the same chunks and nothing else.

One process, one embedder, the embedded Postgres as users run it. Each round has a corpus of its own, since equal text
is never embedded twice; the two arms change places from round to round.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from rag.chunking import ChunkSettings, chunk_text, embedding_input
from rag.collections import create_collection
from rag.database import Database, open_embedded
from rag.documents import store_document
from rag.embedders import Embedder, load_embedder
from rag.postgres import EmbeddedPostgres
from rag.records import LOCAL_USER
from rag.registration import register_model
from rag.settings import load_settings
from rag.worker import run_worker

TARGET = 0.92
FILES = 40
ROUNDS = 3


def run(rounds: int = ROUNDS, files: int = FILES) -> dict[str, object]:
    """One row: ``ratio`` is raw encode time over ingest time, the median of the rounds; ``raw`` is in chunks/s."""
    settings = load_settings(None)
    embedder = load_embedder(settings)
    with (
        tempfile.TemporaryDirectory(prefix="corpuscope-bench-") as folder,
        EmbeddedPostgres(Path(folder)) as server,
        open_embedded(server) as database,
    ):
        register_model(database, settings)
        stop = threading.Event()
        options = {"stop": stop, "load_embedder": lambda _: embedder, "queues": ("ingest", "embed")}
        worker = threading.Thread(target=run_worker, args=(settings, database), kwargs=options)
        worker.start()
        try:
            _ingest(database, _corpus(files=2, seed=0), "warm-up")
            measured = [_round(database, embedder, number, files) for number in range(1, rounds + 1)]
        finally:
            stop.set()
            worker.join()
    ratios = [raw / ingest for raw, ingest, _ in measured]
    chunks = sum(count for *_, count in measured)
    return {
        "name": "ingest end to end over raw encode",
        "value": round(chunks / sum(ingest for _, ingest, _ in measured), 1),
        "unit": "chunks/s",
        "ratio": round(statistics.median(ratios), 3),
        "target": f">= {TARGET}",
        "ok": statistics.median(ratios) >= TARGET,
        "rounds": [round(ratio, 3) for ratio in ratios],
        "raw": round(chunks / sum(raw for raw, *_ in measured), 1),
    }


def _round(database: Database, embedder: Embedder, number: int, files: int) -> tuple[float, float, int]:
    """Seconds of the raw encode, seconds of the ingest, chunks."""
    corpus = _corpus(files, seed=number)
    inputs = [
        embedding_input(chunk.context, chunk.text)
        for name, text in corpus.items()
        for chunk in chunk_text(text, title="", page_starts=[], settings=ChunkSettings(), tokenizer=embedder.tokens)
    ]
    if number % 2:
        raw = _encode(embedder, inputs)
        return raw, _ingest(database, corpus, f"round {number}"), len(inputs)
    ingest = _ingest(database, corpus, f"round {number}")
    return _encode(embedder, inputs), ingest, len(inputs)


def _encode(embedder: Embedder, inputs: list[str]) -> float:
    began = time.perf_counter()
    embedder.embed_passages(inputs)
    return time.perf_counter() - began


def _ingest(database: Database, corpus: dict[str, str], collection: str) -> float:
    with database.as_user(LOCAL_USER) as conn:
        collection_id = create_collection(conn, collection)
    began = time.perf_counter()
    for name, text in corpus.items():
        with database.as_user(LOCAL_USER) as conn:
            store_document(conn, collection_id, name, io.BytesIO(text.encode()), max_bytes=2**24)
    while True:
        with database.as_user(LOCAL_USER) as conn:
            stages = conn.execute(
                "select stage, count(*) from public.documents where collection_id = %s group by 1", [collection_id]
            ).fetchall()
        if stages == [("ready", len(corpus))]:
            return time.perf_counter() - began
        time.sleep(0.1)


def _corpus(files: int, seed: int) -> dict[str, str]:
    """Files of about fifty chunks: paragraphs of uneven length in words that occur as words do (Zipf)."""
    rng = np.random.default_rng(seed)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "ar", "en", "is")]
    words = ["".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(5000)]
    return {f"file {seed}-{number}.txt": _text(rng, words) for number in range(files)}


def _text(rng: np.random.Generator, words: list[str]) -> str:
    paragraphs = []
    for _ in range(50):
        ranks = np.minimum(rng.zipf(1.3, int(rng.integers(30, 90))), len(words)) - 1
        paragraphs.append(" ".join(words[rank] for rank in ranks).capitalize() + ".")
    return "\n\n".join(paragraphs)


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:])), indent=1))
