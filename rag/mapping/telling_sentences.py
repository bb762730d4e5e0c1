"""The sentence that stands for a group of texts: near their centre, whole, and about what is distinctive in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.chat.sentences import find_units
from rag.mapping.terms import TermReader

#: Texts that are looked at, nearest to the centre first.
_NEAREST = 12
_SHORTEST, _LONGEST, _BEST_UP_TO = 30, 260, 180
#: What a sentence that begins so refers to stands before it.
_DANGLING = re.compile(r"(?:it|this|that|these|those|he|she|they|his|her|their|its|such|but|and|however|also)\b", re.I)
_STOP = re.compile(r"[.!?。！？؟।]['\"”’»」』)\]]*\Z")
_SPACED_MARK = re.compile(r"\s[,.;:]\s|@|<unk>|\.{3,}|…")


@dataclass(frozen=True, slots=True)
class Sample:
    """A text with its vector, of any length."""

    chunk_id: int
    text: str
    language: str | None
    excluded: bool
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Telling:
    """A sentence word for word, but for line ends, and where it is from."""

    text: str
    chunk_id: int


def choose_sentence(samples: Sequence[Sample], scored: Mapping[str, float], reader: TermReader) -> Telling | None:
    """The sentence of ``samples`` that stands for them; ``scored`` are the stems that are distinctive in them.

    None where no sentence is whole. What is excluded from search isn't quoted.
    """
    best, highest = None, 0.0
    total = sum(scored.values()) or 1.0
    for rank, sample in enumerate(_nearest([sample for sample in samples if not sample.excluded])):
        for text in _sentences(sample):
            keys = reader.read(text, sample.language).kinds()
            about = sum(scored.get(key, 0.0) for key in keys) / total
            score = (0.1 + about) * _form(text) * (1 - 0.4 * rank / _NEAREST)
            if score > highest:
                best, highest = Telling(text, sample.chunk_id), score
    return best


def _nearest(samples: list[Sample]) -> list[Sample]:
    if not samples:
        return []
    vectors = np.stack([sample.vector for sample in samples])
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    order = np.argsort(-(vectors @ vectors.mean(axis=0)), kind="stable")
    return [samples[at] for at in order[:_NEAREST]]


def _sentences(sample: Sample) -> Iterator[str]:
    for unit in find_units(sample.text, sample.language or "en"):
        if unit.kind == "sentence" and _SHORTEST <= unit.end - unit.start <= _LONGEST:
            yield " ".join(sample.text[unit.start : unit.end].split())


def _form(text: str) -> float:
    """From 0 to 1: begins and ends like a sentence, is made of words, and is not too long."""
    letters = sum(letter.isalpha() or letter.isspace() or not letter.isascii() for letter in text) / len(text)
    if letters < 0.8:
        return 0.0
    whole = 1.0 if _STOP.search(text) else 0.4
    begins = 0.5 if text[0].islower() or not text[0].isalpha() else 0.7 if _DANGLING.match(text) else 1.0
    length = 1.0 if len(text) <= _BEST_UP_TO else 0.7
    return whole * begins * length * (0.6 if _SPACED_MARK.search(text) else 1.0)
