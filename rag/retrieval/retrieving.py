"""From a question to its hits under a profile: what the search page, chat, evaluation and the command line all call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
from psycopg import Connection

from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.reranking import Reranker, Rerankers, shared_rerankers
from rag.retrieval.search import DIVERSITY_POOL, Vector, diversify, plain_question, search

OpenConnection = Callable[[], AbstractContextManager[Connection[Any]]]


def retrieve(
    open_conn: OpenConnection,
    collection_id: UUID,
    question: str,
    vector: Vector | None,
    profile: RetrievalProfile,
    documents: Sequence[UUID] | None = None,
    index_id: int | None = None,
    rerankers: Rerankers | None = None,
    scope: int | None = None,
) -> list[Hit]:
    """The best chunks for the question, best first. ``open_conn`` opens a transaction of whoever asks.

    ``vector`` is the question under the model of the index searched, ``index_id`` or else the collection's active one;
    only a lexical search goes without. ``documents`` and a ``scope``'s id restrict the hits to these. Neither a higher
    threshold nor a smaller k ever adds a hit. Raises what :func:`rag.retrieval.search.search` does, and
    :class:`ModelError` or :class:`NotAllowed` where the profile's reranker can't be had: nothing is left out in
    silence.
    """
    if profile.rerank is None:
        with open_conn() as conn:
            return search(conn, collection_id, question, vector, profile, documents, index_id, scope)
    reranker = (rerankers or shared_rerankers())(profile.rerank)
    # As many as are looked at for any k, so that a smaller one is the beginning of a larger one.
    least = max(profile.rerank_depth, DIVERSITY_POOL if profile.diversity else 0)
    wide = replace(profile, k=max(profile.k, least), threshold=None, diversity=0.0, rerank=None)
    with open_conn() as conn:
        found = search(conn, collection_id, question, vector, wide, documents, index_id, scope)
    hits = rerank_hits(reranker, plain_question(question), found, profile.rerank_depth)
    if profile.diversity:
        with open_conn() as conn:
            hits = _diversify(conn, hits, profile)
    return _cut(hits, profile, similarities=vector is not None)


def rerank_hits(reranker: Reranker, question: str, hits: Sequence[Hit], depth: int) -> list[Hit]:
    """The first ``depth`` hits by the reranker's scores, ties in their old order, and after them the rest.

    Their ``rank`` is still that of ``hits``.
    """
    head = list(hits[:depth])
    scores = reranker.score(question, [hit.text for hit in head]) if head else []
    scored = [replace(hit, rerank_score=score) for hit, score in zip(head, scores, strict=True)]
    return [*sorted(scored, key=lambda hit: -(hit.rerank_score or 0.0)), *hits[depth:]]


def _diversify(conn: Connection[Any], hits: Sequence[Hit], profile: RetrievalProfile) -> list[Hit]:
    scores = [hit.rerank_score for hit in hits if hit.rerank_score is not None]
    least = min(scores, default=0.0)
    # What the reranker has not read is as relevant as the last that it has.
    relevance = [least if hit.rerank_score is None else hit.rerank_score for hit in hits]
    places = diversify(conn, [hit.chunk_id for hit in hits], relevance, profile.diversity, profile.k)
    return [hits[place] for place in places]


def _cut(hits: Sequence[Hit], profile: RetrievalProfile, *, similarities: bool) -> list[Hit]:
    """The first k, of these what reaches the threshold, numbered anew: as ``search_chunks()`` does it."""
    kept = list(hits[: profile.k])
    if profile.threshold is not None and similarities:
        least = np.float32(profile.threshold)  # the database compares single precision
        kept = [hit for hit in kept if hit.similarity is not None and np.float32(hit.similarity) >= least]
    return [replace(hit, rank=rank) for rank, hit in enumerate(kept, 1)]
