"""How two passages differ, word by word: what stands in one of them only, and in a word what kind of copy it is."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from rapidfuzz.distance import Indel

from rag.health.repeats import cut

#: The same to the letter; but for white space; but for case and punctuation; but for the order of the sentences; or
#: words differ.
Kind = Literal["same", "whitespace", "punctuation", "order", "words"]
Span = tuple[int, int]

_WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True, slots=True)
class Differences:
    """``first`` and ``second`` are spans without a counterpart, ``words`` how many words that is at most."""

    kind: Kind
    first: tuple[Span, ...] = ()
    second: tuple[Span, ...] = ()
    words: int = 0


def compare(one: str, other: str) -> Differences:
    """What to mark in each. Sentences that both have are the same wherever they stand."""
    if one == other:
        return Differences("same")
    if one.split() == other.split():
        return Differences("whitespace")
    firsts, seconds = _words(one), _words(other)
    if [word for word, _ in firsts] == [word for word, _ in seconds]:
        return Differences("punctuation")
    firsts, seconds = _unmatched(one, other), _unmatched(other, one)
    blocks = Indel.opcodes([word for word, _ in firsts], [word for word, _ in seconds])
    first = [span for block in blocks if block.tag != "equal" for _, span in firsts[block.src_start : block.src_end]]
    second = [
        span for block in blocks if block.tag != "equal" for _, span in seconds[block.dest_start : block.dest_end]
    ]
    kind: Kind = "words" if first or second else "order"
    return Differences(kind, _joined(one, first), _joined(other, second), max(len(first), len(second)))


def _words(text: str, start: int = 0, end: int | None = None) -> list[tuple[str, Span]]:
    found = _WORD.finditer(text, start, len(text) if end is None else end)
    return [(word[0].casefold(), word.span()) for word in found]


def _unmatched(text: str, other: str) -> list[tuple[str, Span]]:
    """The words of the sentences of ``text`` that ``other`` doesn't have."""
    there = Counter(tuple(word for word, _ in _words(other, *span)) for span in cut(other))
    left: list[tuple[str, Span]] = []
    for span in cut(text):
        words = _words(text, *span)
        key = tuple(word for word, _ in words)
        if there[key] > 0:
            there[key] -= 1
        else:
            left += words
    return left


def _joined(text: str, spans: list[Span]) -> tuple[Span, ...]:
    """Spans with nothing but white space between them as one."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and not text[joined[-1][1] : start].strip():
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)
