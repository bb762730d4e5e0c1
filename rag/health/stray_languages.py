"""Passages in another language than the rest.

Detecting a language takes a millisecond. In a large corpus not every passage is asked: those that hold few of the words
that are common in it are, and of the others a sample, which says what the corpus is in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.health.phrase_sets import Ints

#: Passages with fewer words are not judged: names and figures look like any language.
LEAST_WORDS = 12
#: Up to so many passages each is asked.
ALL = 1500
#: In larger corpora asked are passages whose share of common words is below this part of the median's.
SUSPECT_SHARE = 0.6
SAMPLE = 300
#: A language is the corpus's own from this share of the passages.
OWN_SHARE = 0.1
_SEED = 20_261_122

#: Place of a passage → its language; None where it can't be told.
Detect = Callable[[Sequence[int]], Mapping[int, str | None]]


@dataclass(frozen=True)
class Strays:
    """``places`` by language; ``main`` is the corpus's first language, None where none could be told."""

    main: str | None
    own: tuple[str, ...]
    places: dict[int, str]
    asked: int


def find_strays(words: Ints, common: NDArray[np.float64], detect: Detect) -> Strays:
    """``words`` and ``common`` as in :class:`rag.health.phrase_sets.PhraseSets`."""
    judged = np.flatnonzero(words >= LEAST_WORDS)
    if not len(judged):
        return Strays(None, (), {}, 0)
    limit = SUSPECT_SHARE * float(np.median(common[judged]))
    is_suspect = (common[judged] < limit) | (len(judged) <= ALL)
    suspects, others = judged[is_suspect], judged[~is_suspect]
    sample = np.sort(np.random.default_rng(_SEED).permutation(others)[:SAMPLE])
    found = detect([*suspects.tolist(), *sample.tolist()])
    shares = _shares(found, suspects, sample, len(others), len(judged))
    own = tuple(code for code, share in shares.most_common() if share >= OWN_SHARE)
    if not own:
        return Strays(None, (), {}, len(found))
    places = {place: code for place in suspects.tolist() if (code := found.get(place)) and code not in own}
    return Strays(own[0], own, places, len(found))


def _shares(found: Mapping[int, str | None], suspects: Ints, sample: Ints, others: int, judged: int) -> Counter[str]:
    """Which share of the passages is in which language: suspects counted, the others by their sample."""
    weights: Counter[str] = Counter()
    for places, each in ((suspects, 1.0), (sample, others / max(1, len(sample)))):
        for place in places.tolist():
            if code := found.get(place):
                weights[code] += each / judged  # type: ignore[assignment]
    return weights
