"""An evaluation run against the bare sum of its queries: embed the question, search, nothing else.

Cranfield under the default profile, as the product ingests it. The run goes through its queue and includes reading the
judgements, storing what was found, and the metrics with their intervals. Both arms alternate, in one process with one
embedder. The bare queries ask for the profile's ten chunks; the run asks for a hundred, which its curves need.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.evaluation.question_sets import create_set
from rag.evaluation.runs import read_run, start_run
from rag.records import LOCAL_USER
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import retrieve
from rag.settings import Settings, load_settings
from rag.store.database import Database, open_embedded
from rag.store.postgres import EmbeddedPostgres
from rag.vectors.embedders import Embedder, load_embedder, load_tokens
from rag.vectors.modelpool import ModelPool
from rag.vectors.registration import register_model
from rag.work.evaluating import evaluate_loop
from rag.work.heartbeat import Heartbeat
from rag.work.leases import LeaseKeeper
from rag.work.wakeup import WakeUp
from rag.work.worker import run_worker
from rag.work.workplace import Workplace

CRANFIELD = Path(__file__).resolve().parents[2] / "shared" / "eval" / "cranfield"
TARGET = 2.0
ROUNDS = 3
_BATCH = 100


def run() -> list[dict[str, Any]]:
    """One row: seconds of the run over those of its queries, the median of the rounds; none without Cranfield."""
    name = "evaluating Cranfield over the bare sum of its queries"
    if not CRANFIELD.exists():
        return [{"name": f"{name}: ../shared/eval/cranfield is missing"}]
    settings = load_settings(None)
    embedder = load_embedder(settings)
    with (
        tempfile.TemporaryDirectory(prefix="corpuscope-bench-") as folder,
        EmbeddedPostgres(Path(folder)) as server,
        open_embedded(server) as database,
    ):
        register_model(database, settings)
        collection = _ingest(database, settings, embedder)
        set_id, questions = _judge(database, collection)
        workplace = _workplace(database, settings, embedder)
        _ask(database, embedder, collection, questions)  # everything is warm
        rounds = []
        for _ in range(ROUNDS):
            bare = _ask(database, embedder, collection, questions)
            rounds.append((bare, *_evaluate(workplace, settings, set_id)))
    ratios = [whole / bare for bare, whole, _ in rounds]
    return [
        {
            "name": name,
            "value": round(statistics.median(whole for _, whole, _ in rounds), 2),
            "unit": f"s for {len(questions)} questions",
            "ratio": round(statistics.median(ratios), 2),
            "target": f"<= {TARGET}",
            "rounds": [round(ratio, 2) for ratio in ratios],
            "bare_s": round(statistics.median(bare for bare, _, _ in rounds), 2),
            "ndcg@10": rounds[-1][2],
        }
    ]


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CRANFIELD / name).read_text(encoding="utf-8").split("\n") if line]


def _ingest(database: Database, settings: Settings, embedder: Embedder) -> UUID:
    with database.as_user(LOCAL_USER) as conn:
        collection = create_collection(conn, "Cranfield")
    documents = _rows("corpus.jsonl")
    for start in range(0, len(documents), _BATCH):
        with database.as_user(LOCAL_USER) as conn:
            for row in documents[start : start + _BATCH]:
                data = row["text"].encode()
                store_document(conn, collection, f"{row['id']}.txt", io.BytesIO(data), max_bytes=len(data) + 1)
    stop = threading.Event()
    options = {"stop": stop, "load_embedder": lambda _: embedder, "queues": ("ingest", "embed")}
    worker = threading.Thread(target=run_worker, args=(settings, database), kwargs=options)
    worker.start()
    try:
        while _unfinished(database, collection):
            time.sleep(0.5)
    finally:
        stop.set()
        worker.join()
    return collection


def _unfinished(database: Database, collection: UUID) -> bool:
    query = "select 1 from public.documents where collection_id = %s and stage not in ('ready', 'failed') limit 1"
    with database.as_worker() as conn:
        return conn.execute(query, [collection]).fetchone() is not None


def _judge(database: Database, collection: UUID) -> tuple[int, list[str]]:
    """The set with its judgements; the id, and the questions."""
    asked = {row["id"]: row["text"] for row in _rows("queries.jsonl")}
    with (CRANFIELD / "qrels.tsv").open(encoding="utf-8", newline="") as lines:
        graded = [row for row in csv.reader(lines, delimiter="\t") if row[-1].lstrip("-").isdigit()]
    with database.as_user(LOCAL_USER) as conn:
        set_id = create_set(conn, collection, "Cranfield")
        conn.execute(
            "insert into public.questions (set_id, collection_id, text, external_id, origin)"
            " select %s, %s, q.text, q.name, 'imported' from unnest(%s::text[], %s::text[]) as q (name, text)"
            " on conflict do nothing",
            [set_id, collection, list(asked), list(asked.values())],
        )
        conn.execute(
            "insert into public.judgements (question_id, collection_id, document_id, text_revision, grade, origin)"
            " select q.id, d.collection_id, d.id, d.text_revision, least(j.grade, 3), 'imported'"
            " from unnest(%s::text[], %s::text[], %s::int[]) as j (query, document, grade)"
            " join public.questions q on q.external_id = j.query and q.set_id = %s"
            " join public.documents d on d.collection_id = q.collection_id and d.name = j.document || '.txt'"
            " where j.grade >= 0 on conflict do nothing",
            [*map(list, zip(*[(query, name, int(grade)) for query, name, grade in graded], strict=True)), set_id],
        )
        rows = conn.execute(
            "select q.text from public.questions q where q.set_id = %s and exists"
            " (select from public.judgements j where j.question_id = q.id and j.grade > 0) order by q.id",
            [set_id],
        ).fetchall()
    return set_id, [text for (text,) in rows]


def _workplace(database: Database, settings: Settings, embedder: Embedder) -> Workplace:
    pool = ModelPool(settings, lambda _: embedder, load_tokens)
    return Workplace(database, pool, LeaseKeeper(database), Heartbeat(database), WakeUp(("evaluate",)))


def _ask(database: Database, embedder: Embedder, collection: UUID, questions: Sequence[str]) -> float:
    """Seconds for each question, one after the other, as somebody would ask them."""
    profile = RetrievalProfile()
    began = time.perf_counter()
    for question in questions:
        vector = embedder.embed_question(question)
        retrieve(lambda: database.as_user(LOCAL_USER), collection, question, vector, profile)
    return time.perf_counter() - began


def _evaluate(workplace: Workplace, settings: Settings, set_id: int) -> tuple[float, float]:
    """Seconds from the start to the last metric, and nDCG@10."""
    began = time.perf_counter()
    with workplace.database.as_user(LOCAL_USER) as conn:
        number = start_run(conn, set_id, profile=RetrievalProfile())
    evaluate_loop(workplace, settings).step()
    took = time.perf_counter() - began
    with workplace.database.as_user(LOCAL_USER) as conn:
        done = read_run(conn, number)
    assert done.state == "done", done.reason
    return took, round(done.values()["ndcg@10"].mean, 4)
