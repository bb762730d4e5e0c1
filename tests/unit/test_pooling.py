"""Hits of several collections as one ranking."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from rag.chat.pooling import Leg, as_under, pool_hits, relevance
from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile


def hit(rank: int, similarity: float | None, lexical: float | None = None, text: str = "", **more: Any) -> Hit:
    values: dict[str, Any] = {
        "document_id": UUID(int=rank), "document": "a.txt", "title": None, "text_revision": 1, "page": None,
        "start": 0, "end": 5, "heading_path": [], "score": 0.5, "dense_rank": rank if similarity is not None else None,
        "lexical_rank": rank if lexical is not None else None,
    }  # fmt: skip
    name = text or f"{similarity} {lexical}"
    return Hit(rank=rank, chunk_id=rank, text=name, similarity=similarity, lexical=lexical, **(values | more))


def places(legs: list[Leg], **profile: Any) -> list[tuple[int, int]]:
    """(leg, rank that it had there) in the order of the pool."""
    pooled = pool_hits(legs, RetrievalProfile(**profile))
    assert [one.hit.rank for one in pooled] == list(range(1, len(pooled) + 1))
    return [(one.leg, one.hit.chunk_id) for one in pooled]


def test_cosines_count_from_what_unrelated_texts_score_under_their_model() -> None:
    plain = Leg([hit(1, 0.6), hit(2, 0.1)], 0.0)
    narrow = Leg([hit(1, 0.85), hit(2, 0.75)], 0.7)  # .5 and .17 above chance
    assert places([plain, narrow], mode="dense") == [(0, 1), (1, 1), (1, 2), (0, 2)]


def test_words_count_by_the_best_of_all_and_not_of_each() -> None:
    about = Leg([hit(1, 0.5, 20.0), hit(2, 0.4, 12.0)], 0.0)
    by_the_way = Leg([hit(1, 0.5, 2.0), hit(2, 0.45, 1.0)], 0.0)
    assert places([about, by_the_way], mode="hybrid") == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert places([about, by_the_way], mode="lexical") == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_reciprocal_ranks_are_those_of_the_pool() -> None:
    first = Leg([hit(1, 0.9, 5.0), hit(2, 0.3, None)], 0.0)
    second = Leg([hit(1, 0.2, 4.0), hit(2, None, 9.0)], 0.0)
    order = places([first, second], mode="hybrid", fusion="rrf", rrf_k=1)
    assert order == [(0, 1), (1, 1), (1, 2), (0, 2)]


def test_an_index_whose_model_is_not_trusted_is_ranked_by_words() -> None:
    near = hit(1, 0.9, None)
    worded = hit(2, 0.1, 10.0)
    assert places([Leg([near, worded], 0.0)], dense_weight=0.6) == [(0, 1), (0, 2)]
    assert places([Leg([near, worded], 0.0, trust=0.2)], dense_weight=0.6) == [(0, 2), (0, 1)]


def test_the_same_words_in_two_collections_come_once() -> None:
    legs = [Leg([hit(1, 0.5, text="The pump\nis blue.")], 0.0), Leg([hit(1, 0.6, text="The pump is blue.")], 0.0)]
    assert places(legs, mode="dense") == [(1, 1)]


def test_nothing_of_nothing() -> None:
    assert pool_hits([], RetrievalProfile()) == []
    assert pool_hits([Leg([], 0.0), Leg([], 0.1)], RetrievalProfile()) == []


def test_a_cosine_is_told_on_another_model_s_scale() -> None:
    assert relevance(0.7, 0.7) == 0.0
    assert as_under(0.85, 0.7, 0.0) == pytest.approx(0.5)
    assert as_under(1.0, 0.7, 0.03) == pytest.approx(1.0)
    assert as_under(None, 0.7, 0.0) is None
