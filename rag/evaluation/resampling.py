"""How sure a mean over questions is: bootstrap intervals, and paired tests. Seeded: the same in gives the same out.

Questions are resampled, not hits: they are what another set would have other ones of. All metrics of a run are taken
over the same resamples, so that intervals of one run can be compared with one another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 10_000
LEVEL = 0.95
_SEED = 20_261_122
#: Numbers drawn at once; more would only cost memory.
_DRAWN = 2_000_000

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A mean (or quantile) over ``n`` questions, and between what it lies with the confidence asked for."""

    mean: float
    low: float
    high: float
    n: int


class Difference(NamedTuple):
    """What the second of two runs adds, over the ``n`` questions that both answered.

    ``p`` is two-sided, of Fisher's randomisation test: how often a difference at least as large comes up when the two
    runs' values are swapped at random, question by question.
    """

    mean: float
    low: float
    high: float
    p: float
    n: int


def intervals(values: ArrayLike, *, resamples: int = RESAMPLES, level: float = LEVEL) -> list[Interval]:
    """The mean of each column of ``values`` [questions, metrics] with its percentile interval.

    NaN is a question that has no such metric; a column without any number has NaN for all three.
    """
    table = _table(values)
    known = np.isfinite(table)
    filled = np.where(known, table, 0.0)
    means = _ratio(filled.sum(axis=0), known.sum(axis=0))
    drawn = np.vstack([_ratio(w @ filled, w @ known.astype(float)) for w in _weights(len(table), resamples)])
    lows, highs = _bounds(drawn, level)
    counts = known.sum(axis=0)
    return [
        Interval(float(mean), float(low), float(high), int(n))
        for mean, low, high, n in zip(means, lows, highs, counts, strict=True)
    ]


def quantile_interval(
    values: ArrayLike, quantile: float, *, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """A quantile of ``values`` (0.5: the median) with its percentile interval; NaN for no values."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        return Interval(np.nan, np.nan, np.nan, 0)
    drawn = [np.quantile(known[places], quantile, axis=1) for places in _places(known.size, resamples)]
    lows, highs = _bounds(np.concatenate(drawn)[:, None], level)
    return Interval(float(np.quantile(known, quantile)), float(lows[0]), float(highs[0]), int(known.size))


def paired_difference(
    before: ArrayLike, after: ArrayLike, *, resamples: int = RESAMPLES, level: float = LEVEL
) -> Difference:
    """What ``after`` adds to ``before``, question by question in one order; pairs with a NaN are left out."""
    differences = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    differences = differences[np.isfinite(differences)]
    if not differences.size:
        return Difference(np.nan, np.nan, np.nan, np.nan, 0)
    interval = intervals(differences[:, None], resamples=resamples, level=level)[0]
    return Difference(interval.mean, interval.low, interval.high, _randomised(differences, resamples), interval.n)


def _randomised(differences: Floats, resamples: int) -> float:
    """P of Fisher's randomisation test. The data as they are count as one of the draws, so it is never 0."""
    rng = np.random.default_rng(_SEED)
    # What sums of the same numbers in another order differ by is not a difference.
    least = abs(differences.sum()) - 1e-9
    as_large = 0
    for rows in _portions(differences.size, resamples):
        signs = rng.integers(0, 2, size=(rows, differences.size), dtype=np.int8) * 2.0 - 1.0
        as_large += int(np.count_nonzero(np.abs(signs @ differences) >= least))
    return (as_large + 1) / (resamples + 1)


def _table(values: ArrayLike) -> Floats:
    table = np.asarray(values, np.float64)
    return table[:, None] if table.ndim == 1 else table


def _portions(width: int, resamples: int) -> Iterator[int]:
    """Resamples in portions that fit the memory."""
    rows = max(1, _DRAWN // max(1, width))
    for start in range(0, resamples, rows):
        yield min(rows, resamples - start)


def _places(count: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    """Which questions each resample has: [some resamples, count]."""
    rng = np.random.default_rng(_SEED)
    for rows in _portions(count, resamples):
        yield rng.integers(0, count, size=(rows, count))


def _weights(count: int, resamples: int) -> Iterator[Floats]:
    """How often each question is in each resample: [some resamples, count]."""
    for places in _places(count, resamples):
        rows = len(places)
        flat = places + np.arange(rows)[:, None] * count
        yield np.bincount(flat.ravel(), minlength=rows * count).reshape(rows, count).astype(float)


def _ratio(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums / counts, np.float64)


def _bounds(drawn: Floats, level: float) -> tuple[Floats, Floats]:
    """Percentiles of each column; resamples in which nobody had the metric don't count."""
    tail = (1 - level) / 2
    empty = ~np.isfinite(drawn).any(axis=0)
    usable = np.where(empty, 0.0, drawn)
    low, high = np.nanquantile(usable, [tail, 1 - tail], axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)
