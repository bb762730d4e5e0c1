"""Text becomes chunks: cut on structure, even in size, with exact spans, none longer than the model's window.

Where to cut is the cheapest path through all allowed places (dynamic programming, linear in the text): a chunk costs
the square of the share by which it falls short of ``max_tokens``, a cut costs what :mod:`rag.chunks.boundaries` says.
Taking as much as fits each time, as greedy splitters do, leaves scraps behind.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.chunks.boundaries import LINE, find_breaks, find_headings, place_between
from rag.chunks.context import Contexts
from rag.chunks.tokens import TokenCounter, has_seams_in_words
from rag.errors import InvalidInput

#: A token that spans more characters than this counts for more than one: tokenizers call a word that is too long one
#: unknown token and runs of white space none at all.
CHARS_PER_TOKEN = 12
#: Places considered within one chunk's length; more would cost time and change nothing that one could see.
PLACES_PER_CHUNK = 16
#: Most tokens of title and headings, and the share of the window that they may take from the text.
CONTEXT_TOKENS, CONTEXT_SHARE = 64, 0.25
#: A text that is over ``max_tokens`` by no more than this factor stays whole: with the defaults, all that MiniLM reads.
WHOLE = 4 / 3

Array = npt.NDArray[Any]

#: White space to any tokenizer; what else may be is left to it.
_SPACES = frozenset(" \t\n\r")


@dataclass(frozen=True)
class ChunkSettings:
    """How an index cuts its documents; stored with the index.

    ``max_tokens``: most tokens of a chunk's own text, special tokens and context not counted.
    ``overlap``: most tokens that a chunk repeats of the one before it, whole sentences or lines only.
    ``with_context``: put title and headings before the text that is embedded.
    """

    max_tokens: int = 192
    overlap: int = 0
    with_context: bool = True

    def __post_init__(self) -> None:
        if not 16 <= self.max_tokens <= 8192:
            raise InvalidInput("A chunk needs a size between 16 and 8192 tokens.")
        if not 0 <= self.overlap <= self.max_tokens // 2:
            raise InvalidInput("The overlap must be between 0 and half the size of a chunk.")

    def to_json(self) -> dict[str, Any]:
        """As stored in ``indexes.chunking``."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ChunkSettings:
        """Read what :meth:`to_json` wrote; an unknown key is an error, since it would change the chunks."""
        try:
            return cls(**stored)
        except TypeError as error:
            raise InvalidInput("These chunking settings were written by another version of Corpuscope.") from error


@dataclass(frozen=True)
class Chunk:
    """One piece: ``text`` is the document's ``[start:end]`` in code points; ``token_count`` is of all that is embedded,
    special tokens and the model's passage prefix included."""

    ordinal: int
    start: int
    end: int
    page: int | None
    heading_path: tuple[str, ...]
    text: str
    context: str
    token_count: int


def embedding_input(context: str, text: str) -> str:
    """What is embedded of a chunk; the model's passage prefix comes before it."""
    return f"{context}\n{text}" if context else text


def chunk_text(
    text: str, *, title: str, page_starts: Sequence[int], settings: ChunkSettings, tokenizer: TokenCounter
) -> list[Chunk]:
    """Cut ``text`` into chunks in order. A text not much over the size stays whole; white space alone gives none.

    ``page_starts[i]`` is where page i + 1 begins; empty for a text without pages. Every chunk's
    :func:`embedding_input` with the passage prefix fits ``tokenizer.window``: counts are exact, not estimated.
    """
    ruler = _Ruler(text, tokenizer)
    headings = find_headings(text)
    specials = tokenizer.counts([tokenizer.passage_prefix])[0]
    budget = min(CONTEXT_TOKENS, int(tokenizer.window * CONTEXT_SHARE)) if settings.with_context else 0
    contexts = Contexts(title, headings, budget, tokenizer)
    # Two tokens of reserve: a word that is cut counts for one more on either side.
    limit = max(8, min(settings.max_tokens, tokenizer.window - specials - budget - 2))
    fitter = _Fitter(text, ruler, contexts, tokenizer)
    if ruler.size(0, len(text)) <= settings.max_tokens * WHOLE and (whole := fitter.fitting((0, len(text)))):
        pieces = [whole]
    else:
        places = _places(text, find_breaks(text, headings), ruler, limit)
        pieces = fitter.fit(_cut(places, ruler, limit, settings.overlap))
    return [
        Chunk(ordinal, start, end, _page(page_starts, start), contexts.path(start), text[start:end], context, count)
        for ordinal, (start, end, context, count) in enumerate(pieces)
    ]


