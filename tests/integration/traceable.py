"""Documents with real texts, spans and vectors, for the tests that follow one of them through a search."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.trace_records import Explanation
from rag.retrieval.tracing import explain
from rag.store.database import Database
from tests.integration.searchable import active_index, embed_chunks, index_chunks

QUESTION = "boundary layer"
VECTOR = [1.0, 0.0, 0.0, 0.0]


@dataclass
class Corpus:
    """A collection of Alice's and what is asked of it."""

    database: Database
    user: UUID
    collection: UUID

    def add(
        self,
        name: str,
        text: str,
        *,
        spans: Sequence[tuple[int, int]] | None = None,
        vectors: Sequence[Sequence[float]] | None = None,
        stage: str = "ready",
    ) -> tuple[UUID, list[int]]:
        """A document whose text is cut at ``spans``, or left whole; it has vectors only if they are given."""
        spans = [(0, len(text))] if spans is None else spans
        with self.database.as_owner() as conn, conn.transaction():
            document = conn.execute(
                "insert into documents (collection_id, name, size, sha256, language, stage)"
                " values (%s, %s, %s, %s, 'en', %s) returning id",
                [self.collection, name, len(text), hashlib.sha256(name.encode()).digest(), stage],
            ).fetchone()
            assert document is not None
            conn.execute(
                "insert into document_texts (document_id, revision, text) values (%s, 1, %s)", [document[0], text]
            )
            home = active_index(conn, self.collection)
            conn.execute("delete from index_documents where document_id = %s", [document[0]])
            conn.execute(
                "insert into index_documents (index_id, document_id, collection_id, text_revision)"
                " values (%s, %s, %s, 1)",
                [home, document[0], self.collection],
            )
            rows = conn.execute(
                "insert into chunks"
                " (index_id, document_id, collection_id, ordinal, start_char, end_char, text, language)"
                " select %s, %s, %s, n - 1, s, e, t, 'en'"
                " from unnest(%s::int[], %s::int[], %s::text[]) with ordinality as u (s, e, t, n) returning id",
                [
                    home,
                    document[0],
                    self.collection,
                    [start for start, _ in spans],
                    [end for _, end in spans],
                    [text[start:end] for start, end in spans],
                ],
            ).fetchall()
        ids = [row[0] for row in rows]
        index_chunks(self.database, ids)
        if vectors is not None:
            embed_chunks(self.database, ids, vectors)
        return document[0], ids

    def fill(self, count: int, *, text: str = "Cats and dogs.", vector: Sequence[float] = (0.0, 1.0, 0.0, 0.0)) -> None:
        """So many other documents, all alike."""
        for number in range(count):
            self.add(f"other-{number}.txt", f"{text} {number}", vectors=[list(vector)])

    def why(
        self,
        document: UUID | None = None,
        phrase: str | None = None,
        *,
        question: str = QUESTION,
        vector: Sequence[float] | None = VECTOR,
        user: UUID | None = None,
        documents: list[UUID] | None = None,
        rerankers: Any = None,
        scope: int | None = None,
        **settings: Any,
    ) -> Explanation:
        """The explanation under a profile with these settings."""
        return explain(
            lambda: self.database.as_user(user or self.user),
            self.collection,
            question,
            vector,
            RetrievalProfile(**settings),
            document_id=document,
            phrase=phrase,
            documents=documents,
            rerankers=rerankers,
            scope=scope,
        )


def outcomes(explanation: Explanation) -> dict[str, str]:
    """The outcome of each stage by its name."""
    return {stage.name: stage.outcome for stage in explanation.stages}
