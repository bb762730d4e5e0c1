"""Answers without a chat model: the sentences of the passages that fit the question best, word for word.

A sentence is chosen for what it says about the question, by similarity and shared words, so that an instruction
hidden in a document is not an answer to anything and stays out unless somebody asks about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.chat.markup import code, escape
from rag.chat.sentences import Unit, find_units, same_word, words

#: Embeds sentences: n texts become an (n, d) array of unit vectors.
EmbedSentences = Callable[[list[str]], NDArray[np.float32]]

MAX_SENTENCES = 64
MAX_QUOTES = 5
MAX_QUOTED_CHARS = 1200
_MAX_LIST_CHARS = 700

#: Relevance between random pairs (0) and identity (1) below which nothing is called an answer.
_FLOOR = 0.28
#: A further sentence must come this close to the best one.
_CLOSE_TO_BEST = 0.8
#: Maximal marginal relevance (Carbonell and Goldstein 1998): what repeating an earlier quote costs.
_REPEAT_COST = 0.3
_SAME = 0.9
_LEXICAL_SHARE = 0.3
_PASSAGE_SHARE = 0.3
_KIND_COST = {"sentence": 0.0, "item": 0.0, "row": 0.03, "code": 0.05, "title": 0.15}


@dataclass(frozen=True, slots=True)
class Source:
    """A numbered passage; ``start`` is its offset in the document's text, ``similarity`` that to the question.

    ``own`` is what was retrieved of ``text`` (from, to), where that holds its neighbours as well; None: all of it.
    """

    number: int
    start: int
    text: str
    similarity: float | None = None
    language: str = "en"
    own: tuple[int, int] | None = None

    @property
    def whole(self) -> Quote:
        """All that was retrieved."""
        start, end = self.own or (0, len(self.text))
        return Quote(self.number, self.start + start, self.start + end, self.text[start:end])


@dataclass(frozen=True, slots=True)
class Quote:
    """Words of passage ``number`` at ``start``:``end`` of its document's text."""

    number: int
    start: int
    end: int
    text: str
    kind: str = "sentence"


@dataclass(frozen=True, slots=True)
class Choice:
    """The quotes in reading order. ``relevant`` is False when they are merely the nearest there is."""

    quotes: list[Quote]
    relevant: bool
    considered: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    source: Source
    unit: Unit
    text: str
    terms: frozenset[str]


def choose_quotes(
    question: str,
    question_vector: NDArray[np.float32],
    sources: Sequence[Source],
    embed: EmbedSentences,
    random_mean: float,
) -> Choice:
    """Pick what to quote from ``sources`` (best passage first).

    ``random_mean`` is the mean similarity of unrelated texts under the model, which is what relevance is counted from.
    """
    asked = list(dict.fromkeys(words(question)))
    candidates = _distinct(candidate for source in sources for candidate in _candidates(source, asked))
    if not candidates:
        return Choice([], relevant=False, considered=0)
    overlap = _overlaps(asked, candidates)
    kept = _bound(candidates, overlap)
    candidates, overlap = [candidates[i] for i in kept], overlap[kept]
    vectors = np.asarray(embed([candidate.text for candidate in candidates]), dtype=np.float32)
    similarity = (vectors @ np.asarray(question_vector, dtype=np.float32) - random_mean) / max(1 - random_mean, 1e-6)
    scores = _scores(similarity, overlap, candidates, random_mean)
    relevant = bool(scores.max() >= _FLOOR)
    picked = _pick(scores, vectors, candidates) if relevant else _nearest(scores, candidates)
    return Choice(_in_reading_order(candidates, picked), relevant, len(candidates))


def _candidates(source: Source, asked: list[str]) -> list[_Candidate]:
    found = []
    for unit in find_units(source.text, source.language):
        text = source.text[unit.start : unit.end]
        terms = frozenset(words(text))
        # What only repeats words of the question, as headings do, tells nobody anything.
        if any(not any(same_word(term, word) for word in asked) for term in terms):
            found.append(_Candidate(source, unit, text, terms))
    return found


