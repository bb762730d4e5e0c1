"""Retrieval for an answer: the settings it runs under, and the passages with the text that they can be quoted from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from rag.chat.chat_records import Passage
from rag.chat.extractive import EmbedSentences, Source
from rag.chat.surroundings import Span, widen
from rag.corpus.baselines import read_baseline
from rag.corpus.indexes import SearchedIndex, read_searched_index
from rag.errors import InvalidInput, NotFound
from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import OpenConnection, retrieve
from rag.retrieval.stored_profiles import load_profile
from rag.vectors.embedders import Embedder
from rag.vectors.models import ModelInfo

#: Mean similarity of unrelated texts assumed until it has been measured; that of the packaged model.
_RANDOM_MEAN = 0.03
#: Where between random pairs (0) and identity (1) the best passage of an answerable question lies: measured
#: above it for 95 % of chunking_eval's questions, and below it for 99 % of those asked of the wrong corpus.
_CLOSE = 0.35


@dataclass(frozen=True, slots=True)
class Found:
    """A passage, the language that its document is in, and the passage with its neighbours where there are any.

    ``wider_start`` is the offset of ``wider`` in the document's text.
    """

    passage: Passage
    language: str
    wider_start: int
    wider: str

    @property
    def source(self) -> Source:
        """The passage as something to quote from."""
        one = self.passage
        return Source(one.number, one.start, one.text, one.similarity, self.language)

    @property
    def wider_source(self) -> Source:
        """The passage and its neighbours as something to quote from."""
        before = self.passage.start - self.wider_start
        own = before, before + len(self.passage.text)
        return replace(self.source, start=self.wider_start, text=self.wider, own=own)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a collection is searched with: a profile, its index's model and that model's idea of "nothing in common".

    ``scope`` is the id of the selection that is searched, None for all of it.
    """

    collection_id: UUID
    profile: RetrievalProfile
    index: SearchedIndex
    random_mean: float
    scope: int | None = None

    def check(self, info: ModelInfo) -> None:
        """Raise :class:`InvalidInput` if this embedder's vectors mean nothing to the index."""
        model = self.index.model
        if self.profile.mode != "lexical" and (info.provider, info.name) != (model.provider, model.name):
            raise InvalidInput(
                f"This collection is indexed with {model.label}, but questions are embedded with {info.name}.",
                hint="Build a new index of the collection, or set EMBEDDING_MODEL back.",
            )

    def is_close(self, found: Sequence[Found]) -> bool:
        """Whether the best passage is about the question; taken for granted where no similarity is known."""
        known = [one.passage.similarity for one in found if one.passage.similarity is not None]
        if found and not known:
            return True
        return bool(known) and (max(known) - self.random_mean) / max(1 - self.random_mean, 1e-6) >= _CLOSE


def read_ground(
    conn: Connection[Any], collection_id: UUID, profile: dict[str, Any] | None, scope: int | None = None
) -> Ground:
    """``profile`` is what was asked with; None means the collection's default. :class:`NotFound` without access."""
    try:
        index = read_searched_index(conn, collection_id)
    except NotFound as error:
        raise NotFound("The collection of this chat doesn't exist any more, or it isn't shared with you.") from error
    baseline = read_baseline(conn, collection_id)
    chosen = load_profile(conn, collection_id) if profile is None else RetrievalProfile.from_json(profile)
    return Ground(collection_id, chosen, index, _RANDOM_MEAN if baseline is None else baseline.mean, scope)


def find_passages(
    open_conn: OpenConnection, ground: Ground, question: str, vector: NDArray[np.float32] | None
) -> list[Found]:
    """Numbered passages, best first. Their text is that of the document, so that a quote is true to it.

    Reranking, where the profile asks for it, runs outside of any transaction. Of a selection, passages come without
    neighbours: these may lie outside of it.
    """
    hits = retrieve(
        open_conn,
        ground.collection_id,
        question,
        vector,
        ground.profile,
        index_id=ground.index.id,
        scope=ground.scope,
    )
    with open_conn() as conn:
        spans = widen(conn, hits, ground.profile.neighbours if ground.scope is None else 0)
        sources = _read_sources(conn, hits, spans)
    return [
        _found(number, hit, span, *sources.get(hit.chunk_id, ("", "")))
        for number, (hit, span) in enumerate(zip(hits, spans, strict=True), 1)
    ]


def sentence_embedder(embedder: Embedder) -> EmbedSentences:
    """Embeds sentences, the rare one that is longer than the model's window by its beginning."""

    def embed(texts: list[str]) -> NDArray[np.float32]:
        prefix = embedder.info.passage_prefix
        counts = embedder.tokens.counts([prefix + text for text in texts])
        fitted = [
            text if count <= embedder.info.window else _cut(embedder, text, count)
            for text, count in zip(texts, counts, strict=True)
        ]
        return embedder.embed_passages(fitted)

    return embed


def _cut(embedder: Embedder, text: str, count: int) -> str:
    starts = embedder.tokens.starts(text)
    kept = embedder.info.window - (count - len(starts)) - 2
    return text[: int(starts[max(kept, 1)])]


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


def _found(number: int, hit: Hit, span: Span, wider: str, language: str) -> Found:
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
        return Found(passage, language or "en", hit.start, hit.text)
    return Found(passage, language or "en", span[0], wider)
