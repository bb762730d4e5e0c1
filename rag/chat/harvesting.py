"""Retrieval for an answer: the passages of one collection or several, with the text that they can be quoted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from rag.chat.chat_records import Passage
from rag.chat.extractive import Source
from rag.chat.grounding import Ground
from rag.chat.pooling import LEAST_DEPTH, Leg, as_under, pool_hits, relevance
from rag.chat.surroundings import Span, widen
from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.reranking import shared_rerankers
from rag.retrieval.retrieving import OpenConnection, rerank_hits, retrieve
from rag.retrieval.search import diversify, plain_question

#: Where between random pairs (0) and identity (1) the best passage of an answerable question lies: measured
#: above it for 95 % of chunking_eval's questions, and below it for 99 % of those asked of the wrong corpus.
_CLOSE = 0.35


@dataclass(frozen=True, slots=True)
class Found:
    """A passage, the language that its document is in, and the passage with its neighbours where there are any.

    ``wider_start`` is the offset of ``wider`` in the document's text. ``closeness`` is its similarity under the model
    of the first collection, by what unrelated texts score; the passage has it as it was found.
    """

    passage: Passage
    language: str
    wider_start: int
    wider: str
    closeness: float | None

    @property
    def source(self) -> Source:
        """The passage as something to quote from."""
        one = self.passage
        return Source(one.number, one.start, one.text, self.closeness, self.language)

    @property
    def wider_source(self) -> Source:
        """The passage and its neighbours as something to quote from."""
        before = self.passage.start - self.wider_start
        own = before, before + len(self.passage.text)
        return replace(self.source, start=self.wider_start, text=self.wider, own=own)


@dataclass(frozen=True, slots=True)
class Harvest:
    """The numbered passages, best first, and how many hits all searches had together.

    ``random_mean`` is what unrelated texts score on the scale of their ``closeness``.
    """

    found: list[Found]
    hits: int
    random_mean: float

    @property
    def is_close(self) -> bool:
        """Whether the best passage is about the question; taken for granted where no similarity is known."""
        known = [one.closeness for one in self.found if one.closeness is not None]
        return bool(self.found) and (not known or relevance(max(known), self.random_mean) >= _CLOSE)


#: The question under the model of an index, by the model's id.
Vectors = Mapping[int, NDArray[np.float32]]


def find_passages(open_conn: OpenConnection, grounds: Sequence[Ground], question: str, vectors: Vectors) -> Harvest:
    """What the collections hold on the question, numbered. Their text is that of the document, so that a quote is true.

    Several collections are searched each under its own index and model, and what they found becomes one ranking
    (:mod:`rag.chat.pooling`). Reranking, where the profile asks for it, runs outside of any transaction. Of a
    selection, passages come without neighbours: these may lie outside of it.
    """
    if len(grounds) == 1:
        hits = _search(open_conn, grounds[0], grounds[0].profile, question, vectors)
        placed = [(grounds[0], hit) for hit in hits]
        total = len(hits)
    else:
        placed, total = _search_all(open_conn, grounds, question, vectors)
    with open_conn() as conn:
        spans = _widen(conn, placed)
        sources = _read_sources(conn, [hit for _, hit in placed], spans)
    home = grounds[0].random_mean
    found = []
    for number, ((ground, hit), span) in enumerate(zip(placed, spans, strict=True), 1):
        close = as_under(hit.similarity, ground.random_mean, home)
        found.append(_found(number, hit, span, *sources.get(hit.chunk_id, ("", "")), close))
    return Harvest(found, total, home)


def _search(
    open_conn: OpenConnection, ground: Ground, profile: RetrievalProfile, question: str, vectors: Vectors
) -> list[Hit]:
    vector = None if profile.mode == "lexical" else vectors[ground.index.model.id]
    return retrieve(
        open_conn, ground.collection_id, question, vector, profile, index_id=ground.index.id, scope=ground.scope
    )


def _search_all(
    open_conn: OpenConnection, grounds: Sequence[Ground], question: str, vectors: Vectors
) -> tuple[list[tuple[Ground, Hit]], int]:
    """Of all collections together the first k, of these what reaches the threshold; and how many hits there were."""
    profile = grounds[0].profile
    depth = max(profile.k, LEAST_DEPTH, profile.rerank_depth if profile.rerank else 0)
    wide = replace(profile, k=depth, threshold=None, diversity=0.0, rerank=None)
    legs = [
        Leg(_search(open_conn, ground, wide, question, vectors), ground.random_mean, ground.trust) for ground in grounds
    ]
    placed = [(grounds[one.leg], one.hit) for one in pool_hits(legs, profile)]
    if profile.rerank is not None:
        owner = {hit.chunk_id: ground for ground, hit in placed}
        reranker = shared_rerankers()(profile.rerank)
        hits = rerank_hits(reranker, plain_question(question), [hit for _, hit in placed], profile.rerank_depth)
        placed = [(owner[hit.chunk_id], hit) for hit in hits]
    if profile.diversity:
        with open_conn() as conn:
            placed = _diversify(conn, placed, profile)
    kept = [(ground, replace(hit, rank=rank)) for rank, (ground, hit) in enumerate(placed[: profile.k], 1)]
    return [one for one in kept if _reaches(*one, grounds[0])], sum(len(leg.hits) for leg in legs)


def _diversify(
    conn: Connection[Any], placed: Sequence[tuple[Ground, Hit]], profile: RetrievalProfile
) -> list[tuple[Ground, Hit]]:
    """The hits of each model by marginal relevance, and of these rows the better first one each time."""
    least = min((hit.rerank_score for _, hit in placed if hit.rerank_score is not None), default=0.0)
    scores = [hit.score if profile.rerank is None else hit.rerank_score or least for _, hit in placed]
    rows: dict[int, list[int]] = {}
    for at, (ground, _) in enumerate(placed):
        rows.setdefault(ground.index.model.id, []).append(at)
    for model, row in rows.items():
        chunks = [placed[at][1].chunk_id for at in row]
        order = diversify(conn, chunks, [scores[at] for at in row], profile.diversity, profile.k)
        rows[model] = [row[place] for place in order]
    merged = []
    while left := [row for row in rows.values() if row]:
        merged.append(placed[min(left, key=lambda row: row[0]).pop(0)])
    return merged


def _reaches(ground: Ground, hit: Hit, home: Ground) -> bool:
    """Whether a hit reaches the profile's threshold, which is a cosine under the model of the first collection."""
    if home.profile.threshold is None or home.profile.mode == "lexical":
        return True
    close = as_under(hit.similarity, ground.random_mean, home.random_mean)
    return close is not None and bool(np.float32(close) >= np.float32(home.profile.threshold))


