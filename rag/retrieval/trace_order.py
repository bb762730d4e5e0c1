"""The end of the chain: the threshold, fusion, the reranker, diversity, and the cut at k."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rag.records import Hit
from rag.retrieval.profiles import MAX_K, MAX_RERANK_DEPTH, RetrievalProfile
from rag.retrieval.search import DIVERSITY_POOL
from rag.retrieval.trace_legs import Legs
from rag.retrieval.trace_records import Advice, Finding


@dataclass(frozen=True, slots=True)
class Order:
    """The chunk's rank after each step, None where it isn't among the first thousand.

    ``fused_rank`` is the real one, or (``estimated``) what its scores would give it were it among the candidates.
    ``rival`` is the hit that it resembles most, with the similarity of the two, where diversity took it down.
    ``fixes`` are settings that were tried and bring it: by the stage's name.
    """

    fused_rank: int | None
    fused_score: float | None
    estimated: bool = False
    reranked: int | None = None
    rerank_score: float | None = None
    diverse: int | None = None
    rival: tuple[Hit, float] | None = None
    dense_weight: float | None = None
    less_diversity: float | None = None

    def final(self, profile: RetrievalProfile) -> int | None:
        """Its rank before the cut at k."""
        if profile.diversity > 0 and self.diverse is not None:
            return self.diverse
        return self.before_diversity(profile)

    def before_diversity(self, profile: RetrievalProfile) -> int | None:
        return self.reranked if profile.rerank and self.reranked is not None else self.fused_rank


def estimate_fusion(
    legs: Legs, profile: RetrievalProfile, fused: Sequence[Hit], trust: float
) -> tuple[int | None, float | None]:
    """The rank and score that fusion would give a chunk which isn't among its candidates but might be.

    The formula is that of ``search_collection()``. None where neither leg is near enough.
    """
    lexical = legs.lexical.score if legs.lexical else None
    near = legs.dense is not None and legs.dense.exact_rank is not None and legs.dense.exact_rank <= legs.dense.depth
    if profile.mode == "dense":
        score = legs.similarity if near else None
    elif profile.mode == "lexical":
        score = lexical
    elif not near and legs.lexical_rank is None:
        score = None
    elif profile.fusion == "rrf":
        ranks = [legs.dense.exact_rank if near and legs.dense else None, legs.lexical_rank]
        score = sum(1 / (profile.rrf_k + rank) for rank in ranks if rank is not None)
    else:
        weight = profile.dense_weight * trust
        best = (legs.lexical.best if legs.lexical else None) or 1.0
        score = weight * (legs.similarity or 0.0) + (1 - weight) * (lexical or 0.0) / best
    if score is None:
        return None, None
    return 1 + sum(hit.score > score for hit in fused), score


def judge_threshold(legs: Legs, profile: RetrievalProfile, has_vector: bool) -> Finding:
    """Whether its similarity passes, and by how much."""
    threshold, similarity = profile.threshold, legs.similarity
    if threshold is None:
        return Finding("threshold", True, "No threshold is set.")
    if not has_vector:
        return Finding("threshold", True, "A search by words alone has no similarity to compare.")
    if similarity is None:
        advice = Advice("Search without a threshold.", {"threshold": None})
        return Finding(
            "threshold", False, "Without a vector it passes no threshold.", {"threshold": threshold}, (advice,)
        )
    margin = similarity - float(np.float32(threshold))  # the database compares single precision
    figures = {"similarity": round(similarity, 4), "threshold": threshold, "margin": round(margin, 4)}
    if margin >= 0:
        return Finding("threshold", True, f"Similarity {similarity:.3f} is {margin:.3f} above {threshold:g}.", figures)
    lower = math.floor(similarity * 100) / 100
    words = f"Similarity {similarity:.3f} is {-margin:.3f} below the threshold of {threshold:g}."
    advice = Advice(f"Lower the threshold to {lower:.2f}.", {"threshold": lower})
    if lower <= 0:
        advice = Advice("Search without a threshold: it is as little like the question as chance.", {"threshold": None})
    return Finding("threshold", False, words, figures, (advice,))


def judge_fusion(legs: Legs, order: Order, profile: RetrievalProfile) -> Finding:
    """What became of it when the legs were joined; only fusion is to blame that takes it out of a leg's first k."""
    rank = order.fused_rank
    figures: dict[str, Any] = {
        "rank": rank,
        "score": None if order.fused_score is None else round(order.fused_score, 4),
        "dense rank": legs.dense_rank,
        "lexical rank": legs.lexical_rank,
    }
    if rank is None:
        if legs.dense is None and legs.lexical is None:
            return Finding("fusion", None, "It can't be said without a chunk.")
        return Finding("fusion", False, "No leg brings it, so there is nothing to fuse.", figures)
    if profile.mode != "hybrid":
        return Finding("fusion", True, f"One leg alone, nothing to fuse: {_number(order.fused_rank, order)}.", figures)
    legs_said = f"{_leg('by meaning', legs.dense_rank)}, {_leg('by words', legs.lexical_rank)}"
    words = f"{_number(rank, order).capitalize()}: {legs_said}."
    best = min((r for r in (legs.dense_rank, legs.lexical_rank) if r is not None), default=None)
    if rank <= profile.k or best is None or best > profile.k:
        return Finding("fusion", True, words, figures)
    words = f"{words} One leg alone would have returned it."
    return Finding("fusion", False, words, figures, tuple(_weigh(legs, order, profile)))


