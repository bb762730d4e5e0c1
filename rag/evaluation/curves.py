"""What other values of k and of the threshold would give, from the hits of a run: no new search. Pure.

Possible since a search with a smaller k, or a higher threshold, returns some of the same hits in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.resampling import intervals
from rag.evaluation.scoring import DEPTH, RunHit, Truth, Unit

#: Enough for a band in a picture.
_RESAMPLES = 1000
_STEP = 0.01


class RecallPoint(NamedTuple):
    """Mean recall of what ``k`` passages hold, with its 95 % interval."""

    k: int
    recall: float
    low: float
    high: float


class ThresholdPoint(NamedTuple):
    """With this threshold: mean recall; the relevant share of all passages returned (None for none); how many a
    question gets on average; and the share of questions that get none."""

    threshold: float
    recall: float
    precision: float | None
    returned: float
    unanswered: float


def recall_by_k(
    hits: Mapping[int, Sequence[RunHit]], truth: Truth, unit: Unit, threshold: float | None = None, limit: int = DEPTH
) -> list[RecallPoint]:
    """Recall for each k up to ``limit``; passages below ``threshold`` take their places and aren't returned."""
    judged = _judged(hits, truth, unit)
    if not judged:
        return []
    table = np.array([_found_by(found, relevant, threshold, limit) for found, relevant in judged])
    return [
        RecallPoint(k, one.mean, one.low, one.high)
        for k, one in enumerate(intervals(table, resamples=_RESAMPLES), start=1)
    ]


def by_threshold(hits: Mapping[int, Sequence[RunHit]], truth: Truth, unit: Unit, k: int) -> list[ThresholdPoint]:
    """Precision and recall for each threshold in steps of .01 that changes anything, at this ``k``."""
    judged = [(found[:k], relevant) for found, relevant in _judged(hits, truth, unit)]
    known = [_similarity(hit) for found, _ in judged for hit in found if hit[1] is not None]
    if not known:
        return []
    low, high = np.floor(min(known) / _STEP), np.ceil(max(known) / _STEP)
    thresholds = np.arange(low, high + 1) * _STEP
    recall = np.zeros(len(thresholds))
    shown, right, none = np.zeros(len(thresholds)), np.zeros(len(thresholds)), np.zeros(len(thresholds))
    for found, relevant in judged:
        similarities = np.array([_similarity(hit) for hit in found], np.float64)
        is_right = np.array([hit[0] in relevant for hit in found], bool)
        kept = similarities[:, None] >= thresholds[None, :] - 1e-9
        shown += kept.sum(axis=0)
        none += ~kept.any(axis=0)
        right += kept[is_right].sum(axis=0)
        best: dict[str, float] = {}
        for name, similarity in found:
            if name in relevant:
                best[name] = max(best.get(name, -np.inf), -np.inf if similarity is None else similarity)
        for similarity in best.values():
            recall += (similarity >= thresholds - 1e-9) / len(relevant)
    count = len(judged)
    return [
        ThresholdPoint(
            round(float(threshold), 2),
            float(recall[n] / count),
            float(right[n] / shown[n]) if shown[n] else None,
            float(shown[n] / count),
            float(none[n] / count),
        )
        for n, threshold in enumerate(thresholds)
    ]


#: Name of the document or passage, similarity.
_Named = tuple[str, float | None]


def _judged(
    hits: Mapping[int, Sequence[RunHit]], truth: Truth, unit: Unit
) -> list[tuple[list[_Named], frozenset[str]]]:
    """Of each question that can be judged: its hits by name, and the names of what is relevant."""
    found = []
    for question, grades in truth.graded(unit).items():
        relevant = frozenset(name for name, grade in grades.items() if grade > 0)
        if relevant and question in hits:
            named = [(hit.document if unit == "document" else str(hit.chunk), hit.similarity) for hit in hits[question]]
            found.append((named, relevant))
    return found


def _found_by(
    found: Sequence[_Named], relevant: frozenset[str], threshold: float | None, limit: int
) -> NDArray[np.float64]:
    """Recall after each of the first ``limit`` hits."""
    gains = np.zeros(limit)
    seen: set[str] = set()
    for place, hit in enumerate(found[:limit]):
        name = hit[0]
        if name in relevant and name not in seen and (threshold is None or _similarity(hit) >= threshold):
            seen.add(name)
            gains[place] = 1 / len(relevant)
    return gains.cumsum()


def _similarity(hit: _Named) -> float:
    """Unknown is below every threshold, as in the search."""
    return -np.inf if hit[1] is None else float(hit[1])
