"""What tuning aims at is measured as runs are: against the same measures, over random rankings."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from rag.errors import InvalidInput
from rag.evaluation.candidates import Candidates
from rag.evaluation.folder_scoring import char_recall
from rag.evaluation.labelled_folders import Passage
from rag.evaluation.objectives import evaluate_all, label
from rag.evaluation.scoring import RunHit, Unit, measure, rank, returned
from rag.evaluation.simulating import order_all
from rag.retrieval.profiles import RetrievalProfile

PROFILES = [
    RetrievalProfile(k=3),
    RetrievalProfile(dense_weight=0.2, threshold=0.5),
    RetrievalProfile(fusion="rrf", diversity=0.3),
    RetrievalProfile(mode="dense", threshold=0.9, k=7),
    RetrievalProfile(mode="lexical", threshold=0.9),
]


def make_candidates(rng: np.random.Generator, count: int = 60) -> Candidates:
    by_meaning, by_words = rng.permutation(count)[: count - 10], rng.permutation(count)[: count - 20]
    similarity = np.sort(rng.uniform(0, 1, count))[::-1]
    dense_rank, lexical_rank = np.zeros(count, np.int64), np.zeros(count, np.int64)
    lexical = np.full(count, np.nan, np.float32)
    sims = np.empty(count, np.float32)
    sims[by_meaning] = similarity[: len(by_meaning)]
    sims[np.setdiff1d(np.arange(count), by_meaning)] = similarity[len(by_meaning) :]
    dense_rank[by_meaning] = np.arange(1, len(by_meaning) + 1)
    lexical_rank[by_words] = np.arange(1, len(by_words) + 1)
    lexical[by_words] = np.sort(rng.uniform(1, 20, len(by_words)))[::-1]
    starts = rng.integers(0, 3000, count)
    return Candidates(
        chunk_ids=np.arange(100, 100 + count),
        documents=[UUID(int=int(one)) for one in rng.integers(1, 15, count)],
        starts=starts,
        ends=starts + rng.integers(50, 400, count),
        similarity=sims,
        lexical=lexical,
        dense_rank=dense_rank,
        lexical_rank=lexical_rank,
        trust=0.9,
        vectors=rng.normal(0, 1, (count, 8)).astype(np.float16),
    )


def to_hits(candidates: Candidates, places: list[int], *, bare: bool) -> list[RunHit]:
    return [
        RunHit(
            str(candidates.documents[place]),
            int(candidates.starts[place]),
            int(candidates.ends[place]),
            int(candidates.chunk_ids[place]),
            None if bare else float(candidates.similarity[place]),
            0.0,
        )
        for place in places
        if place >= 0
    ]


@pytest.mark.parametrize("unit", ["document", "passage"])
def test_the_objectives_are_the_measures_of_runs(unit: Unit) -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        candidates = make_candidates(rng)
        names = [str(UUID(int=n)) for n in range(1, 20)] if unit == "document" else [str(n) for n in range(90, 170)]
        graded = {str(name): int(rng.integers(0, 4)) for name in rng.choice(names, 6, replace=False)} | {names[0]: 1}
        labels = label(candidates, graded, unit, {})
        ndcg, orders = evaluate_all(candidates, labels, PROFILES, "ndcg", 0)
        recall, _ = evaluate_all(candidates, labels, PROFILES, "recall", 0)
        for number, profile in enumerate(PROFILES):
            hits = to_hits(candidates, orders[number].tolist(), bare=profile.mode == "lexical")
            whole = rank(returned(hits, None, profile.threshold), unit)
            cut = rank(returned(hits, profile.k, profile.threshold), unit)
            expected = measure({1: whole}, {1: cut}, {1: graded})[1]
            assert ndcg[number] == pytest.approx(expected["ndcg@10"], abs=1e-9)
            assert recall[number] == pytest.approx(expected["recall@k"], abs=1e-9)


def test_what_a_model_reads_is_counted_by_characters() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        candidates = make_candidates(rng)
        excerpts = [
            Passage(str(UUID(int=int(rng.integers(1, 15)))), start, start + 300)
            for start in rng.choice(10, 4, replace=False) * 350
        ]
        spans: dict[str, list[tuple[int, int]]] = {}
        for one in excerpts:
            spans.setdefault(one.document, []).append((one.start, one.end))
        labels = label(candidates, {}, "passage", spans)
        found, orders = evaluate_all(candidates, labels, PROFILES, "reading", 1500)
        for number, profile in enumerate(PROFILES):
            hits = to_hits(candidates, orders[number].tolist(), bare=profile.mode == "lexical")
            ranked = [Passage(hit.document, hit.start, hit.end) for hit in returned(hits, None, profile.threshold)]
            assert found[number] == pytest.approx(char_recall(ranked, excerpts, 1500), abs=1e-9)


def test_a_reranker_is_not_guessed_at() -> None:
    candidates = make_candidates(np.random.default_rng(0))
    with pytest.raises(InvalidInput, match="reranker"):
        order_all(candidates, [RetrievalProfile(rerank="some/model")])


def test_a_question_that_finds_nothing_scores_nothing() -> None:
    some = make_candidates(np.random.default_rng(0), 60)
    none = Candidates(
        chunk_ids=some.chunk_ids[:0],
        documents=[],
        starts=some.starts[:0],
        ends=some.ends[:0],
        similarity=some.similarity[:0],
        lexical=some.lexical[:0],
        dense_rank=some.dense_rank[:0],
        lexical_rank=some.lexical_rank[:0],
        trust=1.0,
        vectors=some.vectors[:0],
    )
    values, orders = evaluate_all(none, label(none, {"1": 1}, "passage", {}), PROFILES, "ndcg", 0)
    assert not values.any()
    assert (orders == -1).all()
