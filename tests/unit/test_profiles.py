"""Retrieval profiles refuse what can't be meant and survive JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rag.errors import InvalidInput
from rag.retrieval.profiles import RetrievalProfile


def test_defaults_are_the_documented_ones() -> None:
    assert RetrievalProfile().to_json() == {
        "mode": "hybrid",
        "k": 10,
        "threshold": None,
        "fusion": "convex",
        "dense_weight": 0.6,
        "rrf_k": 60,
        "ef_search": 200,
        "diversity": 0.0,
        "rerank": None,
        "rerank_depth": 50,
        "neighbours": 0,
    }


def test_json_and_back() -> None:
    profile = RetrievalProfile(
        mode="dense",
        k=3,
        threshold=0.25,
        fusion="rrf",
        dense_weight=1,
        rrf_k=10,
        ef_search=40,
        diversity=0.3,
        rerank="cross-encoder/ms-marco-MiniLM-L6-v2",
        rerank_depth=20,
        neighbours=1,
    )
    assert RetrievalProfile.from_json(json.loads(json.dumps(profile.to_json()))) == profile
    assert RetrievalProfile.from_json({"k": 7}) == RetrievalProfile(k=7)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no setting reranker, top_k"):
        RetrievalProfile.from_json({"top_k": 5, "reranker": True, "k": 5})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "sparse"}, "dense, lexical or hybrid, not 'sparse'"),
        ({"k": 0}, "between 1 and 1,000 chunks, not 0"),
        ({"k": 1001}, "between 1 and 1,000 chunks"),
        ({"k": True}, "between 1 and 1,000 chunks"),
        ({"k": "10"}, "between 1 and 1,000 chunks, not '10'"),
        ({"threshold": 1.5}, "between -1 and 1"),
        ({"threshold": float("nan")}, "between -1 and 1"),
        ({"fusion": "sum"}, "convex or rrf"),
        ({"dense_weight": 1.01}, "between 0 and 1"),
        ({"dense_weight": None}, "between 0 and 1"),
        ({"rrf_k": 0}, "reciprocal rank fusion"),
        ({"ef_search": 2000}, "ef_search"),
        ({"diversity": 1.1}, "Diversity lies between 0 and 1"),
        ({"diversity": None}, "Diversity lies between 0 and 1"),
        ({"rerank": ""}, "name or the folder of a cross encoder"),
        ({"rerank": True}, "name or the folder of a cross encoder"),
        ({"rerank_depth": 0}, "Between 1 and 200 chunks are reranked"),
        ({"rerank_depth": 201}, "Between 1 and 200 chunks are reranked"),
        ({"neighbours": 4}, "Between 0 and 3 neighbours"),
        ({"neighbours": 1.0}, "Between 0 and 3 neighbours"),
    ],
)
def test_bad_values_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        RetrievalProfile.from_json(settings)


def test_changes_leave_out_what_is_none() -> None:
    profile = RetrievalProfile(k=5, threshold=0.3)
    assert profile.with_changes(k=None, mode="dense") == RetrievalProfile(k=5, threshold=0.3, mode="dense")
    with pytest.raises(InvalidInput):
        profile.with_changes(k=-1)
