"""What an index would come to, from a sample of the documents' texts: chunks, tokens, minutes, money.

Documents are drawn in proportion to their length, with replacement. Then the mean of "chunks per character" over the
draws, times all characters, is an unbiased estimate of all chunks (Hansen and Hurwitz 1943), and its spread over the
draws says how sure it is.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg

from rag.chunks.chunking import Chunk, ChunkSettings, chunk_text, embedding_input
from rag.chunks.tokens import TokenCounter

#: Draws, and characters read of one document and of all at most: about two seconds of work.
DRAWS = 24
MOST_OF_ONE = 60_000
MOST_OF_ALL = 1_200_000


@dataclass(frozen=True, slots=True)
class Sampled:
    """A document that was drawn ``times`` times; ``text`` is all of it or a stretch."""

    text: str
    title: str
    times: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read; ``exact`` when that is every document from beginning to end."""

    texts: list[Sampled]
    documents: int
    chars: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Amount:
    """An estimate with its 95 % interval; of an exact one all three are the same."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Amount:
        """The same in another unit."""
        return Amount(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What building comes to. ``chars`` are those of all embedding inputs; ``hashes`` name the sample's contents."""

    documents: int
    sampled: int
    exact: bool
    chunks: Amount
    tokens: Amount
    chars: Amount
    hashes: list[bytes]

    def seconds(self, chars_per_s: float | None, workers: int = 1) -> Amount | None:
        """At the measured rate, with so many workers; None where no rate of the model was measured yet."""
        return self.chars.scaled(1 / (chars_per_s * max(workers, 1))) if chars_per_s else None

    def cost(self, per_million_tokens: float) -> Amount:
        """At a price for a million tokens, in its currency."""
        return self.tokens.scaled(per_million_tokens / 1e6)


def read_sample(conn: psycopg.Connection[Any], collection_id: UUID, seed: int = 0) -> Sample:
    """Draw documents that have text; all of them where they are few and short. The same ``seed`` draws the same."""
    lengths = conn.execute(
        """
        select id, char_count from public.documents
        where collection_id = %s and text_revision > 0 and stage <> 'cancelled' and char_count > 0 order by id
        """,
        [collection_id],
    ).fetchall()
    total = sum(chars for _, chars in lengths)
    exact = total <= MOST_OF_ALL and all(chars <= MOST_OF_ONE for _, chars in lengths)
    chance = random.Random(seed)
    if exact:
        times = {id: 1 for id, _ in lengths}
    else:
        times = {}
        for id in chance.choices([id for id, _ in lengths], weights=[chars for _, chars in lengths], k=DRAWS):
            times[id] = times.get(id, 0) + 1
    starts = {id: chance.randrange(max(1, chars - MOST_OF_ONE + 1)) for id, chars in lengths if id in times}
    rows = conn.execute(
        """
        select d.id, coalesce(d.title, ''), substr(t.text, s.start + 1, %s)
        from unnest(%s::uuid[], %s::int[]) as s (id, start)
        join public.documents d on d.id = s.id
        join public.document_texts t on t.document_id = d.id and t.revision = d.text_revision
        """,
        [MOST_OF_ONE, list(starts), list(starts.values())],
    ).fetchall()
    texts = [Sampled(text, title, times[id]) for id, title, text in rows if text]
    return Sample(texts, len(lengths), total, exact)


def estimate_index(sample: Sample, settings: ChunkSettings, tokenizer: TokenCounter) -> Estimate:
    """Chunk the sample and reckon what the whole comes to."""
    rates: list[tuple[float, float, float]] = []
    hashes: list[bytes] = []
    sums = [0.0, 0.0, 0.0]
    for one in sample.texts:
        chunks = chunk_text(one.text, title=one.title, page_starts=(), settings=settings, tokenizer=tokenizer)
        found = _measure(chunks)
        sums = [a + b for a, b in zip(sums, found, strict=True)]
        rates += [(found[0] / len(one.text), found[1] / len(one.text), found[2] / len(one.text))] * one.times
        hashes += [_content_hash(chunk) for chunk in chunks]
    if sample.exact or not rates:
        amounts = [Amount(n, n, n) for n in sums]
    else:
        amounts = [_expand([rate[at] for rate in rates], sample.chars) for at in range(3)]
    return Estimate(sample.documents, len(sample.texts), sample.exact, amounts[0], amounts[1], amounts[2], hashes)


def _measure(chunks: Sequence[Chunk]) -> tuple[float, float, float]:
    return (
        float(len(chunks)),
        float(sum(chunk.token_count for chunk in chunks)),
        float(sum(len(embedding_input(chunk.context, chunk.text)) for chunk in chunks)),
    )


def _expand(rates: Sequence[float], chars: int) -> Amount:
    n = len(rates)
    mean = sum(rates) / n
    spread = math.sqrt(sum((rate - mean) ** 2 for rate in rates) / (n - 1)) if n > 1 else mean
    # Student's t at 97.5 %, to two digits from five draws on.
    half = (1.96 + 2.8 / max(n - 1.6, 1.0)) * spread / math.sqrt(n)
    return Amount(mean * chars, max(0.0, mean - half) * chars, (mean + half) * chars)


def _content_hash(chunk: Chunk) -> bytes:
    """As ``corpuscope.content_hash()`` has it."""
    return sha256(f"{chunk.context}\n{chunk.text}".encode()).digest()


def share_known(conn: psycopg.Connection[Any], estimate: Estimate, model_id: int) -> float:
    """Which share of the sample's chunks has a vector of that model already: those are taken over for nothing."""
    if not estimate.hashes:
        return 0.0
    row = conn.execute(
        """
        select count(*) from unnest(%b::bytea[]) as h (hash)
        where exists (select from public.embeddings e where e.content_hash = h.hash and e.model_id = %s)
        """,
        [estimate.hashes, model_id],
    ).fetchone()
    return int(row[0]) / len(estimate.hashes) if row else 0.0
