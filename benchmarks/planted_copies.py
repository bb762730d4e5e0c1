"""Passages with near-duplicates planted among them: what :mod:`benchmarks.bench_health` and a test look for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from rag.health.repeats import cut

CRANFIELD = Path(__file__).resolve().parents[2] / "shared" / "eval" / "cranfield" / "corpus.jsonl"

Kind = Literal["exact", "whitespace", "one word changed", "re-ordered sentences", "half the sentences"]
#: The last one is no near-duplicate: it says whether too much is taken for one.
KINDS: tuple[Kind, ...] = ("exact", "whitespace", "one word changed", "re-ordered sentences", "half the sentences")
_GAPS = ("  ", "\n", "\n\n", "\t", " \u00a0", "\r\n")


@dataclass(frozen=True)
class Planted:
    """``copy`` and ``original`` are places in the list of texts."""

    kind: Kind
    original: int
    copy: int


def make_passages(count: int, rng: np.random.Generator, *, cranfield: bool = True) -> list[list[str]]:
    """Passages of five to nine sentences each, as lists of sentences.

    Put together of Cranfield's own, so that each stands in many passages, or of made-up ones where it is absent.
    """
    pool = read_sentences() if cranfield and CRANFIELD.exists() else make_sentences(max(200, 2 * count), rng)
    return [[pool[at] for at in rng.choice(len(pool), int(rng.integers(5, 10)), replace=False)] for _ in range(count)]


def read_sentences() -> list[str]:
    """Cranfield's sentences of ten words or more, each once."""
    with CRANFIELD.open(encoding="utf-8") as lines:
        texts = [str(json.loads(line)["text"]) for line in lines]
    found = dict.fromkeys(text[a:b].strip() for text in texts for a, b in cut(text))
    return [one for one in found if len(one.split()) >= 10]


def make_sentences(count: int, rng: np.random.Generator) -> list[str]:
    """Sentences of ten to twenty-five invented words, some of which are much more common than others."""
    letters = np.array(list("aeiounrtslmdk"))
    words = np.array(["".join(rng.choice(letters, int(rng.integers(2, 9)))) for _ in range(8000)])
    weights = 1 / np.arange(1, len(words) + 1)
    chosen = [rng.choice(words, int(rng.integers(10, 26)), p=weights / weights.sum()) for _ in range(count)]
    return [" ".join(some).capitalize() + "." for some in chosen]


def plant(passages: Sequence[Sequence[str]], each: int, rng: np.random.Generator) -> tuple[list[str], list[Planted]]:
    """The passages as texts with ``each`` copies of every kind added, and where those are; all shuffled."""
    originals = rng.choice(len(passages), each * len(KINDS), replace=False)
    texts = [" ".join(one) for one in passages]
    found: list[tuple[Kind, int, int]] = []
    for number, original in enumerate(originals.tolist()):
        kind = KINDS[number % len(KINDS)]
        found.append((kind, original, len(texts)))
        texts.append(_copy(kind, passages[original], passages[int(rng.integers(len(passages)))], rng))
    places = rng.permutation(len(texts))
    shuffled = [""] * len(texts)
    for text, place in zip(texts, places.tolist(), strict=True):
        shuffled[place] = text
    return shuffled, [Planted(kind, int(places[original]), int(places[copy])) for kind, original, copy in found]


def _copy(kind: Kind, sentences: Sequence[str], others: Sequence[str], rng: np.random.Generator) -> str:
    text = " ".join(sentences)
    if kind == "whitespace":
        words = text.split(" ")
        return words[0] + "".join(_GAPS[int(rng.integers(len(_GAPS)))] + word for word in words[1:])
    if kind == "one word changed":
        words = text.split()
        words[int(rng.integers(1, len(words) - 1))] = "otherwise"
        return " ".join(words)
    if kind == "re-ordered sentences":
        order = rng.permutation(len(sentences))
        while all(b == a + 1 for a, b in pairwise(order.tolist())):
            order = rng.permutation(len(sentences))
        return " ".join(sentences[at] for at in order)
    if kind == "half the sentences":
        return " ".join([*sentences[: len(sentences) // 2], *others[len(others) // 2 :]])
    return text
