"""What stands out of a distribution: passages far from everything, and passages that are very short or very long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Nearest passages whose mean distance says how far one is from everything.
NEIGHBOURS = 10
#: Deviations from the median, in units of the median absolute deviation made comparable with a standard deviation, from
#: which a value stands out (Leys et al. 2013).
STANDS_OUT = 2.5
_MAD_TO_SIGMA = 1.4826

#: A passage is short with at most this share of the median's words, and in any case with so few.
SHORT_SHARE = 0.1
SHORT_WORDS = 4
#: It is long with so many times the median's words.
LONG_TIMES = 3.0

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Outliers:
    """Places of the values above ``limit``, the highest first."""

    places: Ints
    limit: float
    median: float


@dataclass(frozen=True)
class OddLengths:
    """Places of passages with at most ``short_limit`` and at least ``long_limit`` words."""

    short: Ints
    long: Ints
    short_limit: float
    long_limit: float
    median: float


def find_outliers(distances: Floats) -> Outliers:
    """The places of the values that are far above the others; none where nearly all are the same."""
    if not len(distances):
        return Outliers(np.empty(0, np.int64), 0.0, 0.0)
    median = float(np.median(distances))
    deviation = float(np.median(np.abs(distances - median)))
    if deviation <= 1e-6:
        return Outliers(np.empty(0, np.int64), 1.0, median)
    limit = median + STANDS_OUT * deviation * _MAD_TO_SIGMA
    places = np.flatnonzero(distances > limit)
    return Outliers(places[np.argsort(-distances[places], kind="stable")], limit, median)


def find_odd_lengths(words: Ints, over_window: NDArray[np.bool_]) -> OddLengths:
    """Short and long passages; ``over_window`` are those that the model doesn't read to their end, which are long."""
    if not len(words):
        return OddLengths(np.empty(0, np.int64), np.empty(0, np.int64), 0.0, 0.0, 0.0)
    median = float(np.median(words))
    short_limit = max(SHORT_WORDS, SHORT_SHARE * median)
    long_limit = LONG_TIMES * max(median, 1.0)
    short = np.flatnonzero(words <= short_limit) if median > SHORT_WORDS else np.empty(0, np.int64)
    long = np.flatnonzero((words >= long_limit) | over_window)
    return OddLengths(
        short[np.argsort(words[short], kind="stable")],
        long[np.argsort(-words[long], kind="stable")],
        short_limit,
        long_limit,
        median,
    )
