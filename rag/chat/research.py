"""What is asked, of what, and what the collections hold on it: the first two phases of an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from rag.chat import answer_rows
from rag.chat.answer_writer import AnswerWriter
from rag.chat.chats import read_scope_note
from rag.chat.dictation import Dictation
from rag.chat.extractive import Choice, Source, choose_quotes
from rag.chat.grounding import Ground, read_grounds, sentence_embedder
from rag.chat.harvesting import Harvest, find_passages
from rag.chat.patience import Patience
from rag.chat.rewriting import join_questions, leans_on_before
from rag.chat.snapshots import SearchedPlace, Snapshot
from rag.errors import NotAllowed, ProviderBusy
from rag.retrieval.scopes import describe_size
from rag.store.database import Database
from rag.vectors.embedders import Embedder
from rag.vectors.models import ModelRow

#: The embedder of an index's model.
EmbedderFor = Callable[[ModelRow], Embedder]


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found, in numbers and words; ``seconds`` are those of the searches."""

    harvest: Harvest
    described: str
    seconds: float


class Research:
    """For one attempt at an answer: :meth:`read`, :meth:`understand`, :meth:`search`, in this order.

    ``question`` is what is searched for; ``rewritten`` is the question as the chat model put it, where it was a
    follow-up and stands alone now. ``history`` holds the (question, answer) pairs before it.
    """

    def __init__(
        self, database: Database, writer: AnswerWriter, embedder: Embedder, embedder_for: EmbedderFor | None
    ) -> None:
        self.question = writer.attempt.question
        self.rewritten: str | None = None
        self.history: list[tuple[str, str]] = []
        self.grounds: list[Ground] = []
        self._vectors: dict[int, NDArray[np.float32]] = {}
        self._database = database
        self._writer = writer
        self._embedder = embedder
        self._embedder_for = embedder_for
        self._attempt = writer.attempt
        self._patience = Patience(writer)
        self._scope = read_scope_note(writer.attempt.scope)

    def read(self) -> None:
        """The collections, as far as the asker may see them, and what was said before.

        Raises :class:`NotFound` where the chat's own collection is not theirs to see, :class:`NotAllowed` where they
        are gone.
        """
        if self._attempt.asker is None:
            raise NotAllowed("The account that asked this is gone, and answers are made with the asker's rights.")
        scope = None if self._scope is None else self._scope.id
        attempt = self._attempt
        with self._open() as conn:
            self.grounds = read_grounds(conn, attempt.collection_id, attempt.profile, scope, attempt.collections)
        for ground in self.grounds:
            ground.check(self._embedder_of(ground).info)
        with self._database.as_worker() as conn:
            self.history = answer_rows.read_history(conn, attempt)

    def understand(self, dictation: Dictation | None) -> str:
        """Put a follow-up into words that stand alone, if a model can, and embed it; says what was done."""
        if dictation is not None and self.history:
            self._writer.note("Reading the question together with those before.")
            self.rewritten = dictation.rewrite(self.question, self.history)
        self.question = self.rewritten or self.question
        self._vectors = self._embed(self.question)
        names = " and ".join(dict.fromkeys(ground.index.model.name for ground in self.grounds))
        read = f"Understood as “{self.rewritten}”, and embedded" if self.rewritten else "Embedded the question"
        return f"{read} with {names}."

    def search(self) -> Findings:
        """What the collections hold on it. A follow-up that finds nothing by itself is searched with the one before."""
        began = time.perf_counter()
        harvest = self._find()
        profile = self.grounds[0].profile
        manner = profile.mode if profile.rerank is None else f"{profile.mode}, reranked"
        if not self.rewritten and self.history and not harvest.is_close and leans_on_before(self.question):
            harvest, joined = self._find_joined(harvest)
            manner += ", together with the question before" if joined else ""
        return Findings(harvest, self._describe(harvest, manner), time.perf_counter() - began)

    def choose(self, sources: list[Source]) -> Choice:
        """What to quote of them word for word."""
        home = self.grounds[0]
        return choose_quotes(
            self.question, self._vectors[home.index.model.id], sources, self.embed_sentences, home.random_mean
        )

    def embed_sentences(self, texts: list[str]) -> NDArray[np.float32]:
        """Sentences under the model of the chat's own collection."""
        return sentence_embedder(self._embedder_of(self.grounds[0]))(texts)

    def snapshot(self, findings: Findings) -> Snapshot:
        """How the passages came about, to be kept with the answer."""
        places = [
            SearchedPlace(one.collection_id, one.name, one.index.id, one.index.model.name) for one in self.grounds
        ]
        return Snapshot(
            profile=self.grounds[0].profile.to_json(),
            indexes=places,
            found=findings.harvest.hits,
            kept=len(findings.harvest.found),
            retrieval_seconds=round(findings.seconds, 4),
        )

    @property
    def where(self) -> str:
        """What of is searched, after "so many passages"; nothing where that is all of the one collection."""
        among = f", only among {describe_size(self._scope.passages, self._scope.documents)}" if self._scope else ""
        if len(self.grounds) == 1:
            return among
        return f"{among} and in the other collections" if among else f" in {count(len(self.grounds), 'collection')}"

    @property
    def searched(self) -> str:
        """A word for it."""
        several = "collections" if len(self.grounds) > 1 else "collection"
        return "selection" if self._scope is not None else several

    def _open(self) -> AbstractContextManager[Connection[Any]]:
        """A transaction with the rights of whoever asks."""
        asker = self._attempt.asker
        assert asker is not None
        return self._database.as_user(asker)

    def _find(self) -> Harvest:
        return find_passages(self._open, self.grounds, self.question, self._vectors)

    def _find_joined(self, alone: Harvest) -> tuple[Harvest, bool]:
        """What both questions find together, if that is more; and whether it is."""
        typed, vectors = self.question, self._vectors
        self.question = join_questions(self.history[-1][0], typed)
        self._vectors = self._embed(self.question)
        harvest = self._find()
        if harvest.is_close:
            self._writer.note(f"Searching for “{self.question}”{self.where}.", standalone=self.question)
            return harvest, True
        self.question, self._vectors = typed, vectors
        return alone, False

    def _describe(self, harvest: Harvest, manner: str) -> str:
        read = count(len({one.passage.document_id for one in harvest.found}), "document")
        if missing := len(set(self._attempt.collections) - {ground.collection_id for ground in self.grounds}):
            manner += f"; {count(missing, 'collection')} could not be searched"
        if len(self.grounds) == 1:
            return f"Found {count(harvest.hits, 'passage')} in {read}{self.where} ({manner})"
        best = f"the best {len(harvest.found)} in {read}"
        return f"Found {count(harvest.hits, 'passage')}{self.where} ({manner}), {best}"

    def _embedder_of(self, ground: Ground) -> Embedder:
        return self._embedder if self._embedder_for is None else self._embedder_for(ground.index.model)

    def _embed(self, question: str) -> dict[int, NDArray[np.float32]]:
        """The question under each model that is searched with, by the models' ids."""
        vectors: dict[int, NDArray[np.float32]] = {}
        for ground in self.grounds:
            while ground.index.model.id not in vectors:
                try:
                    vectors[ground.index.model.id] = self._embedder_of(ground).embed_question(question)
                except ProviderBusy as busy:
                    self._patience.sit_out(busy)
        return vectors


def count(number: int, noun: str) -> str:
    """``1 passage``, ``1,200 passages``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
