"""What tuning aims at, for many orders of one question's candidates at once. The measures are those of `scoring`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.candidates import Candidates
from rag.evaluation.scoring import DEPTH, Unit, count_shared, merge_spans
from rag.evaluation.simulating import Floats, Orders, is_kept, order_all
from rag.retrieval.profiles import RetrievalProfile

#: ``ndcg``: the best answers first (nDCG@10). ``recall``: relevant things among the first k passages. ``reading``: the
#: share of the judged characters within the first ``budget`` characters, as a chat model reads them.
Objective = Literal["ndcg", "recall", "reading"]

_CUTOFF = 10
_DISCOUNTS = 1 / np.log2(np.arange(2, _CUTOFF + 2))


@dataclass(frozen=True, slots=True)
class Labels:
    """What is judged of a question, laid upon its candidates.

    ``items`` [chunks] numbers what each chunk counts as: its document, or itself. ``grades`` [chunks] is that item's
    grade. ``ideal`` are the grades of all relevant items, also those not found, best first. ``spans`` are the judged
    characters by candidate: [(start, end)…] of its document, without overlaps; ``wanted`` is how many there are.
    """

    items: NDArray[np.int64]
    grades: NDArray[np.int64]
    ideal: NDArray[np.int64]
    spans: list[list[tuple[int, int]]]
    wanted: int


def label(
    candidates: Candidates,
    graded: Mapping[str, int],
    unit: Unit,
    spans: Mapping[str, Sequence[tuple[int, int]]],
) -> Labels:
    """``graded`` are the question's documents or chunks by name, ``spans`` its judged characters by document."""
    names = [str(document) for document in candidates.documents]
    if unit == "document":
        numbers: dict[str, int] = {}
        items = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
        grades = np.array([graded.get(name, 0) for name in names], np.int64)
    else:
        items = np.arange(len(candidates), dtype=np.int64)
        grades = np.array([graded.get(str(chunk), 0) for chunk in candidates.chunk_ids], np.int64)
    ideal = np.array(sorted((grade for grade in graded.values() if grade > 0), reverse=True), np.int64)
    merged = {document: merge_spans(some) for document, some in spans.items()}
    wanted = sum(end - start for some in merged.values() for start, end in some)
    return Labels(items, grades, ideal, [merged.get(name, []) for name in names], wanted)


def evaluate_all(
    candidates: Candidates,
    labels: Labels,
    profiles: Sequence[RetrievalProfile],
    objective: Objective,
    budget: int,
) -> tuple[Floats, Orders]:
    """What each profile scores, and its order: the first :data:`DEPTH` places, before its cut and threshold."""
    orders = order_all(candidates, profiles, DEPTH)
    if not len(candidates):
        return np.zeros(len(profiles)), orders
    limits = [min(profile.k, DEPTH) if objective == "recall" else DEPTH for profile in profiles]
    shown = _apply_thresholds(candidates, profiles, orders)
    shown[np.arange(DEPTH)[None, :] >= np.array(limits)[:, None]] = -1
    if objective == "ndcg":
        return ndcg(shown, labels), orders
    if objective == "recall":
        return recall(shown, labels), orders
    return np.array([_read(row, candidates, labels, budget) for row in shown]), orders


def ndcg(shown: Orders, labels: Labels) -> Floats:
    """nDCG@10 of each row of places (-1: nothing there), each item where it first stands."""
    firsts = _first_sights(shown, labels.items)
    positions = np.cumsum(firsts, axis=1) - 1
    counted = firsts & (positions < _CUTOFF)
    gains = np.where(counted, labels.grades[shown] * _DISCOUNTS[np.minimum(positions, _CUTOFF - 1)], 0.0)
    best = float((labels.ideal[:_CUTOFF] * _DISCOUNTS[: len(labels.ideal)]).sum())
    return np.asarray(gains.sum(axis=1) / best if best else np.zeros(len(shown)), np.float64)


def recall(shown: Orders, labels: Labels) -> Floats:
    """The share of the relevant items in each row."""
    found = (_first_sights(shown, labels.items) & (labels.grades[shown] > 0)).sum(axis=1)
    return np.asarray(found / max(1, len(labels.ideal)), np.float64)


def _apply_thresholds(candidates: Candidates, profiles: Sequence[RetrievalProfile], orders: Orders) -> Orders:
    """Orders with -1 in place of what the profile's threshold leaves out."""
    kept = np.stack([is_kept(candidates, profile) for profile in profiles])
    return np.where(np.take_along_axis(kept, np.maximum(orders, 0), axis=1), orders, -1)


def _first_sights(shown: Orders, items: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where each row sees an item for the first time."""
    seen = np.zeros((len(shown), int(items.max()) + 2), np.bool_)
    firsts = np.zeros(shown.shape, np.bool_)
    each = np.arange(len(shown))
    for place in range(shown.shape[1]):
        there = shown[:, place] >= 0
        item = np.where(there, items[shown[:, place]], -1)
        firsts[:, place] = there & ~seen[each, item]
        seen[each, item] = True
    return firsts


def _read(places: NDArray[np.int64], candidates: Candidates, labels: Labels, budget: int) -> float:
    """The share of the judged characters within the first ``budget`` ones of these chunks joined; the last is cut.

    What chunks repeat of one another spends the budget again and counts once.
    """
    shown: dict[object, list[tuple[int, int]]] = {}
    needed: dict[object, list[tuple[int, int]]] = {}
    for place in places[places >= 0]:
        start = int(candidates.starts[place])
        cut = min(int(candidates.ends[place]), start + budget)
        budget -= cut - start
        if labels.spans[place]:
            document = candidates.documents[place]
            shown.setdefault(document, []).append((start, cut))
            needed[document] = labels.spans[place]
        if budget <= 0:
            break
    read = sum(count_shared(merge_spans(some), needed[document]) for document, some in shown.items())
    return read / max(1, labels.wanted)