def _number(rank: int | None, order: Order) -> str:
    return f"about number {rank:,}" if order.estimated else f"number {rank:,}"


def _leg(name: str, rank: int | None) -> str:
    return f"not among the best {name}" if rank is None else f"{rank:,} {name}"


def _weigh(legs: Legs, order: Order, profile: RetrievalProfile) -> list[Advice]:
    advice = _more(order.fused_rank, profile)
    if order.dense_weight is not None:
        way = "Raise" if order.dense_weight > profile.dense_weight else "Lower"
        words = f"{way} the weight of meaning from {profile.dense_weight:.2g} to {order.dense_weight:.2g}."
        advice.append(Advice(words, {"dense_weight": order.dense_weight}))
    return advice


def _more(rank: int | None, profile: RetrievalProfile) -> list[Advice]:
    if rank is None or rank > MAX_K or rank <= profile.k:
        return []
    return [Advice(f"Raise k from {profile.k:,} to {rank:,}.", {"k": rank})]


def judge_rerank(order: Order, profile: RetrievalProfile) -> Finding:
    """Whether the reranker saw it, and where it put it."""
    if not profile.rerank:
        return Finding("rerank", True, "No reranker is set.")
    before, after = order.fused_rank, order.reranked
    figures = {"before": before, "after": after, "score": order.rerank_score, "depth": profile.rerank_depth}
    if before is None:
        return Finding("rerank", None, "Only what fusion passes on is reranked.", figures)
    if before > profile.rerank_depth:
        words = f"Only the first {profile.rerank_depth:,} are reranked, and it is {_number(before, order)}."
        if before <= profile.k:
            return Finding("rerank", True, words, figures)
        deeper = [Advice(f"Rerank the first {before:,}.", {"rerank_depth": before})]
        return Finding(
            "rerank", False, words, figures, (*deeper[: before <= MAX_RERANK_DEPTH], *_more(before, profile))
        )
    if order.estimated or after is None:
        return Finding("rerank", None, "It wasn't reranked, so what the reranker says isn't known.", figures)
    moved = f"moved it from {before:,} to {after:,}" if before != after else f"left it at {after:,}"
    score = "" if order.rerank_score is None else f" (score {order.rerank_score:.3f})"
    words = f"The reranker {moved}{score}."
    if after <= profile.k or before > profile.k:
        return Finding("rerank", True, words, figures)
    off = Advice("Search without the reranker.", {"rerank": None})
    return Finding("rerank", False, words, figures, (*_more(after, profile), off))


def judge_diversity(order: Order, profile: RetrievalProfile) -> Finding:
    """Whether others that resemble it less were preferred."""
    if profile.diversity <= 0:
        return Finding("diversity", True, "Diversity is off.")
    before, after = order.before_diversity(profile), order.diverse
    figures: dict[str, Any] = {"before": before, "after": after, "diversity": profile.diversity}
    if before is None:
        return Finding("diversity", None, "Only what fusion passes on is diversified.", figures)
    if before > DIVERSITY_POOL:
        words = f"It stays at {before:,}: only the first {DIVERSITY_POOL} are diversified."
        return Finding("diversity", True, words, figures)
    if order.estimated or after is None:
        return Finding("diversity", None, "It wasn't among those to choose from, so its place isn't known.", figures)
    words = f"From {before:,} to {after:,}." if before != after else f"It stays at {after:,}."
    if order.rival is not None and after > before:
        hit, similarity = order.rival
        figures |= {"resembles": hit.document, "resemblance": round(similarity, 4)}
        words += f" It says much the same as number {hit.rank:,}, “{hit.document}” (similarity {similarity:.2f})."
    if after <= profile.k or before > profile.k:
        return Finding("diversity", True, words, figures)
    return Finding("diversity", False, words, figures, tuple(_less(order, profile)))


def _less(order: Order, profile: RetrievalProfile) -> list[Advice]:
    advice = _more(order.diverse, profile)
    if order.less_diversity is not None:
        words = f"Lower diversity from {profile.diversity:.2g} to {order.less_diversity:.2g}."
        advice.insert(0, Advice(words, {"diversity": order.less_diversity}))
    return advice


def judge_cut(order: Order, profile: RetrievalProfile) -> Finding:
    """Whether it is among the first k."""
    rank = order.final(profile)
    figures = {"rank": rank, "k": profile.k}
    if rank is None:
        return Finding("k", None, "It has no rank to compare with k.", figures)
    if rank <= profile.k:
        return Finding("k", True, f"{_number(rank, order).capitalize()} of {profile.k:,}.", figures)
    words = f"{_number(rank, order).capitalize()}, and k is {profile.k:,}."
    advice = tuple(_more(rank, profile)) or (Advice("Ask in words that are nearer to what it says."),)
    return Finding("k", False, words, figures, advice)
