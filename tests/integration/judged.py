"""A collection with a set of judged questions, and what a run of it works with: no model, no worker's threads."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID

import numpy as np
import numpy.typing as npt

from rag.corpus.collections import create_collection
from rag.evaluation.errand import Errand
from rag.evaluation.question_sets import add_question, create_set
from rag.evaluation.runs import Run, read_run, start_run
from rag.retrieval.profiles import RetrievalProfile
from rag.settings import load_settings
from rag.store.database import Database
from rag.vectors.embedders import Vectors
from rag.vectors.modelpool import ModelPool
from rag.work.heartbeat import Heartbeat
from rag.work.leases import LeaseKeeper
from rag.work.wakeup import WakeUp
from rag.work.workplace import Workplace
from tests.integration.searchable import active_index, add_document

DOCUMENTS = 12
CHUNKS = 3
TOPICS = ("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "juniper", "knoll", "lagoon")


class _Info:
    query_prefix = passage_prefix = ""
    window = 64


class _Tokens:
    def counts(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class TinyEmbedder:
    """Four dimensions from a hash of the text; ``asked`` counts what was embedded. ``before`` may raise."""

    info, tokens = _Info(), _Tokens()

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.before: Callable[[], None] = lambda: None

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        self.before()
        self.asked.update(texts)
        return np.stack([vector_of(text) for text in texts])

    def embed_question(self, text: str) -> Vectors:
        return cast(Vectors, self.embed_passages([text])[0])


class _Pool:
    def __init__(self, embedder: TinyEmbedder) -> None:
        self._embedder = embedder

    def question_embedder(self, model: Any) -> TinyEmbedder:
        return self._embedder


class Judged:
    """One document a topic; one question a document, which the document answers with grade 2."""

    def __init__(self, database: Database, user: UUID, *, spans: bool = False) -> None:
        self.database, self.user, self.embedder = database, user, TinyEmbedder()
        with database.as_worker() as conn:
            conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
        with database.as_user(user) as conn:
            self.collection = create_collection(conn, "Corpus")
            self.set_id = create_set(conn, self.collection, "Topics")
        self.documents = [self._add(topic) for topic in TOPICS[:DOCUMENTS]]
        with database.as_owner() as conn:
            self.index = active_index(conn, self.collection)
        self.questions = [self._ask(number, spans) for number in range(DOCUMENTS)]

    def _add(self, topic: str) -> UUID:
        texts = [f"The {topic} of part {part} lies in the valley of {topic}." for part in range(CHUNKS)]
        vectors = [vector_of(f"{topic} {part}").tolist() for part in range(CHUNKS)]
        return add_document(self.database, self.collection, texts, name=f"{topic}.txt", vectors=vectors)[0]

    def _ask(self, number: int, spans: bool) -> int:
        with self.database.as_user(self.user) as conn:
            question = add_question(conn, self.set_id, f"Where is the {TOPICS[number]} to be found?")
        self.judge(question, self.documents[number], (100, 150) if spans else None)
        return question

    def judge(self, question: int, document: UUID, span: tuple[int, int] | None = None, grade: int = 2) -> None:
        start, end = span or (None, None)
        with self.database.as_user(self.user) as conn:
            conn.execute(
                "insert into public.judgements"
                " (question_id, collection_id, document_id, text_revision, start_char, end_char, grade)"
                " values (%s, %s, %s, 1, %s, %s, %s)",
                [question, self.collection, document, start, end, grade],
            )

    def start(self, profile: RetrievalProfile | None = None, **options: Any) -> int:
        if profile is None and "profile_id" not in options:
            profile = RetrievalProfile()
        with self.database.as_user(self.user) as conn:
            return start_run(conn, self.set_id, profile=profile, **options)

    def read(self, run_id: int) -> Run:
        with self.database.as_user(self.user) as conn:
            return read_run(conn, run_id)

    def errand(self, still_ours: Callable[[], bool] = lambda: True) -> Errand:
        return Errand(self.database, cast(ModelPool, _Pool(self.embedder)), load_settings(None), still_ours)

    def workplace(self) -> Workplace:
        """A worker's shared things without its threads."""
        database, pool = self.database, cast(ModelPool, _Pool(self.embedder))
        return Workplace(database, pool, LeaseKeeper(database), Heartbeat(database), WakeUp(("evaluate",)))

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.database.as_owner() as conn:
            return conn.execute(query, values or None).fetchall()


def vector_of(text: str) -> npt.NDArray[np.float32]:
    digest = hashlib.sha256(text.encode()).digest()
    found = np.random.default_rng(int.from_bytes(digest[:8], "big")).standard_normal(4)
    return np.asarray(found / np.linalg.norm(found), np.float32)
