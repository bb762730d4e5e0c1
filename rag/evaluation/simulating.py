"""The order in which a profile would give a question's candidates, without another search.

It follows ``corpuscope.search_collection()`` and ``corpuscope.diversify()`` to the last bit: a test asks both. What it
can't foresee is a reranker, more than :data:`DEPTH` chunks, and what a graph index misses when less is asked of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rag.errors import InvalidInput
from rag.evaluation.candidates import DEPTH, Candidates
from rag.retrieval.profiles import RetrievalProfile

#: How many chunks from the top diversity puts in another order.
POOL = 64

Floats = NDArray[np.float64]
#: Places of candidates, best first: [profiles, depth], -1 where there are no more.
Orders = NDArray[np.int64]


def rank(candidates: Candidates, profile: RetrievalProfile) -> NDArray[np.int64]:
    """Places of the candidates that a search under ``profile`` returns, best first: cut at k, then by the threshold."""
    places = order_all(candidates, [profile], min(profile.k, DEPTH))[0]
    places = places[places >= 0]
    return np.asarray(places[is_kept(candidates, profile)[places]], np.int64)


def is_kept(candidates: Candidates, profile: RetrievalProfile) -> NDArray[np.bool_]:
    """Which candidates the threshold of ``profile`` keeps; a search by words has no similarity to compare with it."""
    if profile.threshold is None or profile.mode == "lexical":
        return np.ones(len(candidates), np.bool_)
    return np.asarray(candidates.similarity >= np.float32(profile.threshold), np.bool_)


def order_all(candidates: Candidates, profiles: Sequence[RetrievalProfile], depth: int = DEPTH) -> Orders:
    """The first ``depth`` places under each profile, before its cut and its threshold."""
    for profile in profiles:
        if profile.rerank is not None:
            raise InvalidInput("What a reranker does can't be foreseen.", hint="Choose a profile without one.")
    if not len(candidates):
        return np.full((len(profiles), depth), -1, np.int64)
    scores = np.stack([score(candidates, profile) for profile in profiles])
    # Similarities are rounded distances: two that look equal have their order by distance.
    keys = [_by_rank(candidates) if p.mode == "dense" else row for p, row in zip(profiles, scores, strict=True)]
    # Candidates come by chunk id, so a stable sort breaks ties as the database does.
    orders = np.argsort(-np.stack(keys), axis=1, kind="stable")
    sorted_scores = np.take_along_axis(scores, orders, axis=1)
    orders[np.isneginf(sorted_scores)] = -1
    _diversify(candidates, profiles, orders, sorted_scores)
    found = np.full((len(profiles), depth), -1, np.int64)
    width = min(depth, orders.shape[1])
    found[:, :width] = orders[:, :width]
    return found


def score(candidates: Candidates, profile: RetrievalProfile) -> Floats:
    """What orders the candidates before diversity; minus infinity for those that the profile's legs don't find."""
    by_meaning, by_words = candidates.dense_rank > 0, candidates.lexical_rank > 0
    similarity = np.nan_to_num(candidates.similarity).astype(np.float64)
    if profile.mode == "dense":
        return np.where(by_meaning, similarity, -np.inf)
    if profile.mode == "lexical":
        return np.where(by_words, candidates.lexical.astype(np.float64), -np.inf)
    if profile.fusion == "rrf":
        return np.asarray(_reciprocal(profile.rrf_k)[candidates.dense_rank, candidates.lexical_rank], np.float64)
    best = np.float32(candidates.lexical[by_words].max()) if by_words.any() else np.float32(np.nan)
    words = np.nan_to_num(candidates.lexical / best).astype(np.float64)
    weight = profile.dense_weight * candidates.trust
    return np.asarray(weight * similarity + (1 - weight) * words, np.float64)


def _by_rank(candidates: Candidates) -> Floats:
    return np.where(candidates.dense_rank > 0, -candidates.dense_rank.astype(np.float64), -np.inf)


@lru_cache(maxsize=16)
def _reciprocal(rrf_k: int) -> Floats:
    """1 / (rrf_k + rank) of both legs summed, by ranks, 0 for none.

    The database divides numerics, to 20 digits after the point, and makes the sum a double.
    """
    shares = [0, *(_divide(10**20, rrf_k + rank) for rank in range(1, DEPTH + 1))]
    return np.array([[(one + other) / 10**20 for other in shares] for one in shares])


def _divide(number: int, by: int) -> int:
    return (2 * number + by) // (2 * by)


def _diversify(
    candidates: Candidates, profiles: Sequence[RetrievalProfile], orders: Orders, sorted_scores: Floats
) -> None:
    """Put the first :data:`POOL` places of the profiles that ask for it in their new order, in place."""
    rows = np.array([number for number, profile in enumerate(profiles) if profile.diversity > 0], np.int64)
    pools = orders[rows, :POOL]
    members = np.unique(pools[pools >= 0])
    if not members.size:
        return
    likeness = _likeness(candidates.vectors[members])
    local = np.searchsorted(members, np.maximum(pools, 0))
    diversity = np.array([profiles[row].diversity for row in rows])
    valid = pools >= 0
    relevance = (1 - diversity)[:, None] * _scaled(sorted_scores[rows, :POOL], valid)
    taken = _take_novel(np.where(valid, relevance, -np.inf), local, likeness, diversity)
    orders[rows, : pools.shape[1]] = np.where(taken < 0, -1, np.take_along_axis(pools, np.maximum(taken, 0), axis=1))


def _scaled(scores: Floats, valid: NDArray[np.bool_]) -> Floats:
    """The valid scores of each row from 0 to 1; 0 where there is nothing, or all are the same."""
    low = np.where(valid, scores, np.inf).min(axis=1, keepdims=True)
    high = np.where(valid, scores, -np.inf).max(axis=1, keepdims=True)
    shares = np.zeros_like(scores)
    with np.errstate(invalid="ignore"):
        np.divide(scores - low, high - low, out=shares, where=valid & (high > low))
    return shares


def _take_novel(
    open_scores: Floats, pools: NDArray[np.int64], likeness: Floats, diversity: Floats
) -> NDArray[np.int64]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998) of all rows at once: positions in the order taken."""
    rows, width = open_scores.shape
    nearest = np.zeros((rows, width))
    taken = np.full((rows, width), -1, np.int64)
    each = np.arange(rows)
    for step in range(width):
        values = open_scores - diversity[:, None] * nearest
        best = values.argmax(axis=1)
        some = np.isfinite(values[each, best])
        taken[:, step] = np.where(some, best, -1)
        open_scores[each, best] = -np.inf
        nearest = np.fmax(nearest, likeness[pools[each, best][:, None], pools])
    return taken


def _likeness(vectors: NDArray[np.float16]) -> Floats:
    """Cosines of all pairs; NaN where there is no vector. Sums of products of halves are exact in doubles."""
    wide = vectors.astype(np.float64)
    products = wide @ wide.T
    lengths = np.diag(products)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(products / np.sqrt(np.outer(lengths, lengths)), np.float64)
