"""How many passages to return, and from which similarity on: what each choice finds and what it costs.

No measure of an order decides these: more passages and no threshold always find more. So k is chosen by how much of
what could be found is found, and the threshold as the highest that loses next to nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.resampling import Interval, intervals

Floats = NDArray[np.float64]

#: The passages of a question that are looked at.
DEPTH = 50
KS = (1, 3, 5, 8, 10, 15, 20, 30, 50)
#: What part of that which the first 50 passages find is "enough" to suggest a k.
ENOUGH = 0.9
#: What part of its recall a threshold may lose, on the questions that choose it and on those held back.
_LOSS_CHOSEN, _LOSS_HELD = 0.005, 0.01
#: A threshold that leaves out less than this part of the irrelevant passages is not worth having.
_LEAST_DROPPED = 0.05
_STEPS = np.round(np.arange(0.0, 0.96, 0.01), 2)
_FOLDS = 5
_SEED = 20_261_122


@dataclass(frozen=True, slots=True)
class Shown:
    """The first passages of one question, best first: similarity (NaN: none), grade, the item each is, characters."""

    similarity: NDArray[np.float32]
    grades: NDArray[np.int64]
    items: NDArray[np.int64]
    lengths: NDArray[np.int64]
    relevant: int


class Depth(NamedTuple):
    """What k passages find: recall with its interval, the share that is relevant, characters a chat would read."""

    k: int
    recall: Interval
    precision: float
    characters: float


@dataclass(frozen=True, slots=True)
class Floor:
    """A threshold, and what it does on questions that had no part in choosing it.

    ``lost`` is the part of the recall that it loses, ``dropped`` the part of the irrelevant passages left out.
    """

    threshold: float
    lost: Interval
    dropped: Interval
    recall: float
    worth: bool


def compare_depths(questions: Sequence[Shown]) -> list[Depth]:
    """Each k of :data:`KS`, over the same questions."""
    recalls = np.array([[_recall(shown, k) for k in KS] for shown in questions])
    found = []
    for k, recall in zip(KS, intervals(recalls), strict=True):
        hits = [shown.grades[:k] > 0 for shown in questions]
        precision = sum(int(some.sum()) for some in hits) / max(1, sum(map(len, hits)))
        characters = float(np.mean([shown.lengths[:k].sum() for shown in questions]))
        found.append(Depth(k, recall, precision, characters))
    return found


def enough(depths: Sequence[Depth]) -> int | None:
    """The smallest k that finds :data:`ENOUGH` of what the largest does; None where only that one does."""
    most = max((depth.recall.mean for depth in depths), default=0.0)
    return next((depth.k for depth in depths[:-1] if most > 0 and depth.recall.mean >= ENOUGH * most), None)


def find_floor(questions: Sequence[Shown], k: int) -> Floor | None:
    """The highest threshold that loses next to nothing of what ``k`` passages find; None without similarities."""
    if not any(np.isfinite(shown.similarity[:k]).any() for shown in questions):
        return None
    tables = [_under_thresholds(shown, k) for shown in questions]
    recall, dropped = (np.array([table[part] for table in tables]) for part in (0, 1))
    chosen = _highest(recall)
    number = np.random.default_rng(_SEED).permutation(np.arange(len(questions)) % _FOLDS)
    each = np.zeros(len(questions), np.int64)
    for fold in range(_FOLDS):
        each[number == fold] = _highest(recall[number != fold])
    rows = np.arange(len(questions))
    whole = max(float(recall[:, 0].mean()), 1e-9)
    lost, left_out = intervals(np.stack([(recall[:, 0] - recall[rows, each]) / whole, dropped[rows, each]], axis=1))
    worth = bool(chosen > 0 and lost.mean <= _LOSS_HELD and left_out.mean >= _LEAST_DROPPED)
    return Floor(float(_STEPS[chosen - 1]) if chosen else 0.0, lost, left_out, float(recall[:, chosen].mean()), worth)


def _recall(shown: Shown, k: int) -> float:
    return len(set(shown.items[:k][shown.grades[:k] > 0])) / max(1, shown.relevant)


def _under_thresholds(shown: Shown, k: int) -> tuple[Floats, Floats]:
    """Recall, and the part of the irrelevant passages left out, without a threshold and at each of the steps."""
    similarity, relevant, items = shown.similarity[:k], shown.grades[:k] > 0, shown.items[:k]
    best: dict[int, float] = {}
    for item, near in zip(items[relevant], similarity[relevant], strict=True):
        best[item] = max(best.get(item, -math.inf), -math.inf if np.isnan(near) else float(near))
    nearest = np.array(list(best.values()), np.float32)
    steps = _STEPS.astype(np.float32)
    recall = [len(nearest), *(int((nearest >= step).sum()) for step in steps)]
    irrelevant = similarity[~relevant]
    dropped = [0, *(int((~(irrelevant >= step)).sum()) for step in steps)]
    share = np.array(dropped) / len(irrelevant) if len(irrelevant) else np.full(len(dropped), np.nan)
    return np.array(recall) / max(1, shown.relevant), share


def _highest(recall: Floats) -> int:
    """The last column that keeps the mean of the first one, but for what may be lost."""
    means = recall.mean(axis=0)
    return int(np.flatnonzero(means >= means[0] * (1 - _LOSS_CHOSEN) - 1e-12).max())
