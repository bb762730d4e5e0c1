"""An answer's search of two collections against the same documents in one: Cranfield whole, and cut in two by chance.

Through what answers search with, so the passages come from each half's own index, with its own frequencies of words.
Beside it what it would be to take the hits by the score that each collection gives them, and one of each in turn.
"""

from __future__ import annotations

import io
import random
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any
from uuid import UUID

from rag.chat.grounding import Ground, read_grounds
from rag.chat.harvesting import find_passages
from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.evaluation.folder_scoring import measure_documents
from rag.evaluation.labelled_folders import EvaluationSet, LabelledDocument, read_set
from rag.records import LOCAL_USER, Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import retrieve
from rag.settings import Settings, load_settings
from rag.store.database import Database, open_embedded
from rag.store.postgres import EmbeddedPostgres
from rag.vectors.embedders import Embedder, Vectors, load_embedder
from rag.vectors.registration import register_model
from rag.work.worker import run_worker

CRANFIELD = Path(__file__).resolve().parents[2] / "shared" / "eval" / "cranfield"
TARGET = 0.99
_K = 50

Row = dict[str, Any]
#: Names of documents, best first, for a question and its vector.
Search = Callable[[str, Vectors], list[str]]


def run() -> list[Row]:
    """Rows of nDCG@10 over that of the whole; none without Cranfield."""
    name = "two halves of Cranfield over the whole, nDCG@10"
    if not CRANFIELD.exists():
        return [{"name": f"{name}: ../shared/eval/cranfield is missing"}]
    settings, cranfield = load_settings(None), read_set(CRANFIELD)
    embedder = load_embedder(settings)
    with (
        tempfile.TemporaryDirectory(prefix="corpuscope-bench-") as folder,
        EmbeddedPostgres(Path(folder)) as server,
        open_embedded(server) as database,
    ):
        register_model(database, settings)
        whole, first, second = _ingest(database, settings, embedder, cranfield.documents)
        halves = [first, second]
        best = _score(cranfield, embedder, _answers(database, [whole]))
        ways = {
            "as answers search": _answers(database, halves),
            "by each half's own score": lambda question, vector: _by_score(_hits(database, halves, question, vector)),
            "one of each half in turn": lambda question, vector: _in_turn(_hits(database, halves, question, vector)),
        }
        scores = {way: _score(cranfield, embedder, search) for way, search in ways.items()}
    return [
        {
            "name": f"{name}: {way}",
            "value": round(score, 4),
            "unit": "nDCG@10",
            "ratio": round(score / best, 3),
            "target": f">= {TARGET}" if number == 0 else None,
            "whole": round(best, 4),
        }
        for number, (way, score) in enumerate(scores.items())
    ]


def _ingest(
    database: Database, settings: Settings, embedder: Embedder, documents: Sequence[LabelledDocument]
) -> list[UUID]:
    """The whole and two halves as collections, ingested as the product does it."""
    shuffled = list(documents)
    random.Random(1).shuffle(shuffled)
    middle = len(shuffled) // 2
    parts = {"whole": documents, "first": shuffled[:middle], "second": shuffled[middle:]}
    made = []
    with database.as_user(LOCAL_USER) as conn:
        for name, chosen in parts.items():
            made.append(create_collection(conn, name))
            for document in chosen:
                data = document.text.encode()
                store_document(conn, made[-1], f"{document.id}.txt", io.BytesIO(data), max_bytes=len(data) + 1)
    stop = threading.Event()
    options = {"stop": stop, "load_embedder": lambda _: embedder, "queues": ("ingest", "embed")}
    worker = threading.Thread(target=run_worker, args=(settings, database), kwargs=options)
    worker.start()
    try:
        while _unfinished(database):
            time.sleep(0.5)
    finally:
        stop.set()
        worker.join()
    return made


def _unfinished(database: Database) -> bool:
    query = "select 1 from public.documents where stage not in ('ready', 'failed') limit 1"
    with database.as_worker() as conn:
        return conn.execute(query).fetchone() is not None


def _answers(database: Database, collections: Sequence[UUID]) -> Search:
    with database.as_user(LOCAL_USER) as conn:
        grounds: list[Ground] = read_grounds(conn, collections[0], {"k": _K}, None, collections)

    def search(question: str, vector: Vectors) -> list[str]:
        vectors = {ground.index.model.id: vector for ground in grounds}
        harvest = find_passages(lambda: database.as_user(LOCAL_USER), grounds, question, vectors)
        return [one.passage.document for one in harvest.found]

    return search


def _hits(database: Database, collections: Sequence[UUID], question: str, vector: Vectors) -> list[list[Hit]]:
    profile = RetrievalProfile(k=_K)
    return [retrieve(lambda: database.as_user(LOCAL_USER), one, question, vector, profile) for one in collections]


def _by_score(hits: Sequence[Sequence[Hit]]) -> list[str]:
    return [hit.document for hit in sorted((hit for leg in hits for hit in leg), key=lambda hit: -hit.score)]


def _in_turn(hits: Sequence[Sequence[Hit]]) -> list[str]:
    return [hit.document for row in zip_longest(*hits) for hit in row if hit is not None]


def _score(cranfield: EvaluationSet, embedder: Embedder, search: Search) -> float:
    ranked = {
        question.id: list(
            dict.fromkeys(
                name.removesuffix(".txt") for name in search(question.text, embedder.embed_question(question.text))
            )
        )
        for question in cranfield.questions
    }
    return measure_documents(ranked, {question.id: question.relevant for question in cranfield.questions}).ndcg_10