def _widen(conn: Connection[Any], placed: Sequence[tuple[Ground, Hit]]) -> list[Span]:
    """The span of its document to read for each hit."""
    spans: dict[int, Span] = {}
    for scoped in (True, False):
        hits = [hit for ground, hit in placed if (ground.scope is not None) == scoped]
        reach = 0 if scoped or not placed else placed[0][0].profile.neighbours
        spans |= {hit.chunk_id: span for hit, span in zip(hits, widen(conn, hits, reach), strict=True)}
    return [spans[hit.chunk_id] for _, hit in placed]


def _read_sources(conn: Connection[Any], hits: Sequence[Hit], spans: Sequence[Span]) -> dict[int, tuple[str, str]]:
    """Chunk → (the document's text at the span that goes with it, language)."""
    rows = conn.execute(
        """
        select h.chunk, substr(t.text, h.start + 1, h.stop - h.start), coalesce(d.language, '')
        from unnest(%s::bigint[], %s::uuid[], %s::int[], %s::int[], %s::int[])
            as h (chunk, document, revision, start, stop)
        join public.document_texts t on t.document_id = h.document and t.revision = h.revision
        join public.documents d on d.id = h.document
        """,
        [
            [hit.chunk_id for hit in hits],
            [hit.document_id for hit in hits],
            [hit.text_revision for hit in hits],
            [start for start, _ in spans],
            [end for _, end in spans],
        ],
    )
    return {chunk: (text, language) for chunk, text, language in rows}


def _found(number: int, hit: Hit, span: Span, wider: str, language: str, closeness: float | None) -> Found:
    before = hit.start - span[0]
    text = wider[before : before + hit.end - hit.start]
    passage = Passage(
        number=number,
        document_id=hit.document_id,
        chunk_id=hit.chunk_id,
        document=hit.document,
        title=hit.title,
        text_revision=hit.text_revision,
        start=hit.start,
        end=hit.end,
        page=hit.page,
        text=text or hit.text,
        similarity=hit.similarity,
        lexical=hit.lexical,
        score=hit.score,
    )
    if not text:
        return Found(passage, language or "en", hit.start, hit.text, closeness)
    return Found(passage, language or "en", span[0], wider, closeness)
