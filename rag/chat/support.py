"""Whether the passages that a sentence cites say what it says: by shared words, by likeness of meaning, by numbers.

Each sentence is held against the one or two neighbouring sentences of its passages that fit it best. That tells what
has nothing to do with its source, figures and names that stand nowhere in it, and many a "not". How often it errs is in
docs/chat.md ("Support of each sentence").
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.chat.chat_records import SentenceSupport, Verdict
from rag.chat.claims import Claim, find_claims
from rag.chat.extractive import EmbedSentences, Source
from rag.chat.sentences import find_units, same_word, words

#: Of the sentences of the cited passages, so many are looked at.
MAX_EVIDENCE = 600

#: Measured on benchmarks/support_claims.json; see benchmarks/bench_support.py.
LEXICAL_SHARE = 0.2
SUPPORTED = 0.42
WEAK = 0.34
#: Without vectors shared words have to do, and say less.
_LEXICAL_ONLY = (0.45, 0.2)

#: Two sentences together are like more things than one.
_PAIR_COST = 0.05
_SHORT = 0.3
#: From so many shared words on, a "not" tells the difference.
_NEAR = 0.5
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|nicht|nichts|nie|niemals|kein\w*|ohne"
    r"|pas|jamais|sans|aucun\w*|nunca|sin|ning[uú]n\w*|senza|mai|niet|geen)\b|n['’]t\b",
    re.IGNORECASE,
)
#: Languages that write nouns with capitals, so that a capital says nothing of a name.
_CAPITAL_NOUNS = frozenset({"de", "lb"})
_NAME = re.compile(r"(?<=[^\W_][ ])[^\W\d_][\w'’-]+|(?<=[^\W_],[ ])[^\W\d_][\w'’-]+")
_NUMBER = re.compile(r"\d+(?:[.,'’]\d+)*")
_IN_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_SAID_NUMBERS = {word: str(number) for number, word in enumerate(_IN_WORDS)}


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The sentences of all sources: which source each is of, and the words of each."""

    numbers: NDArray[np.int64]
    texts: list[str]
    words: list[frozenset[str]]


def check_support(
    content: str,
    sources: Sequence[Source],
    embed: EmbedSentences | None = None,
    random_mean: float = 0.0,
    question: str = "",
) -> list[SentenceSupport]:
    """A verdict on each claim of an answer's Markdown, in order.

    ``sources`` are all passages that the answer could cite, as the model read them. Without ``embed`` only words are
    compared. ``random_mean`` is the mean similarity of unrelated texts, from which likeness is counted. An answer may
    take up names of the ``question`` that its passages leave unsaid.
    """
    claims = find_claims(content, sources[0].language if sources else "en")
    if not claims:
        return []
    evidence = _gather(claims, sources)
    lexical = _lexical(claims, evidence)
    similarity = None if embed is None or not evidence.texts else _similarity(claims, evidence, embed, random_mean)
    read = {source.number: source for source in sources}
    return [
        _judge(at, claim, evidence, lexical[at - 1], None if similarity is None else similarity[at - 1], read, question)
        for at, claim in enumerate(claims, 1)
    ]


def _gather(claims: Sequence[Claim], sources: Sequence[Source]) -> _Evidence:
    """Sentences of the cited sources, or of all where something is claimed without a number."""
    cited = {number for claim in claims for number in claim.cited}
    everything = any(not claim.cited for claim in claims)
    numbers: list[int] = []
    texts: list[str] = []
    for source in sorted(sources, key=lambda source: source.number not in cited):
        if everything or source.number in cited:
            for unit in find_units(source.text, source.language):
                numbers.append(source.number)
                texts.append(source.text[unit.start : unit.end])
    numbers, texts = numbers[:MAX_EVIDENCE], texts[:MAX_EVIDENCE]
    return _Evidence(np.array(numbers, np.int64), texts, [frozenset(words(text)) for text in texts])


def _lexical(claims: Sequence[Claim], evidence: _Evidence) -> NDArray[np.float64]:
    """[claims, sentences]: the share of a claim's words that a sentence and the one after it have, by weight."""
    found = np.zeros((len(claims), len(evidence.texts)))
    holders = _holders(evidence)
    for row, claim in enumerate(claims):
        asked = list(dict.fromkeys(words(claim.text)))
        if not asked or not evidence.texts:
            continue
        has = np.zeros((len(asked), len(evidence.texts)), bool)
        for at, word in enumerate(asked):
            for sentence in _sentences_with(word, holders):
                has[at, sentence] = True
        weights = np.log1p(len(evidence.texts) / (has.sum(axis=1) + 0.5)) * [_weight(word) for word in asked]
        found[row] = weights @ _paired(has, evidence.numbers, np.logical_or) / weights.sum()
    return found


def _holders(evidence: _Evidence) -> dict[str, dict[str, list[int]]]:
    """First four letters → word → the sentences that have it: words of one form share these letters."""
    holders: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for at, held in enumerate(evidence.words):
        for word in held:
            holders[word[:4]][word].append(at)
    return holders


def _sentences_with(word: str, holders: dict[str, dict[str, list[int]]]) -> Iterable[int]:
    said = _SAID_NUMBERS.get(word)
    forms = [word, said] if said else [word]
    for form in forms:
        for other, sentences in holders.get(form[:4], {}).items():
            if same_word(form, other):
                yield from sentences


def _weight(word: str) -> float:
    return 1.0 if len(word) > 3 or not word.isascii() or any(letter.isdigit() for letter in word) else _SHORT


