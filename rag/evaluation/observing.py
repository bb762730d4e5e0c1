"""What every setting of the search space scores on each question, from one search a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.candidates import Candidates
from rag.evaluation.objectives import Labels, Objective, evaluate_all
from rag.evaluation.simulating import Floats
from rag.evaluation.trade_offs import DEPTH, Shown
from rag.retrieval.profiles import RetrievalProfile


@dataclass(frozen=True, slots=True)
class _Seen:
    """One question: its scores [settings], its first places [settings, DEPTH], and what of the candidates is needed."""

    values: NDArray[np.float32]
    places: NDArray[np.int16]
    similarity: NDArray[np.float32]
    grades: NDArray[np.int64]
    items: NDArray[np.int64]
    lengths: NDArray[np.int64]
    relevant: int


@dataclass
class Observations:
    """The questions so far. A question keeps some 15 kB: vectors and texts are gone once it is added."""

    settings: Sequence[RetrievalProfile]
    objective: Objective
    budget: int
    _seen: list[_Seen] = field(default_factory=list)

    def add(self, candidates: Candidates, labels: Labels) -> None:
        """Let each setting order the candidates of one more question."""
        values, orders = evaluate_all(candidates, labels, self.settings, self.objective, self.budget)
        self._seen.append(
            _Seen(
                values.astype(np.float32),
                orders[:, :DEPTH].astype(np.int16),
                candidates.similarity,
                labels.grades,
                labels.items,
                candidates.ends - candidates.starts,
                len(labels.ideal),
            )
        )

    def values(self) -> Floats:
        """[settings, questions]"""
        return np.array([seen.values for seen in self._seen], np.float64).reshape(len(self._seen), -1).T

    def shown(self, setting: int) -> list[Shown]:
        """What each question shows first under that setting, whatever its k and threshold."""
        return [_show(seen, seen.places[setting], self.settings[setting].mode == "lexical") for seen in self._seen]


def _show(seen: _Seen, places: NDArray[np.int16], by_words: bool) -> Shown:
    there = places[places >= 0].astype(np.int64)
    similarity = seen.similarity[there]
    return Shown(
        np.full_like(similarity, np.nan) if by_words else similarity,
        seen.grades[there],
        seen.items[there],
        seen.lengths[there],
        seen.relevant,
    )
