"""The search that is explained: asked again under other settings, and followed for one chunk."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from rag.records import Hit
from rag.retrieval.profiles import MAX_K, RetrievalProfile
from rag.retrieval.reranking import Rerankers
from rag.retrieval.retrieving import OpenConnection, retrieve
from rag.retrieval.search import DIVERSITY_POOL, Vector
from rag.retrieval.trace_legs import Legs
from rag.retrieval.trace_order import Order, estimate_fusion
from rag.retrieval.trace_rows import (
    ChunkFacts,
    DenseFacts,
    list_inside,
    list_similarities,
    nearest_hit,
    read_trust,
    trace_dense,
    trace_lexical,
    trace_terms,
)
from rag.retrieval.trace_subject import Subject

_EF_SEARCH = (20, 40, 80, 100, 150, 200, 300, 400, 600, 800, 1000)
_WEIGHTS = (0.7, 0.8, 0.9, 1.0, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)


@dataclass
class Tried:
    """One question under one profile, asked by one person; each variation of the profile is asked once."""

    open_conn: OpenConnection
    collection_id: UUID
    question: str
    vector: Vector | None
    profile: RetrievalProfile
    documents: Sequence[UUID] | None
    index_id: int | None
    rerankers: Rerankers | None
    scope: int | None = None
    _asked: dict[RetrievalProfile, list[Hit]] = field(default_factory=dict)

    def hits(self, **changes: Any) -> list[Hit]:
        """What the search returns with these settings changed."""
        profile = replace(self.profile, **changes)
        if profile not in self._asked:
            self._asked[profile] = retrieve(
                self.open_conn,
                self.collection_id,
                self.question,
                self.vector,
                profile,
                self.documents,
                self.index_id,
                self.rerankers,
                self.scope,
            )
        return self._asked[profile]

    def deep(self, **changes: Any) -> list[Hit]:
        """The first thousand, whatever their similarity."""
        return self.hits(k=MAX_K, threshold=None, **changes)

    def outside(self, index_id: int, chunks: Sequence[int]) -> set[int]:
        """Those of the chunks of an index that the scope, where there is one, leaves out."""
        if self.scope is None:
            return set()
        with self.open_conn() as conn:
            return set(chunks) - list_inside(conn, self.scope, index_id, chunks)

    def can_ask(self, **changes: Any) -> bool:
        """Whether these settings can be tried: only a search by words goes without a vector."""
        return self.vector is not None or replace(self.profile, **changes).mode == "lexical"

    @property
    def wide(self) -> RetrievalProfile:
        """The profile that the database is asked with, which is wider where hits are reranked: see ``retrieve()``."""
        if self.profile.rerank is None:
            return self.profile
        least = max(self.profile.rerank_depth, DIVERSITY_POOL if self.profile.diversity else 0)
        return replace(self.profile, k=max(self.profile.k, least), threshold=None, diversity=0.0, rerank=None)

    @property
    def leg_depth(self) -> int:
        """How deep the legs of a hybrid or lexical search go."""
        return 200 if self.wide.k <= 200 else MAX_K


def choose(tried: Tried, subjects: Sequence[Subject]) -> tuple[Subject, ChunkFacts | None, int | None]:
    """What is followed: the place and chunk that come first in the results, and their rank there, or else the nearest.

    A phrase that is split is in the results only if all of its parts are.
    """
    ranks = {hit.chunk_id: hit.rank for hit in tried.hits()}
    found = [
        (max(ranks[c.id] for c in subject.parts), 0, subject, subject.parts[0])
        for subject in subjects
        if subject.split and all(c.id in ranks for c in subject.parts)
    ]
    found += [(ranks[c.id], c.id, subject, c) for subject in subjects for c in subject.whole if c.id in ranks]
    if found:
        rank, _, subject, chunk = min(found, key=lambda one: one[:2])
        return subject, chunk, rank
    whole = [subject for subject in subjects if subject.whole]
    pairs = [(subject, c) for subject in whole or subjects for c in subject.chunks]
    if not pairs:
        return subjects[0], None, None
    return *_nearest(tried, pairs), None


def _nearest(tried: Tried, pairs: Sequence[tuple[Subject, ChunkFacts]]) -> tuple[Subject, ChunkFacts]:
    by_words = tried.profile.mode == "lexical"
    places = {hit.chunk_id: hit.rank for hit in tried.deep()}
    similarities: dict[int, float] = {}
    index = pairs[0][0].index
    outside = tried.outside(index.id, [c.id for _, c in pairs]) if index else set()
    if tried.vector is not None:
        with tried.open_conn() as conn:
            similarities = list_similarities(conn, [c.id for _, c in pairs], tried.vector)

    def distance(pair: tuple[Subject, ChunkFacts]) -> tuple[Any, ...]:
        subject, chunk = pair
        share = 0
        if subject.split and subject.place is not None:
            share = min(chunk.end, subject.place.end) - max(chunk.start, subject.place.start)
        place = places.get(chunk.id, 2 * MAX_K) if tried.profile.mode != "dense" else 0
        reachable = chunk.id in outside, chunk.excluded, not chunk.embedded and not by_words
        return *reachable, -share, place, -similarities.get(chunk.id, -2.0), chunk.id

    return min(pairs, key=distance)


def follow_legs(tried: Tried, index_id: int, chunk: ChunkFacts) -> Legs:
    """What both legs say of the chunk."""
    dense = lexical = better = None
    mode = tried.profile.mode
    with tried.open_conn() as conn:
        if tried.vector is not None:
            dense = trace_dense(conn, index_id, tried.vector, tried.wide, tried.documents, chunk.id, tried.scope)
        if mode != "dense":
            lexical = trace_lexical(
                conn, index_id, tried.question, tried.documents, tried.leg_depth, chunk.id, tried.scope
            )
        terms = trace_terms(conn, index_id, tried.question, chunk.id)
    legs = Legs(dense, lexical, terms, chunk.excluded or bool(tried.outside(index_id, [chunk.id])))
    if dense is not None and legs.missed and mode != "lexical":
        better = _better_ef(tried, index_id, chunk.id, dense)
    return replace(legs, better_ef=better)


def _better_ef(tried: Tried, index_id: int, chunk_id: int, dense: DenseFacts) -> int | None:
    """The least ef_search that brings the chunk; up to the depth of the leg it changes nothing."""
    assert tried.vector is not None
    for ef_search in _EF_SEARCH:
        if ef_search > max(tried.profile.ef_search, dense.depth):
            with tried.open_conn() as conn:
                wider = replace(tried.wide, ef_search=ef_search)
                again = trace_dense(conn, index_id, tried.vector, wider, tried.documents, chunk_id, tried.scope)
            if again.leg_rank is not None:
                return ef_search
    return None


def follow_order(tried: Tried, index_id: int, chunk: ChunkFacts, legs: Legs) -> Order:
    """The chunk's rank after fusion, reranking and diversity."""
    fused = tried.deep(diversity=0.0, rerank=None)
    own = next((hit for hit in fused if hit.chunk_id == chunk.id), None)
    if own is None:
        with tried.open_conn() as conn:
            trust = read_trust(conn, index_id) if tried.profile.mode == "hybrid" else 1.0
        rank, score = estimate_fusion(legs, tried.profile, fused, trust)
        return Order(rank, score, estimated=True)
    order = Order(own.rank, own.score, dense_weight=_other_weight(tried, chunk.id, own.rank, legs))
    if tried.profile.rerank:
        reranked = next((hit for hit in tried.deep(diversity=0.0) if hit.chunk_id == chunk.id), own)
        order = replace(order, reranked=reranked.rank, rerank_score=reranked.rerank_score)
    if tried.profile.diversity > 0:
        order = _follow_diversity(tried, chunk.id, order)
    return order