def _paired(values: NDArray, numbers: NDArray[np.int64], join: np.ufunc) -> NDArray:  # type: ignore[type-arg]
    """Each sentence together with the next one of its source; values are [..., sentences]."""
    joined = values.copy()
    same = numbers[1:] == numbers[:-1]
    joined[..., :-1][..., same] = join(values[..., :-1][..., same], values[..., 1:][..., same])
    return joined


def _similarity(
    claims: Sequence[Claim], evidence: _Evidence, embed: EmbedSentences, random_mean: float
) -> NDArray[np.float64]:
    """[claims, sentences]: likeness to a sentence, alone or with the next, from 0 (unrelated) to 1 (the same)."""
    vectors = np.asarray(embed([claim.text for claim in claims] + evidence.texts), np.float64)
    asked, held = vectors[: len(claims)], vectors[len(claims) :]
    pairs = _paired(held.T, evidence.numbers, np.add).T
    pairs /= np.maximum(np.linalg.norm(pairs, axis=1, keepdims=True), 1e-9)
    best = np.maximum(asked @ held.T, asked @ pairs.T - _PAIR_COST)
    return np.asarray((best - random_mean) / max(1 - random_mean, 1e-6), np.float64)


def _judge(
    ordinal: int,
    claim: Claim,
    evidence: _Evidence,
    lexical: NDArray[np.float64],
    similarity: NDArray[np.float64] | None,
    read: Mapping[int, Source],
    question: str,
) -> SentenceSupport:
    known = [number for number in claim.cited if number in read]
    within = np.isin(evidence.numbers, known) if known else np.ones(len(evidence.numbers), bool)
    shared, alike = 0.0, None if similarity is None else 0.0
    if within.any():
        shared = min(1.0, float(lexical[within].max()))
        alike = None if similarity is None else float(np.clip(similarity[within].max(), 0.0, 1.0))
    figures, names = _missing(claim.text, [read[number] for number in known or read], question)
    verdict: Verdict = decide(shared, alike, figures, names) if known else "uncited"
    if verdict == "supported" and shared >= _NEAR and _turns_around(claim.text, evidence, np.flatnonzero(within)):
        verdict = "weak"
    return SentenceSupport(ordinal, claim.start, claim.end, known, verdict, shared, alike, figures + names)


def _turns_around(text: str, evidence: _Evidence, within: NDArray[np.int64]) -> bool:
    """Whether a claim says "not" where the sentence with most of its words doesn't, or the other way round.

    A "not" of the sentence may be in a part that the claim left out: then most of its words are missing in the claim.
    """
    claimed = frozenset(words(text))
    best = max(within, key=lambda at: len(claimed & evidence.words[at]))
    here, there = _NEGATION.search(text), _NEGATION.search(evidence.texts[best])
    if here:
        return there is None
    held = evidence.words[best]
    return there is not None and len(claimed & held) >= 0.75 * len(held)


def decide(lexical: float, similarity: float | None, figures: Sequence[str], names: Sequence[str]) -> Verdict:
    """The verdict on a sentence with numbers of passages; ``figures`` and ``names`` are those that they don't have."""
    if similarity is None:
        score, (enough, little) = lexical, _LEXICAL_ONLY
    else:
        score, enough, little = LEXICAL_SHARE * lexical + (1 - LEXICAL_SHARE) * similarity, SUPPORTED, WEAK
    if figures or score < little:
        return "unsupported"
    if score < enough:
        return "unsupported" if names else "weak"
    return "weak" if names else "supported"


def _missing(text: str, sources: Sequence[Source], question: str) -> tuple[list[str], list[str]]:
    """Figures and names of a claim that stand in none of ``sources``."""
    held = frozenset().union(*(_numbers(source.text) for source in sources))
    figures = sorted(figure for figure in _figures(text) - held if not _rounds(figure, held))
    if any(source.language in _CAPITAL_NOUNS for source in sources):
        return figures, []
    said: dict[str, set[str]] = defaultdict(set)
    for word in words(" ".join([question, *(source.text for source in sources)])):
        said[word[:4]].add(word)
    names = [name for name in dict.fromkeys(_NAME.findall(text)) if name[0].isupper()]
    return figures, [name for name in names if not any(_is_said(word, said) for word in words(name))]


def _rounds(figure: str, held: Iterable[str]) -> bool:
    """4200 of 4210 and 78 of 78.4; but years are not rounded."""
    if len(figure) == 4 and figure[:2] in ("17", "18", "19", "20"):
        return False
    digits = figure.replace(".", "").rstrip("0")
    for other in held:
        precise = other.replace(".", "")
        try:
            near = abs(float(figure) - float(other)) <= 0.01 * abs(float(other))
        except ValueError:
            continue
        if near and len(digits) >= 2 and len(digits) < len(precise.rstrip("0")) and precise.startswith(digits[:-1]):
            return True
    return False


def _is_said(word: str, said: Mapping[str, set[str]]) -> bool:
    return any(same_word(word, other) for other in said.get(word[:4], ()))


def _figures(text: str) -> frozenset[str]:
    return frozenset(_plain_figure(found) for found in _NUMBER.findall(text))


def _numbers(text: str) -> frozenset[str]:
    """What figures of a claim may rest on: the figures of a source, and its small numbers in English words."""
    return _figures(text) | {_SAID_NUMBERS[word] for word in words(text) if word in _SAID_NUMBERS}


def _plain_figure(figure: str) -> str:
    """1,200 and 1'200 as 1200; 3,5 and 3.50 as 3.5; 007 as 7."""
    whole = re.sub(r"[.,'’](?=\d{3}(?:\D|\Z))", "", figure).replace(",", ".")
    try:
        return f"{float(whole):g}" if whole.count(".") <= 1 and len(whole) < 15 else whole
    except ValueError:
        return whole
