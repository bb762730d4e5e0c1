"""Curves say what another k or threshold would have given: the same as measuring with it."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest

from rag.evaluation.curves import by_threshold, recall_by_k
from rag.evaluation.judgements import Judgement
from rag.evaluation.scoring import RunHit, Truth, returned, score_questions


@pytest.fixture(scope="module")
def hits() -> dict[int, list[RunHit]]:
    """Thirty questions with forty passages of ten documents each, in an order that similarity does not follow."""
    rng = np.random.default_rng(3)
    return {
        question: [
            RunHit(str(UUID(int=int(rng.integers(1, 11)))), 0, 10, chunk, round(float(rng.random()), 4), 1.0)
            for chunk in range(1, 41)
        ]
        for question in range(1, 31)
    }


@pytest.fixture(scope="module")
def truth(hits: dict[int, list[RunHit]]) -> Truth:
    rng = np.random.default_rng(4)
    judged = {
        question: [Judgement(UUID(int=int(n)), None, None, 1) for n in rng.choice(np.arange(1, 14), 3, replace=False)]
        for question in hits
    }
    return Truth(judged, {})


def test_recall_at_each_k_is_what_measuring_with_it_says(hits: dict[int, list[RunHit]], truth: Truth) -> None:
    points = recall_by_k(hits, truth, "document", limit=40)
    assert [point.k for point in points] == list(range(1, 41))
    for k in (1, 7, 40):
        scores = score_questions(hits, truth, k=k, threshold=None)
        assert points[k - 1].recall == pytest.approx(np.mean([one["document:recall@k"] for one in scores.values()]))
        assert points[k - 1].low <= points[k - 1].recall <= points[k - 1].high
    assert all(a.recall <= b.recall for a, b in pairwise(points))


def test_a_threshold_holds_for_each_k(hits: dict[int, list[RunHit]], truth: Truth) -> None:
    points = recall_by_k(hits, truth, "document", 0.7, limit=40)
    for k in (1, 7, 40):
        scores = score_questions(hits, truth, k=k, threshold=0.7)
        assert points[k - 1].recall == pytest.approx(np.mean([one["document:recall@k"] for one in scores.values()]))
    assert points[-1].recall < recall_by_k(hits, truth, "document", limit=40)[-1].recall


def test_each_threshold_gives_what_measuring_with_it_says(hits: dict[int, list[RunHit]], truth: Truth) -> None:
    points = by_threshold(hits, truth, "document", 10)
    assert all(a.recall >= b.recall and a.returned >= b.returned for a, b in pairwise(points))
    for point in points[:: len(points) // 5]:
        kept = {question: returned(found, 10, point.threshold) for question, found in hits.items()}
        scores = score_questions(hits, truth, k=10, threshold=point.threshold)
        assert point.recall == pytest.approx(np.mean([one["document:recall@k"] for one in scores.values()]))
        assert point.returned == pytest.approx(np.mean([len(some) for some in kept.values()]))
        assert point.unanswered == pytest.approx(np.mean([not some for some in kept.values()]))
        relevant = {q: {str(one.document_id) for one in judged} for q, judged in truth.judgements.items()}
        flags = [hit.document in relevant[question] for question, some in kept.items() for hit in some]
        assert point.precision == (pytest.approx(np.mean(flags)) if flags else None)


def test_without_similarities_or_judgements_there_is_no_curve(hits: dict[int, list[RunHit]], truth: Truth) -> None:
    unknown = {question: [hit._replace(similarity=None) for hit in found] for question, found in hits.items()}
    assert by_threshold(unknown, truth, "document", 10) == []
    assert recall_by_k(hits, Truth({}, {}), "document") == []
    assert by_threshold(hits, Truth({}, {}), "document", 10) == []
