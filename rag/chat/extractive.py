"""Answers without a chat model: the sentences of the passages that fit the question best, word for word.

A sentence is chosen for what it says about the question, by similarity and shared words, so that an instruction
hidden in a document is not an answer to anything and stays out unless somebody asks about it. How well that works, and
how often it answers what the passages don't hold, is in docs/chat.md; benchmarks/bench_refusals.py measures it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.chat.markup import code, escape
from rag.chat.quotable import Candidate, find_candidates, with_its_list
from rag.chat.quotable import Quote as Quote
from rag.chat.quotable import Source as Source
from rag.chat.sentences import find_units, same_word, words
from rag.chat.word_forms import Wording, share_words

#: Embeds sentences: n texts become an (n, d) array of unit vectors.
EmbedSentences = Callable[[list[str]], NDArray[np.float32]]

MAX_SENTENCES = 64
MAX_QUOTES = 5
MAX_QUOTED_CHARS = 1200

#: The best score below which nothing is called an answer, and that from which one is given without reserve.
_FLOOR = 0.35
_SURE = 0.45
#: A further sentence must come this close to the best one.
_CLOSE_TO_BEST = 0.8
#: Maximal marginal relevance (Carbonell and Goldstein 1998): what repeating an earlier quote costs.
_REPEAT_COST = 0.2
_SAME = 0.9
#: What a sentence scores by: its own likeness to the question, shared words, its passage's likeness and rank.
_OWN_SHARE, _LEXICAL_SHARE, _PASSAGE_SHARE, _RANK_SHARE = 0.5, 0.35, 0.15, 0.08
_KIND_COST = {"sentence": 0.0, "item": 0.0, "row": 0.03, "code": 0.05, "title": 0.2}
#: Under a model that doesn't know a language, all of its sentences are alike; how much of that is taken off.
_STRANGE_SHARE = 0.4
_STRANGE_FROM, _STRANGE_MOST = 0.1, 0.35
_ENOUGH_PAIRS = 20
#: Marks of emphasis, which say nothing where they are shown as they are.
_BOLD = re.compile(r"(\*\*|__)(?=\S)([^\n]+?)(?<=\S)\1")


@dataclass(frozen=True, slots=True)
class Choice:
    """The quotes in reading order.

    ``relevant`` is False when they are merely the nearest there is; ``sure`` when they may well miss the question.
    """

    quotes: list[Quote]
    relevant: bool
    considered: int
    sure: bool = True


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
    candidates = [one for one in find_candidates(sources) if _says_more(one, asked)]
    if not candidates:
        return Choice([], relevant=False, considered=0, sure=False)
    shared = share_words(asked, [candidate.wording for candidate in candidates])
    kept = _bound(candidates, shared)
    candidates, shared = [candidates[i] for i in kept], shared[kept]
    vectors = np.asarray(embed([candidate.reads for candidate in candidates]), dtype=np.float32)
    likeness = _likeness(candidates, vectors, np.asarray(question_vector, dtype=np.float32), random_mean)
    scores = _scores(candidates, likeness, shared, random_mean) - _strangeness(candidates, vectors, random_mean)
    best = float(scores.max())
    relevant = best >= _FLOOR
    picked = _pick(scores, vectors, candidates) if relevant else _nearest(scores, candidates)
    return Choice(_in_reading_order(candidates, picked), relevant, len(candidates), sure=best >= _SURE)


def _says_more(candidate: Candidate, asked: Sequence[str]) -> bool:
    """Whether it has a word that the question lacks: what only repeats it, as headings do, tells nobody anything."""
    own = words(candidate.text)
    return any(not any(same_word(word, other) for other in asked) for word in own)


def _bound(candidates: Sequence[Candidate], shared: NDArray[np.float64]) -> list[int]:
    """At most :data:`MAX_SENTENCES`, those of better passages and with more of the question's words first."""
    if len(candidates) <= MAX_SENTENCES:
        return list(range(len(candidates)))
    rank = [shared[i] - 0.02 * candidate.source.number for i, candidate in enumerate(candidates)]
    return sorted(sorted(range(len(candidates)), key=lambda i: -rank[i])[:MAX_SENTENCES])


def _beyond_chance(similarity: NDArray[np.float32] | float, random_mean: float) -> NDArray[np.float64]:
    """Similarity counted from that of unrelated texts (0) to identity (1)."""
    return (np.asarray(similarity, dtype=np.float64) - random_mean) / max(1 - random_mean, 1e-6)


def _likeness(
    candidates: Sequence[Candidate], vectors: NDArray[np.float32], asked: NDArray[np.float32], random_mean: float
) -> NDArray[np.float64]:
    """How like the question each one is, by itself or read on from the sentence before: "It was built in 1998." """
    places = {(one.source.number, one.unit.start): i for i, one in enumerate(candidates)}
    alone = _beyond_chance(vectors @ asked, random_mean)
    read_on = alone.copy()
    for i, one in enumerate(candidates):
        before = None if one.before is None else places.get((one.source.number, one.before))
        if before is not None:
            both = vectors[i] + vectors[before]
            read_on[i] = _beyond_chance(float(both @ asked) / max(float(np.linalg.norm(both)), 1e-9), random_mean)
    return np.maximum(alone, (alone + read_on) / 2)


def _scores(
    candidates: Sequence[Candidate], likeness: NDArray[np.float64], shared: NDArray[np.float64], random_mean: float
) -> NDArray[np.float64]:
    passage = [
        own if one.source.similarity is None else float(_beyond_chance(one.source.similarity, random_mean))
        for own, one in zip(likeness, candidates, strict=True)
    ]
    rank = np.array([1 / one.source.number for one in candidates])
    cost = np.array([_KIND_COST[one.unit.kind] for one in candidates])
    content = _OWN_SHARE * likeness + _LEXICAL_SHARE * shared + _PASSAGE_SHARE * np.array(passage)
    return np.asarray(content + _RANK_SHARE * rank - cost, dtype=np.float64)