def _distinct(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """Each wording once: overlapping passages and repeated documents say the same thing."""
    seen: dict[str, _Candidate] = {}
    for candidate in candidates:
        seen.setdefault(" ".join(candidate.text.casefold().split()), candidate)
    return list(seen.values())


def _overlaps(asked: list[str], candidates: list[_Candidate]) -> NDArray[np.float64]:
    """The share of the question's words that each candidate has, rare words counting more, in 0…1."""
    hits = np.array([[any(same_word(word, term) for term in c.terms) for word in asked] for c in candidates])
    if not asked:
        return np.zeros(len(candidates))
    frequency = hits.sum(axis=0)
    rarity = np.log1p(len(candidates) / (frequency + 0.5))
    weights = rarity * np.array(
        [1.0 if len(word) > 3 or not word.isascii() or _digits(word) else 0.3 for word in asked]
    )
    return np.asarray((hits * weights).sum(axis=1) / weights.sum(), dtype=np.float64)


def _digits(word: str) -> bool:
    return any(letter.isdigit() for letter in word)


def _bound(candidates: list[_Candidate], overlap: NDArray[np.float64]) -> list[int]:
    """At most :data:`MAX_SENTENCES`, those of better passages and with more of the question's words first."""
    if len(candidates) <= MAX_SENTENCES:
        return list(range(len(candidates)))
    rank = [overlap[i] - 0.02 * candidate.source.number for i, candidate in enumerate(candidates)]
    return sorted(sorted(range(len(candidates)), key=lambda i: -rank[i])[:MAX_SENTENCES])


def _scores(
    similarity: NDArray[np.float32], overlap: NDArray[np.float64], candidates: list[_Candidate], random_mean: float
) -> NDArray[np.float64]:
    passage = np.array(
        [
            own
            if (found := candidate.source.similarity) is None
            else (found - random_mean) / max(1 - random_mean, 1e-6)
            for own, candidate in zip(similarity, candidates, strict=True)
        ]
    )
    cost = np.array([_KIND_COST[candidate.unit.kind] for candidate in candidates])
    rest = 1 - _LEXICAL_SHARE - _PASSAGE_SHARE
    return np.asarray(rest * similarity + _LEXICAL_SHARE * overlap + _PASSAGE_SHARE * passage - cost, dtype=np.float64)


def _pick(scores: NDArray[np.float64], vectors: NDArray[np.float32], candidates: list[_Candidate]) -> list[int]:
    """Greedy maximal marginal relevance among those close to the best."""
    threshold = max(_FLOOR, _CLOSE_TO_BEST * float(scores.max()))
    left = [i for i in np.argsort(-scores) if scores[i] >= threshold]
    picked: list[int] = []
    room = MAX_QUOTED_CHARS
    while left and len(picked) < MAX_QUOTES and room > 0:
        repeats = {i: max((float(vectors[i] @ vectors[j]) for j in picked), default=0.0) for i in left}
        left = [i for i in left if repeats[i] < _SAME]
        if not left:
            break
        chosen = max(left, key=lambda i: scores[i] - _REPEAT_COST * repeats[i])
        left.remove(chosen)
        if not picked or len(candidates[chosen].text) <= room:
            picked.append(int(chosen))
            room -= len(candidates[chosen].text)
    return picked


def _nearest(scores: NDArray[np.float64], candidates: list[_Candidate], count: int = 2) -> list[int]:
    """The best of each of the nearest passages."""
    best: dict[int, int] = {}
    for i in np.argsort(-scores):
        best.setdefault(candidates[i].source.number, int(i))
    return list(best.values())[:count]


def _in_reading_order(candidates: list[_Candidate], picked: list[int]) -> list[Quote]:
    """The best first, with the others of its passage around it in their order; then passage by passage."""
    order: dict[int, list[_Candidate]] = {}
    for i in picked:
        order.setdefault(candidates[i].source.number, []).append(candidates[i])
    quotes: list[Quote] = []
    for group in order.values():
        for candidate in sorted(group, key=lambda one: one.unit.start):
            quotes = _append(quotes, candidate)
    return quotes


def _append(quotes: list[Quote], candidate: _Candidate) -> list[Quote]:
    source = candidate.source
    unit, kind = _with_its_list(candidate)
    start, end = source.start + unit.start, source.start + unit.end
    last = quotes[-1] if quotes and quotes[-1].number == source.number else None
    if last is not None and last.start <= start and end <= last.end:
        return quotes
    if last is not None and last.kind == kind == "sentence":
        between = source.text[last.end - source.start : unit.start]
        if not between.strip() and between.count("\n") < 2:
            start = last.start
            quotes = quotes[:-1]
    text = source.text[start - source.start : end - source.start]
    return [*quotes, Quote(source.number, start, end, text, kind)]


def _with_its_list(candidate: _Candidate) -> tuple[Unit, str]:
    """What ends with a colon says nothing without the list, table or code that it leads to."""
    unit, end = candidate.unit, candidate.unit.end
    if candidate.text.endswith((":", "：")):
        for following in find_units(candidate.source.text, candidate.source.language):
            if following.start < end:
                continue
            if following.kind not in ("item", "row", "code") or following.end - unit.start > _MAX_LIST_CHARS:
                break
            end = following.end
    return Unit(unit.start, end, unit.kind), "list" if end > unit.end else unit.kind


def write_answer(choice: Choice, searched: str = "collection") -> Iterator[tuple[str, Quote | None]]:
    """The answer as Markdown, a block at a time, each with the quote that its marker stands for.

    ``searched`` is a word for where the passages are from.
    """
    if not choice.quotes:
        yield f"Nothing relevant was found: no passage of the {searched} fits this question.", None
    elif choice.relevant:
        yield "*Quoted from the documents word for word, since no chat model is set up:*", None
    else:
        yield "Nothing relevant was found. The nearest passages say:", None
    for quote in choice.quotes:
        yield f"\n\n> {_show(quote)} [{quote.number}]", quote


def _show(quote: Quote) -> str:
    if quote.kind != "list":
        return code(quote.text) if quote.kind in ("row", "code") else escape(quote.text)
    lead, *entries = [(unit.kind, quote.text[unit.start : unit.end]) for unit in find_units(quote.text)]
    shown = [code(text) if kind in ("row", "code") else escape(text) for kind, text in entries]
    return "\n>\n> ".join([escape(lead[1]), "\n> ".join(f"- {entry}" for entry in shown)])


def find_support(claim: str, source: Source) -> Quote:
    """The part of a passage that a model's claim most likely rests on; the whole of it when no words are shared."""
    claimed = list(dict.fromkeys(words(claim)))
    candidates = [
        _Candidate(source, unit, text, frozenset(words(text)))
        for unit in find_units(source.text, source.language)
        if (text := source.text[unit.start : unit.end])
    ]
    if not claimed or not candidates:
        return source.whole
    overlap = _overlaps(claimed, candidates)
    # A long sentence shares words by chance: discount it a little by its length.
    best = int(np.argmax([share / math.log(8 + len(c.terms)) for share, c in zip(overlap, candidates, strict=True)]))
    if overlap[best] < 0.15:
        return source.whole
    unit = candidates[best].unit
    return Quote(source.number, source.start + unit.start, source.start + unit.end, candidates[best].text, unit.kind)