def _follow_diversity(tried: Tried, chunk_id: int, order: Order) -> Order:
    diverse = next((hit.rank for hit in tried.deep() if hit.chunk_id == chunk_id), None)
    before = order.before_diversity(tried.profile)
    order = replace(order, diverse=diverse)
    if diverse is None or before is None or diverse <= before:
        return order
    above = {hit.chunk_id: hit for hit in tried.deep()[: diverse - 1]}
    with tried.open_conn() as conn:
        near = nearest_hit(conn, chunk_id, list(above))
    rival = (above[near[0]], near[1]) if near else None
    less = None
    if before <= tried.profile.k < diverse:
        steps = [step / 20 for step in range(19, -1, -1) if step / 20 < tried.profile.diversity]
        less = _first(tried, {chunk_id}, "diversity", steps)
    return replace(order, rival=rival, less_diversity=less)


def _other_weight(tried: Tried, chunk_id: int, rank: int, legs: Legs) -> float | None:
    """A weight of the dense leg under which fusion keeps what one leg alone would have returned."""
    profile = tried.profile
    best = min((r for r in (legs.dense_rank, legs.lexical_rank) if r is not None), default=MAX_K)
    if profile.mode != "hybrid" or profile.fusion != "convex" or rank <= profile.k or best > profile.k:
        return None
    upward = legs.dense_rank == best
    weights = [w for w in _WEIGHTS if (w > profile.dense_weight) == upward and w != profile.dense_weight]
    return _first(tried, {chunk_id}, "dense_weight", weights)


def _first(tried: Tried, chunks: Collection[int], setting: str, values: Iterable[float]) -> float | None:
    """The first of these values with which the chunk is among the hits, the threshold left aside."""
    for value in values:
        if any(hit.chunk_id in chunks for hit in tried.hits(threshold=None, **{setting: value})):
            return value
    return None