def _strangeness(
    candidates: Sequence[Candidate], vectors: NDArray[np.float32], random_mean: float
) -> NDArray[np.float64]:
    """What likeness in a candidate's language is worth less: where sentences of different passages are all alike."""
    numbers = np.array([one.source.number for one in candidates])
    languages = np.array([one.source.language for one in candidates])
    cost = np.zeros(len(candidates))
    for language in set(languages.tolist()):
        of_it = np.flatnonzero(languages == language)
        alike = _beyond_chance(vectors[of_it] @ vectors[of_it].T, random_mean)
        apart = numbers[of_it, None] != numbers[of_it]
        if apart.sum() < _ENOUGH_PAIRS:
            apart = ~np.eye(len(of_it), dtype=bool)
        if apart.any():
            cost[of_it] = _STRANGE_SHARE * np.clip(alike[apart].mean() - _STRANGE_FROM, 0.0, _STRANGE_MOST)
    return cost


def _pick(scores: NDArray[np.float64], vectors: NDArray[np.float32], candidates: Sequence[Candidate]) -> list[int]:
    """Greedy maximal marginal relevance among those close to the best; headings only where they are the best."""
    threshold = max(_FLOOR, _CLOSE_TO_BEST * float(scores.max()))
    left = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] >= threshold]
    if candidates[left[0]].unit.kind != "title":
        left = [i for i in left if candidates[i].unit.kind != "title"]
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
            picked.append(chosen)
            room -= len(candidates[chosen].text)
    return picked


def _nearest(scores: NDArray[np.float64], candidates: Sequence[Candidate], count: int = 2) -> list[int]:
    """The best of each of the nearest passages."""
    best: dict[int, int] = {}
    for i in np.argsort(-scores, kind="stable"):
        best.setdefault(candidates[i].source.number, int(i))
    return list(best.values())[:count]


def _in_reading_order(candidates: Sequence[Candidate], picked: Sequence[int]) -> list[Quote]:
    """The best first, with the others of its passage around it in their order; then passage by passage."""
    order: dict[int, list[Candidate]] = {}
    for i in picked:
        order.setdefault(candidates[i].source.number, []).append(candidates[i])
    quotes: list[Quote] = []
    for group in order.values():
        for candidate in sorted(group, key=lambda one: one.unit.start):
            quotes = _append(quotes, candidate)
    return quotes


def _append(quotes: list[Quote], candidate: Candidate) -> list[Quote]:
    """Add it, as one quote with what stands right before it, after the header of its table."""
    source = candidate.source
    if candidate.header is not None and (header := source.quote(candidate.header)) not in quotes:
        quotes = [*quotes, header]
    unit, kind = with_its_list(candidate)
    quote = source.quote(unit, kind)
    last = quotes[-1] if quotes and quotes[-1].number == source.number else None
    if last is not None and last.start <= quote.start and quote.end <= last.end:
        return quotes
    if last is not None and last.kind == kind == "sentence":
        between = source.text[last.end - source.start : unit.start]
        if not between.strip() and between.count("\n") < 2:
            text = source.text[last.start - source.start : unit.end]
            return [*quotes[:-1], Quote(source.number, last.start, quote.end, text, kind)]
    return [*quotes, quote]


def write_answer(choice: Choice, searched: str = "collection") -> Iterator[tuple[str, Quote | None]]:
    """The answer as Markdown, a block at a time, each with the quote that its marker stands for.

    ``searched`` is a word for where the passages are from.
    """
    if not choice.quotes:
        yield f"Nothing relevant was found: no passage of the {searched} fits this question.", None
    elif choice.relevant and choice.sure:
        yield "*Quoted from the documents word for word, since no chat model is set up:*", None
    elif choice.relevant:
        yield (
            (
                "*Quoted from the documents word for word, since no chat model is set up. "
                "These come closest, but may not answer the question:*"
            ),
            None,
        )
    else:
        yield "Nothing relevant was found. The nearest passages say:", None
    for quote in choice.quotes:
        yield f"\n\n> {_show(quote)} [{quote.number}]", quote


def _show(quote: Quote) -> str:
    if quote.kind != "list":
        return _show_part(quote.kind, quote.text)
    lead, *entries = [(unit.kind, quote.text[unit.start : unit.end]) for unit in find_units(quote.text)]
    shown = [_show_part(kind, text) for kind, text in entries]
    return "\n>\n> ".join([_show_part("sentence", lead[1]), "\n> ".join(f"- {entry}" for entry in shown)])


def _show_part(kind: str, text: str) -> str:
    return code(text) if kind in ("row", "code") else escape(_BOLD.sub(r"\2", text))


def find_support(claim: str, source: Source) -> Quote:
    """The part of a passage that a model's claim most likely rests on; the whole of it when no words are shared."""
    claimed = list(dict.fromkeys(words(claim)))
    units = find_units(source.text, source.language)
    wordings = [Wording(frozenset(words(source.text[unit.start : unit.end])), source.language) for unit in units]
    if not claimed or not units:
        return source.whole
    shared = share_words(claimed, wordings)
    # A long sentence shares words by chance: discount it a little by its length.
    best = int(np.argmax([share / math.log(8 + len(one.words)) for share, one in zip(shared, wordings, strict=True)]))
    return source.whole if shared[best] < 0.15 else source.quote(units[best])
