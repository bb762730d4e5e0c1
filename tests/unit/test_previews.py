"""Previews of chunkings, and estimates from a sample."""

from __future__ import annotations

import random

import pytest

from rag.chunks.chunking import ChunkSettings
from rag.chunks.previews import histogram, preview_chunks
from rag.chunks.tokens import ModelTokens
from rag.corpus.index_estimates import MOST_OF_ONE, Estimate, Sample, Sampled, estimate_index
from rag.vectors.models import packaged_folder
from tests.integration.workshop import prose


@pytest.fixture(scope="module")
def tokens() -> ModelTokens:
    return ModelTokens.from_folder(packaged_folder(), window=256)


def test_a_preview_is_what_an_index_would_hold(tokens: ModelTokens) -> None:
    text = prose(60)
    small = preview_chunks(text, title="T", page_starts=(), settings=ChunkSettings(64), tokenizer=tokens)
    large = preview_chunks(text, title="T", page_starts=(), settings=ChunkSettings(180), tokenizer=tokens)
    assert not small.is_part
    assert len(small.chunks) > 2 * len(large.chunks)
    assert small.median_tokens < large.median_tokens
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in small.chunks)


def test_of_a_long_text_the_beginning_is_shown_up_to_a_page(tokens: ModelTokens) -> None:
    text = prose(400)
    pages = [0, 3000, 9000, 15_000]
    settings = ChunkSettings()
    found = preview_chunks(text, title="", page_starts=pages, settings=settings, tokenizer=tokens, limit=10_000)
    assert (found.length, found.total, found.is_part) == (9000, len(text), True)
    assert {chunk.page for chunk in found.chunks} == {1, 2}
    lines = preview_chunks(text, title="", page_starts=(), settings=settings, tokenizer=tokens, limit=10_000)
    assert text[lines.length - 1] == "\n"
    assert 5000 < lines.length <= 10_000


def test_histograms_share_their_bins_and_count_every_chunk(tokens: ModelTokens) -> None:
    previews = [
        preview_chunks(prose(60), title="", page_starts=(), settings=ChunkSettings(n), tokenizer=tokens)
        for n in (64, 180)
    ]
    edges, counts = histogram(previews, bins=10)
    assert len(edges) <= 10
    assert [sum(row) for row in counts] == [len(preview.chunks) for preview in previews]
    assert histogram([preview_chunks("", title="", page_starts=(), settings=ChunkSettings(), tokenizer=tokens)])


def whole(texts: list[str]) -> Sample:
    return Sample([Sampled(text, "", 1) for text in texts], len(texts), sum(map(len, texts)), True)


def drawn(texts: list[str], seed: int, draws: int = 24) -> Sample:
    """As ``read_sample`` draws them."""
    chance = random.Random(seed)
    picked = chance.choices(range(len(texts)), weights=[len(text) for text in texts], k=draws)
    sampled = [Sampled(texts[at], "", picked.count(at)) for at in sorted(set(picked))]
    return Sample(sampled, len(texts), sum(map(len, texts)), False)


def test_an_estimate_of_everything_is_exact(tokens: ModelTokens) -> None:
    texts = [prose(n, seed=n) for n in (3, 30, 12)]
    found = estimate_index(whole(texts), ChunkSettings(96), tokens)
    previews = [
        preview_chunks(text, title="", page_starts=(), settings=ChunkSettings(96), tokenizer=tokens) for text in texts
    ]
    assert found.chunks.low == found.chunks.value == found.chunks.high == sum(len(one.chunks) for one in previews)
    assert found.tokens.value == sum(sum(one.tokens) for one in previews)
    assert found.cost(2.0).value == pytest.approx(found.tokens.value * 2e-6)
    assert len(found.hashes) == found.chunks.value


def test_the_interval_of_a_sample_holds_the_truth(tokens: ModelTokens) -> None:
    """At 95 %: of twelve samples, at least ten."""
    chance = random.Random(5)
    texts = [prose(chance.randrange(2, 40), seed=n)[: chance.randrange(200, MOST_OF_ONE)] for n in range(120)]
    truth = estimate_index(whole(texts), ChunkSettings(96), tokens)
    found = [estimate_index(drawn(texts, seed), ChunkSettings(96), tokens) for seed in range(12)]
    assert sum(one.chunks.low <= truth.chunks.value <= one.chunks.high for one in found) >= 10
    assert sum(one.tokens.low <= truth.tokens.value <= one.tokens.high for one in found) >= 10
    assert all(one.chunks.high - one.chunks.low < truth.chunks.value for one in found)


def test_no_rate_no_minutes(tokens: ModelTokens) -> None:
    found: Estimate = estimate_index(whole([prose(10)]), ChunkSettings(), tokens)
    assert found.seconds(None) is None
    at_rate, with_two = found.seconds(100.0), found.seconds(100.0, workers=2)
    assert at_rate is not None
    assert with_two is not None
    assert at_rate.value == pytest.approx(found.chars.value / 100)
    assert with_two.value == pytest.approx(at_rate.value / 2)


def test_an_empty_collection_comes_to_nothing(tokens: ModelTokens) -> None:
    found = estimate_index(Sample([], 0, 0, True), ChunkSettings(), tokens)
    assert (found.chunks.value, found.tokens.value, found.hashes) == (0, 0, [])
