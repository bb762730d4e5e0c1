"""The job that looks for better settings: search once a question, as the person who asked, then choose. In a worker.

What is found is small and quickly found again, so a search that was interrupted begins anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from rag.corpus.indexes import SearchedIndex, read_searched_index
from rag.errors import (
    InvalidInput,
    NotAllowed,
    NotFound,
)
from rag.evaluation.candidates import read_candidates
from rag.evaluation.errand import Errand
from rag.evaluation.findings import Changed, Findings, Latency, Tried, outcome_values
from rag.evaluation.objectives import label
from rag.evaluation.observing import Observations
from rag.evaluation.question_sets import Question, list_questions
from rag.evaluation.resampling import intervals
from rag.evaluation.running import EMBEDDED_AT_ONCE, embed_questions
from rag.evaluation.runs import read_corpus_state, read_truth
from rag.evaluation.scoring import Truth, spans_of
from rag.evaluation.search_space import distances, list_settings
from rag.evaluation.trade_offs import compare_depths, enough, find_floor
from rag.evaluation.tuning import Outcome, tune_settings
from rag.evaluation.tuning_rows import (
    Request,
    begin_tuning,
    fail_tuning,
    finish_tuning,
    note_asked,
    note_waiting,
)
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import retrieve

log = logging.getLogger(__name__)

#: Most questions that are asked: more would tell hardly more. Which ones is drawn, with a fixed seed.
MAX_QUESTIONS = 2000
#: Questions that the latency is measured on, and how often each is asked under both settings.
TIMED_QUESTIONS = 20
TIMED_ROUNDS = 3
#: Questions that changed most, of which the findings tell.
_CHANGED_KEPT = 20
_NOTED_EVERY_S = 1.0
_SEED = 20_261_122

Vector = NDArray[np.float32]


def tune(errand: Errand, tuning_id: int, *, noted_every_s: float = _NOTED_EVERY_S) -> None:
    """Look for better settings. Nothing to do when it is over already.

    Failures end in its row, in words; what is raised all the same, :meth:`Errand.ending_in_words` says.
    """
    with errand.database.as_worker() as conn:
        request = begin_tuning(conn, tuning_id)
    if request is None:
        return
    with errand.ending_in_words("The search for better settings", tuning_id, note_waiting, fail_tuning):
        _Tuning(errand, request, noted_every_s).go()


class _Tuning:
    """One attempt at one search for better settings."""

    def __init__(self, errand: Errand, request: Request, noted_every_s: float) -> None:
        if request.asker is None:
            raise NotAllowed("The account of whoever started this is gone.", hint="Start it again.")
        if request.index_id is None:
            raise NotFound("The index that this was about is gone.", hint="Start it again under another one.")
        self.errand = errand
        self.request = request
        self.noted_every_s = noted_every_s
        self.asker: UUID = request.asker
        self.index_id: int = request.index_id
        self.present = RetrievalProfile.from_json(request.settings)
        self.observed = Observations(list_settings(self.present), request.objective, request.budget)
        #: Questions in the order observed, and of the first some their vectors, for measuring the latency.
        self.asked: list[Question] = []
        self.vectors: list[Vector] = []

    def as_asker(self) -> AbstractContextManager[Connection[Any]]:
        return self.errand.database.as_user(self.asker)

    def go(self) -> None:
        with self.as_asker() as conn:
            index = read_searched_index(conn, self.request.collection_id, self.index_id)
            truth = read_truth(conn, self.request.set_id, self.index_id)
            judged = [one for one in list_questions(conn, self.request.set_id) if one.relevant]
            fingerprint = read_corpus_state(conn, self.index_id).fingerprint
        questions = self._usable(judged, truth)
        self._observe(index, questions, truth)
        values = self.observed.values()
        outcome = tune_settings(values, distances(self.observed.settings))
        latency = None if outcome.candidate == 0 else self._time(self.observed.settings[outcome.candidate])
        found = self._findings(values, outcome, truth, latency, len(judged) - len(questions), index, fingerprint)
        self.errand.check()
        with self.errand.database.as_worker() as conn:
            finish_tuning(conn, self.request.id, found.to_json())

    def _usable(self, judged: Sequence[Question], truth: Truth) -> list[Question]:
        """The questions that the objective can be measured on, no more than :data:`MAX_QUESTIONS`."""
        graded = truth.graded(truth.unit)
        questions = [one for one in judged if one.id in graded]
        if self.request.objective == "reading":
            questions = [one for one in questions if spans_of(truth.judgements[one.id])]
            if not questions:
                raise InvalidInput(
                    "No question of this set has a judged passage, only whole documents.",
                    hint="Aim at the order of the results instead, or judge passages.",
                )
        if len(questions) > MAX_QUESTIONS:
            kept = np.random.default_rng(_SEED).permutation(len(questions))[:MAX_QUESTIONS]
            questions = [questions[place] for place in sorted(kept)]
        return questions

    def _observe(self, index: SearchedIndex, questions: Sequence[Question], truth: Truth) -> None:
        self._note(len(questions))
        graded, since = truth.graded(truth.unit), time.monotonic()
        for question, vector in self._embedded(index, questions):
            self.errand.check()
            with self.as_asker() as conn:
                candidates = read_candidates(
                    conn,
                    self.request.collection_id,
                    question.text,
                    vector,
                    ef_search=self.present.ef_search,
                    index_id=self.index_id,
                )
            spans = spans_of(truth.judgements[question.id])
            self.observed.add(candidates, label(candidates, graded[question.id], truth.unit, spans))
            self.asked.append(question)
            if len(self.vectors) < TIMED_QUESTIONS:
                self.vectors.append(vector)
            if time.monotonic() - since >= self.noted_every_s:
                self._note(len(questions))
                since = time.monotonic()
        self._note(len(questions))

    def _embedded(self, index: SearchedIndex, questions: Sequence[Question]) -> Iterator[tuple[Question, Vector]]:
        embedder = self.errand.models.question_embedder(index.model)
        for start in range(0, len(questions), EMBEDDED_AT_ONCE):
            some = questions[start : start + EMBEDDED_AT_ONCE]
            yield from zip(some, embed_questions(embedder, [one.text for one in some]), strict=True)

    def _note(self, total: int) -> None:
        with self.errand.database.as_worker() as conn:
            note_asked(conn, self.request.id, len(self.asked), total)

    def _time(self, candidate: RetrievalProfile) -> Latency:
        """What a search takes under both settings, asked in turn so that both have the same neighbours."""
        taken: list[list[float]] = [[], []]
        timed = list(zip(self.asked, self.vectors, strict=False))
        for turn in range(TIMED_ROUNDS + 1):
            for question, vector in timed:
                self.errand.check()
                for which, profile in enumerate((self.present, candidate)):
                    began = time.perf_counter()
                    self._search(question, vector, profile)
                    if turn:  # the first round only warms up
                        taken[which].append((time.perf_counter() - began) * 1000)
        present, after = (np.quantile(times, [0.5, 0.95]).tolist() for times in taken)
        return Latency(len(taken[0]), present[0], present[1], after[0], after[1])

    def _search(self, question: Question, vector: Vector, profile: RetrievalProfile) -> None:
        retrieve(
            self.as_asker,
            self.request.collection_id,
            question.text,
            None if profile.mode == "lexical" else vector,
            profile,
            index_id=self.index_id,
        )

    def _findings(
        self,
        values: NDArray[np.float64],
        outcome: Outcome,
        truth: Truth,
        latency: Latency | None,
        left_out: int,
        index: SearchedIndex,
        fingerprint: str,
    ) -> Findings:
        settings, candidate = self.observed.settings, outcome.candidate
        before, after = values[0], values[candidate]
        shown = self.observed.shown(candidate)
        depths = compare_depths(shown)
        added = intervals((values - values[0]).T)
        return Findings(
            unit=truth.unit,
            questions=values.shape[1],
            left_out=left_out,
            present=self.present,
            candidate=settings[candidate],
            scores=(float(before.mean()), float(after.mean())),
            wins=int((after > before).sum()),
            losses=int((after < before).sum()),
            tried=[
                Tried(profile, float(score), interval)
                for profile, score, interval in zip(settings, values.mean(axis=1), added, strict=True)
            ],
            changed=self._most_changed(before, after),
            depths=depths,
            enough=enough(depths),
            floor=find_floor(shown, self.present.k),
            latency=latency,
            model=index.model.name,
            fingerprint=fingerprint,
            **outcome_values(outcome),
        )

    def _most_changed(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> list[Changed]:
        places = np.argsort(-np.abs(after - before), kind="stable")[:_CHANGED_KEPT]
        return [
            Changed(self.asked[place].id, float(before[place]), float(after[place]))
            for place in places
            if after[place] != before[place]
        ]