class _Ruler:
    """Lengths of a document's spans in tokens without counting anew: a running total over the token starts."""

    def __init__(self, text: str, tokenizer: TokenCounter) -> None:
        self.starts = tokenizer.starts(text)
        self.positions = np.concatenate(([0], self.starts, [len(text)])).astype(np.float64)
        extents = np.diff(self.positions) / CHARS_PER_TOKEN
        extents[1:] = np.maximum(extents[1:], 1.0)
        self.totals = np.concatenate(([0.0], np.cumsum(extents)))

    def at(self, positions: Array | int) -> Array:
        """Tokens before each position."""
        return np.asarray(np.interp(np.asarray(positions), self.positions, self.totals))

    def where(self, tokens: Array | float) -> Array:
        """The position before which so many tokens lie."""
        return np.asarray(np.interp(np.asarray(tokens), self.totals, self.positions)).astype(np.int64)

    def size(self, start: int, end: int) -> float:
        """Tokens of a span."""
        return float(self.at(end) - self.at(start))


def _places(text: str, breaks: dict[int, float], ruler: _Ruler, limit: float) -> tuple[Array, Array]:
    """Where a chunk may begin (ascending, with both ends of the text) and what that costs.

    Where structure offers nothing for long, places between words or, for want of those, characters are added; where it
    offers more than is needed, the cheapest of each neighbourhood stay.
    """
    grain = limit / PLACES_PER_CHUNK
    at = np.array(sorted({0, len(text), *breaks}), np.int64)
    before = ruler.at(at)
    for gap in np.flatnonzero(np.diff(before) > 2 * grain):
        for position in ruler.where(np.arange(before[gap] + grain, before[gap + 1] - grain / 2, grain)):
            place, cost = place_between(text, int(at[gap]) + 1, int(position))
            breaks.setdefault(place, cost)
    breaks.pop(0, None)
    breaks.pop(len(text), None)
    at = np.fromiter(breaks, np.int64, len(breaks))
    costs = np.fromiter(breaks.values(), np.float64, len(breaks))
    bucket = ruler.at(at) // grain
    order = np.lexsort((at, costs, bucket))
    kept = np.sort(order[np.unique(bucket[order], return_index=True)[1]])
    kept = kept[np.argsort(at[kept])]
    return np.concatenate(([0], at[kept], [len(text)])), np.concatenate(([0.0], costs[kept], [0.0]))


def _cut(places: tuple[Array, Array], ruler: _Ruler, limit: float, overlap: int) -> list[tuple[int, int]]:
    """The cheapest spans of at most ``limit`` tokens from the first place to the last."""
    at, costs = places
    before = ruler.at(at)
    target = limit - overlap
    firsts = np.minimum(np.searchsorted(before, before - target), np.maximum(np.arange(len(at)) - 1, 0))
    best, chosen = np.zeros(len(at)), np.zeros(len(at), np.int64)
    for j in range(1, len(at)):
        i = int(firsts[j])
        shortfall = np.maximum(1 - (before[j] - before[i:j]) / target, 0)
        totals = best[i:j] + shortfall * shortfall
        pick = int(totals.argmin())
        best[j], chosen[j] = totals[pick] + costs[j], i + pick
    natural = np.flatnonzero(costs <= LINE)
    spans = []
    j = len(at) - 1
    while j > 0:
        i = int(chosen[j])
        repeated = natural[np.searchsorted(before[natural], before[i] - overlap) :] if overlap and i else natural[:0]
        first = min(i, int(repeated[0])) if len(repeated) else i
        spans.append((int(at[first]), int(at[j])))
        j = i
    return spans[::-1]


