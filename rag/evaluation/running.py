"""The job of a run: ask what wasn't asked yet, as the person who started it; then measure. In a worker, under a lease.

What was found is stored every second, so a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from rag.corpus.indexes import SearchedIndex, read_searched_index
from rag.errors import NotAllowed, NotFound
from rag.evaluation.errand import Errand
from rag.evaluation.question_sets import Question, list_questions
from rag.evaluation.run_rows import (
    Answer,
    Task,
    begin_run,
    fail_run,
    finish_run,
    keep_answers,
    note_start,
    note_waiting,
)
from rag.evaluation.runs import fingerprint_judgements, read_corpus_state, read_results, read_truth
from rag.evaluation.scoring import DEPTH, RunHit, score_questions, summarise
from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import retrieve
from rag.vectors.embedders import Embedder

log = logging.getLogger(__name__)

#: Questions embedded at once, and seconds after which what was found is stored.
EMBEDDED_AT_ONCE = 64
STORED_EVERY_S = 1.0


def run(errand: Errand, run_id: int, *, stored_every_s: float = STORED_EVERY_S) -> None:
    """Ask the questions of a run that have no answer yet, and measure it. Nothing to do when it is over already.

    Failures end in the run, in words; what is raised all the same, :meth:`Errand.ending_in_words` says.
    """
    with errand.database.as_worker() as conn:
        task = begin_run(conn, run_id)
    if task is None:
        return
    with errand.ending_in_words("The run", run_id, note_waiting, fail_run):
        _Running(errand, task, stored_every_s).go()


class _Running:
    """One attempt at one run."""

    def __init__(self, errand: Errand, task: Task, stored_every_s: float) -> None:
        if task.asker is None:
            raise NotAllowed("The account of whoever started this run is gone.", hint="Start it again.")
        if task.index_id is None:
            raise NotFound("The index of this run is gone.", hint="Start it again under another one.")
        self.errand = errand
        self.task = task
        self.stored_every_s = stored_every_s
        self.asker: UUID = task.asker
        self.index_id: int = task.index_id
        self.profile = RetrievalProfile.from_json(task.settings)

    def as_asker(self) -> AbstractContextManager[Connection[Any]]:
        return self.errand.database.as_user(self.asker)

    def go(self) -> None:
        if not self.task.measured:
            self._ask_all()
        self._measure()

    def _ask_all(self) -> None:
        with self.as_asker() as conn:
            index = read_searched_index(conn, self.task.collection_id, self.index_id)
            corpus = self.task.corpus or _state_of(conn, index.id)
            questions = [one for one in list_questions(conn, self.task.set_id) if one.relevant]
            known = {result.question_id for result in read_results(conn, self.task.id)}
        with self.errand.database.as_worker() as conn:
            note_start(conn, self.task.id, len(questions), corpus)
        due = [question for question in questions if question.id not in known]
        kept: list[Answer] = []
        since = time.monotonic()
        for answer in self._answers(index, due):
            kept.append(answer)
            if time.monotonic() - since >= self.stored_every_s:
                self._keep(kept)
                kept, since = [], time.monotonic()
        self._keep(kept)

    def _answers(self, index: SearchedIndex, due: Sequence[Question]) -> Iterator[Answer]:
        # A search by words needs a vector for its threshold only.
        by_words = self.profile.mode == "lexical" and self.profile.threshold is None
        embedder = None if by_words else self.errand.models.question_embedder(index.model)
        for start in range(0, len(due), EMBEDDED_AT_ONCE):
            some = due[start : start + EMBEDDED_AT_ONCE]
            vectors = [None] * len(some) if embedder is None else embed_questions(embedder, [q.text for q in some])
            for question, vector in zip(some, vectors, strict=True):
                self.errand.check()
                yield self._ask(index.id, question, vector)

    def _ask(self, index_id: int, question: Question, vector: NDArray[np.float32] | None) -> Answer:
        began = time.perf_counter()
        hits = retrieve(
            self.as_asker,
            self.task.collection_id,
            question.text,
            vector,
            far_reaching(self.profile),
            index_id=index_id,
        )
        took = (time.perf_counter() - began) * 1000
        return Answer(question.id, [_kept(hit) for hit in hits], took)

    def _keep(self, answers: Sequence[Answer]) -> None:
        self.errand.check()
        if answers:
            with self.errand.database.as_worker() as conn:
                keep_answers(conn, self.task.id, answers)

    def _measure(self) -> None:
        with self.as_asker() as conn:
            truth = read_truth(conn, self.task.set_id, self.index_id)
            judged = fingerprint_judgements(conn, self.task.set_id)
            results = read_results(conn, self.task.id)
            after = {} if self.task.measured else {"fingerprint_after": _state_of(conn, self.index_id)["fingerprint"]}
        hits = {result.question_id: result.hits for result in results}
        scores = score_questions(hits, truth, k=self.profile.k, threshold=self.profile.threshold)
        metrics = {
            "unit": truth.unit,
            "judgements": judged,
            "values": summarise(scores, [result.latency_ms for result in results]),
        }
        self.errand.check()
        with self.errand.database.as_worker() as conn:
            finish_run(conn, self.task.id, scores, metrics, after)


def far_reaching(profile: RetrievalProfile) -> RetrievalProfile:
    """The profile with what the curves and metrics of the order need to see: the same hits first, and more of them."""
    # A search by meaning alone asks the vector index for k; for more than ef_search that one would look further.
    reach = min(DEPTH, profile.ef_search) if profile.mode == "dense" else DEPTH
    return replace(profile, k=max(profile.k, reach), threshold=None)


def embed_questions(embedder: Embedder, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """A vector for each question: together where the model reads questions as it reads passages, else one by one."""
    info = embedder.info
    fits = np.asarray(embedder.tokens.counts([info.query_prefix + text for text in texts])) <= info.window
    if info.query_prefix != info.passage_prefix or not fits.any():
        return [embedder.embed_question(text) for text in texts]
    together = iter(embedder.embed_passages([text for text, fit in zip(texts, fits, strict=True) if fit]))
    return [next(together) if fit else embedder.embed_question(text) for text, fit in zip(texts, fits, strict=True)]


def _state_of(conn: Connection[Any], index_id: int) -> dict[str, Any]:
    return asdict(read_corpus_state(conn, index_id))


def _kept(hit: Hit) -> RunHit:
    # What it was ordered by: the cross encoder's word is the last.
    score = hit.score if hit.rerank_score is None else hit.rerank_score
    return RunHit(str(hit.document_id), hit.start, hit.end, hit.chunk_id, hit.similarity, round(score, 6))
