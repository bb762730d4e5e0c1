"""Hits of several collections as one ranking, each found under its own index and model.

Scores of different indexes are not comparable as they stand: cosines have another zero under each model, and a fused
score counts words by the best of its own index. So the legs are fused anew over all hits together, as a search of one
collection does it: cosines counted from what unrelated texts score under their model, BM25 by the best of the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile

#: Hits asked of each collection at least: the fusion over the pool may prefer what stands lower in its own.
LEAST_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Leg:
    """What one collection found, best first.

    ``random_mean`` is the mean cosine of unrelated texts under its model. ``trust`` is how much of the profile's dense
    weight the index's search used, as ``corpuscope.model_trust()`` says.
    """

    hits: Sequence[Hit]
    random_mean: float
    trust: float = 1.0


@dataclass(frozen=True, slots=True)
class Pooled:
    """A hit and the leg (from 0) that it is from; ``hit.score`` and ``hit.rank`` are those of the pool."""

    leg: int
    hit: Hit


def pool_hits(legs: Sequence[Leg], profile: RetrievalProfile) -> list[Pooled]:
    """All hits in the order of the pool; of passages with the same words in several collections, the best alone."""
    entries = [(n, hit) for n, leg in enumerate(legs) for hit in leg.hits]
    scores = _scores(legs, entries, profile)
    order = sorted(range(len(entries)), key=lambda at: (-scores[at], entries[at][1].rank, entries[at][0]))
    pooled: list[Pooled] = []
    seen: set[str] = set()
    for at in order:
        leg, hit = entries[at]
        words = " ".join(hit.text.split())
        if words not in seen:
            seen.add(words)
            rank = len(pooled) + 1
            pooled.append(Pooled(leg, replace(hit, rank=rank, fused_rank=rank, score=scores[at])))
    return pooled


def relevance(similarity: float, random_mean: float) -> float:
    """A cosine between that of unrelated texts (0) and identity (1): the same scale under any model."""
    return (similarity - random_mean) / max(1 - random_mean, 1e-6)


def as_under(similarity: float | None, random_mean: float, other_mean: float) -> float | None:
    """A cosine under one model as it would be under another, by what unrelated texts score under both."""
    if similarity is None:
        return None
    return other_mean + relevance(similarity, random_mean) * (1 - other_mean)


def _scores(legs: Sequence[Leg], entries: Sequence[tuple[int, Hit]], profile: RetrievalProfile) -> list[float]:
    near = [
        None if hit.similarity is None else relevance(hit.similarity, legs[leg].random_mean) for leg, hit in entries
    ]
    said = [hit.lexical for _, hit in entries]
    if profile.mode == "dense":
        return [one or 0.0 for one in near]
    if profile.mode == "lexical":
        return [one or 0.0 for one in said]
    if profile.fusion == "rrf":
        # A leg that did not find a hit says nothing of it, as in a search of one collection.
        dense = _ranks([one if hit.dense_rank else None for one, (_, hit) in zip(near, entries, strict=True)])
        lexical = _ranks(said)
        return [
            _reciprocal(a, profile.rrf_k) + _reciprocal(b, profile.rrf_k) for a, b in zip(dense, lexical, strict=True)
        ]
    most = max((one for one in said if one is not None), default=0.0) or 1.0
    weights = [profile.dense_weight * legs[leg].trust for leg, _ in entries]
    return [
        weight * (a or 0.0) + (1 - weight) * (b or 0.0) / most for weight, a, b in zip(weights, near, said, strict=True)
    ]


def _ranks(values: Sequence[float | None]) -> list[int | None]:
    """The place of each value from the highest, from 1; None where there is none."""
    order = sorted((at for at, value in enumerate(values) if value is not None), key=lambda at: -(values[at] or 0.0))
    places: list[int | None] = [None] * len(values)
    for place, at in enumerate(order, 1):
        places[at] = place
    return places


def _reciprocal(rank: int | None, constant: int) -> float:
    return 0.0 if rank is None else 1 / (constant + rank)