class _Fitter:
    """Spans with their context and their exact count: added up where that is certain, else by the tokenizer itself."""

    def __init__(self, text: str, ruler: _Ruler, contexts: Contexts, tokenizer: TokenCounter) -> None:
        self.text, self.ruler, self.contexts, self.tokenizer = text, ruler, contexts, tokenizer
        #: Whether the tokens of the document, which are known, are those of its chunks where they are cut at spaces.
        self.adds_up = (
            tokenizer.splits_at_spaces
            and (not tokenizer.passage_prefix or tokenizer.passage_prefix[-1] in _SPACES)
            and not has_seams_in_words(text)
        )
        self.head_sizes: dict[str, int] = {}

    def fitting(self, span: tuple[int, int]) -> tuple[int, int, str, int] | None:
        """The trimmed span with context and count, or None if it is empty or over the window."""
        counted = self._count([span])
        return counted[0] if counted and counted[0][3] <= self.tokenizer.window else None

    def fit(self, spans: list[tuple[int, int]]) -> list[tuple[int, int, str, int]]:
        """All spans; what turns out too long is halved until it fits."""
        pieces: list[tuple[int, int, str, int]] = []
        for piece in self._count(spans):
            start, end, _, count = piece
            if count <= self.tokenizer.window or end - start < 2:
                pieces.append(piece)
                continue
            middle = int(self.ruler.where((self.ruler.at(start) + self.ruler.at(end)) / 2))
            middle, _ = place_between(self.text, start + 1, min(max(middle, start + 1), end - 1))
            pieces += self.fit([(start, middle), (middle, end)])
        return pieces

    def _count(self, spans: list[tuple[int, int]]) -> list[tuple[int, int, str, int]]:
        trimmed = [span for span in (_trim(self.text, *span) for span in spans) if span[0] < span[1]]
        contexts = [self.contexts.of(start, end, self.text) for start, end in trimmed]
        counts = self._add_up(trimmed, contexts)
        unknown = [at for at, count in enumerate(counts) if count < 0]
        inputs = [self._head(contexts[at]) + self.text[slice(*trimmed[at])] for at in unknown]
        for at, count in zip(unknown, self.tokenizer.counts(inputs) if inputs else [], strict=True):
            counts[at] = count
        return [(*span, context, n) for span, context, n in zip(trimmed, contexts, counts, strict=True)]

    def _add_up(self, spans: list[tuple[int, int]], contexts: list[str]) -> list[int]:
        """Tokens of the spans behind their contexts, from the document's own tokens; -1 where that is not certain."""
        if not self.adds_up:
            return [-1] * len(spans)
        firsts, lasts = np.searchsorted(self.ruler.starts, np.array(spans, np.int64).reshape(-1, 2).T)
        return [
            n + self._head_size(context) if self._stands_alone(*span) else -1
            for span, context, n in zip(spans, contexts, (lasts - firsts).tolist(), strict=True)
        ]

    def _stands_alone(self, start: int, end: int) -> bool:
        text = self.text
        return (not start or text[start - 1] in _SPACES) and (end == len(text) or text[end] in _SPACES)

    def _head(self, context: str) -> str:
        """What stands before a chunk's text in the model's input."""
        return self.tokenizer.passage_prefix + embedding_input(context, "")

    def _head_size(self, context: str) -> int:
        if context not in self.head_sizes:
            self.head_sizes[context] = self.tokenizer.counts([self._head(context)])[0]
        return self.head_sizes[context]


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    stripped = piece.strip()
    start += len(piece) - len(piece.lstrip())
    return (start, start + len(stripped)) if stripped else (start, start)


def _page(page_starts: Sequence[int], start: int) -> int | None:
    return max(1, bisect_right(page_starts, start)) if page_starts else None
