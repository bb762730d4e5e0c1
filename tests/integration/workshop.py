"""A collection with a worker beside it, and an embedder that counts what it was asked."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.settings import Settings
from rag.store.database import Database
from rag.vectors.embedders import Embedder, load_tokens
from rag.vectors.models import describe_model
from rag.vectors.random_pairs import UNRELATED
from rag.vectors.registration import register_model
from rag.work.worker import run_worker

Vectors = npt.NDArray[np.float32]

#: Long enough for any of these tests on a slow machine, short enough to fail.
PATIENCE_S = 60.0


class CountingEmbedder:
    """Vectors from a hash of the text; ``asked`` counts every text. ``before`` may raise or block, given the texts."""

    def __init__(self, settings: Settings) -> None:
        self.info = describe_model(settings)
        self.tokens = load_tokens(settings)
        self.asked: Counter[str] = Counter()
        self.before: Callable[[Sequence[str]], None] = lambda texts: None

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        if tuple(texts) == UNRELATED:
            return np.stack([self.vector(text) for text in texts])
        self.before(texts)
        self.asked.update(texts)
        return np.stack([self.vector(text) for text in texts])

    def embed_question(self, text: str) -> Vectors:
        return self.vector(text)

    def vector(self, text: str) -> Vectors:
        digest = hashlib.sha256(text.encode()).digest()
        found = np.random.default_rng(int.from_bytes(digest[:8], "big")).standard_normal(self.info.dimensions)
        return np.asarray(found / np.linalg.norm(found), np.float32)


class Workshop:
    """One collection of one person, and workers on demand."""

    def __init__(self, database: Database, settings: Settings, user: UUID) -> None:
        self.database = database
        self.settings = settings
        self.user = user
        self.embedder = CountingEmbedder(settings)
        register_model(database, settings)
        with database.as_user(user) as conn:
            self.collection = create_collection(conn, "Workshop", chunking={"max_tokens": 32})

    def expected_vector(self, text: str) -> Vectors:
        """The vector that the model gives to a text."""
        return self.embedder.vector(text)

    def store(self, name: str, text: str | bytes, **options: Any) -> UUID:
        """Upload a file; the document's id."""
        data = text.encode() if isinstance(text, str) else text
        with self.database.as_user(self.user) as conn:
            stored = store_document(conn, self.collection, name, io.BytesIO(data), max_bytes=2**24, **options)
        assert stored.document_id is not None, stored
        return stored.document_id

    @contextmanager
    def working(self, **options: Any) -> Iterator[threading.Event]:
        """A worker in threads of this process for the block; its stop event."""
        stop = threading.Event()
        options = {"queues": ("ingest", "embed"), "load_embedder": self._load, **options}
        result: list[bool] = []
        thread = threading.Thread(
            target=lambda: result.append(run_worker(self.settings, self.database, stop=stop, **options))
        )
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join(20)
        assert result == [True], "the worker did not stop in good order"

    def _load(self, settings: Settings) -> Embedder:
        return self.embedder

    def work_until(self, condition: Callable[[], bool], **options: Any) -> None:
        """Let a worker work until ``condition`` is true."""
        with self.working(**options):
            wait_for(condition)

    def finish(self, **options: Any) -> None:
        """Let a worker work until every document is at its final stage and the queues are empty."""
        self.work_until(self.is_finished, **options)

    def is_finished(self) -> bool:
        stages = {stage for stage, paused in self.rows("select stage, paused from public.documents") if not paused}
        return stages <= {"ready", "failed", "cancelled"} and not self.queued()

    def queued(self) -> int:
        """Messages of the ingest and embed queues."""
        return int(self.value("select (select count(*) from pgmq.q_ingest) + (select count(*) from pgmq.q_embed)"))

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the owner of the tables sees."""
        with self.database.as_owner() as conn:
            return conn.execute(query, values or None).fetchall()

    def value(self, query: str, *values: Any) -> Any:
        return self.rows(query, *values)[0][0]

    def run(self, statement: str, *values: Any) -> None:
        """A statement of the person's, as plain SQL by any client."""
        with self.database.as_user(self.user) as conn:
            conn.execute(statement, values or None)

    def stage(self, document: UUID) -> str:
        return str(self.value("select stage from public.documents where id = %s", document))

    def check_vectors(self) -> int:
        """Every chunk that is not given up on has the vector of its own content; how many there are."""
        rows = self.rows(
            """
            select c.id, c.context, c.text, c.content_hash, e.content_hash, e.embedding::text
            from public.chunks c left join public.embeddings e on e.chunk_id = c.id
            where not exists (select from public.failed_jobs f where f.chunk_id = c.id)
            """
        )
        for id, context, text, wanted, found, vector in rows:
            assert found == wanted, f"chunk {id} has no vector or a stale one"
            expected = self.expected_vector(f"{context}\n{text}" if context else text)
            np.testing.assert_allclose(np.array(json.loads(vector)), expected, atol=2e-3)
        counted, embedded = self.rows(
            "select coalesce(sum(chunk_count), 0), coalesce(sum(embedded_count + failed_count), 0)"
            " from public.index_documents"
        )[0]
        assert counted == embedded == self.value("select count(*) from public.chunks")
        return len(rows)


def wait_for(condition: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    """Return once ``condition`` is true; fail after ``limit_s``."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


WORDS = "amber basin cedar delta ember fjord grove heron inlet juniper knoll lagoon meadow north orchard pine"


def prose(n: int, seed: int = 0) -> str:
    """``n`` paragraphs, each about one chunk of its own."""
    rng = np.random.default_rng(seed)
    return "\n\n".join(
        f"Paragraph {seed}-{i} tells of " + " ".join(map(str, rng.choice(WORDS.split(" "), 18))) + "." for i in range(n)
    )
