"""Ingest end to end (store, parse, chunk, embed, index, write) against encoding the same chunks and nothing else.

One process, one embedder, the embedded Postgres as users run it. Each round has a corpus of its own, since equal text
is never embedded twice; the two arms change places from round to round. ``cpu`` is the same ratio in processor time of
everything that works (this process, the parser, Postgres): it holds on a busy machine, where that of the clock doesn't.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from rag.chunks.chunking import ChunkSettings, chunk_text, embedding_input
from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.records import LOCAL_USER
from rag.settings import load_settings
from rag.store.database import Database, open_embedded
from rag.store.postgres import EmbeddedPostgres
from rag.vectors.embedders import Embedder, load_embedder
from rag.vectors.registration import register_model
from rag.work.worker import run_worker

TARGET = 0.92
FILES = 40
ROUNDS = 3

_UNFINISHED = """
select 1 from public.documents where collection_id = %s and stage not in ('ready', 'failed', 'cancelled') limit 1
"""
_STAGES = "select stage, count(*) from public.documents where collection_id = %s group by 1"


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
            measured = [_round(server, database, embedder, number, files) for number in range(1, rounds + 1)]
        finally:
            stop.set()
            worker.join()
    ratios = [raw.seconds / ingest.seconds for raw, ingest, _ in measured]
    chunks = sum(count for *_, count in measured)
    raw_s, ingest_s = sum(raw.seconds for raw, *_ in measured), sum(ingest.seconds for _, ingest, _ in measured)
    return {
        "name": "ingest end to end over raw encode",
        "value": round(chunks / ingest_s, 1),
        "unit": "chunks/s",
        "ratio": round(statistics.median(ratios), 3),
        "target": f">= {TARGET}",
        "ok": statistics.median(ratios) >= TARGET,
        "rounds": [round(ratio, 3) for ratio in ratios],
        "raw": round(chunks / raw_s, 1),
        "cpu": round(statistics.median(raw.cpu / ingest.cpu for raw, ingest, _ in measured), 3),
    }


class Cost(NamedTuple):
    """Seconds by the clock, and of processors."""

    seconds: float
    cpu: float


def _round(
    server: EmbeddedPostgres, database: Database, embedder: Embedder, number: int, files: int
) -> tuple[Cost, Cost, int]:
    """What the raw encode cost, what the ingest cost, and how many chunks there were."""
    corpus = _corpus(files, seed=number)
    inputs = [
        embedding_input(chunk.context, chunk.text)
        for name, text in corpus.items()
        for chunk in chunk_text(text, title="", page_starts=[], settings=ChunkSettings(), tokenizer=embedder.tokens)
    ]
    encode = partial(_cost, server, partial(embedder.embed_passages, inputs))
    ingest = partial(_cost, server, partial(_ingest, database, corpus, f"round {number}"))
    if number % 2:
        raw = encode()
        return raw, ingest(), len(inputs)
    whole = ingest()
    return encode(), whole, len(inputs)


def _cost(server: EmbeddedPostgres, work: Callable[[], object]) -> Cost:
    began, used = time.perf_counter(), _processor_time(server)
    work()
    return Cost(time.perf_counter() - began, _processor_time(server) - used)


def _processor_time(server: EmbeddedPostgres) -> float:
    """Of this process, its children and Postgres, so far; of sessions that ended, the postmaster keeps the sum."""
    postmaster = psutil.Process(server.pid)
    times = postmaster.cpu_times()
    total: float = times.children_user + times.children_system
    for process in {psutil.Process(), *psutil.Process().children(recursive=True), postmaster, *postmaster.children()}:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _ingest(database: Database, corpus: dict[str, str], collection: str) -> None:
    with database.as_user(LOCAL_USER) as conn:
        collection_id = create_collection(conn, collection)
    for name, text in corpus.items():
        with database.as_user(LOCAL_USER) as conn:
            store_document(conn, collection_id, name, io.BytesIO(text.encode()), max_bytes=2**24)
    # One connection and a cheap question: watching must not cost what is watched.
    with database.as_owner() as conn:
        while conn.execute(_UNFINISHED, [collection_id]).fetchone():
            time.sleep(0.05)
        stages = conn.execute(_STAGES, [collection_id]).fetchall()
    if stages != [("ready", len(corpus))]:
        raise RuntimeError(f"the ingest ended as {stages}")


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
