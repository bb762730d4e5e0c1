"""How far one may trust neighbours on a map: Trustworthiness (Venna and Kaski, Neighborhood preservation…, 2001)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.mapping.neighbours import nearest

#: Neighbours on the map that are looked at.
DEPTH = 15
#: Points whose neighbours are looked at; their ranks are exact, among all. 2,000 give it to about ±0.001.
ROWS = 2000
_BLOCK = 8_000_000


@dataclass(frozen=True)
class Trust:
    """``value`` is 1 where whatever is near on the map is near in the vectors too; by ``rows`` points of ``points``."""

    value: float
    rows: int
    points: int


def measure_trust(
    vectors: NDArray[np.float32],
    xy: NDArray[np.floating],
    *,
    depth: int = DEPTH,
    rows: int = ROWS,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> Trust | None:
    """Trustworthiness at ``depth`` by cosine; None for so few points that it isn't defined.

    ``vectors`` [n, d] have length 1. With more points than ``rows``, of so many chosen by ``seed``.
    """
    n = len(vectors)
    if n <= 2 * depth:
        return None
    chosen = np.arange(n) if n <= rows else np.sort(np.random.default_rng(seed).permutation(n)[:rows])
    centred = np.asarray(xy - xy.mean(0), np.float32)
    lengths = (centred**2).sum(1)
    penalty, step = 0.0, max(1, _BLOCK // n)
    for start in range(0, len(chosen), step):
        some = chosen[start : start + step]
        own = np.arange(len(some))
        near = 2 * centred[some] @ centred.T - lengths
        near[own, some] = -np.inf
        similarities = vectors[some] @ vectors.T
        similarities[own, some] = np.inf
        for column in nearest(near, depth).T:
            rank = (similarities > similarities[own, column][:, None]).sum(1)  # itself is before all others
            penalty += float(np.maximum(rank - depth, 0).sum())
        report(start + len(some), len(chosen))
    most = len(chosen) * depth * (2 * n - 3 * depth - 1)
    return Trust(1 - 2 * penalty / most, len(chosen), n)
