"""From neighbours to places in the plane: UMAP (McInnes, Healy, Melville 2018), its layout by umap-learn.

What comes before the layout is a few lines of array arithmetic here. umap-learn has it compiled, and importing and
compiling it, with the neighbour search that goes along, is most of the time of a first map (docs/decisions/0003).
"""

from __future__ import annotations

import importlib.util
import re
import sys
import types
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.mapping.neighbours import Neighbours

#: Told how many rounds of all are done.
Report = Callable[[int, int], None]

#: Rounds of the layout: umap-learn's own number for many points. Its 500 for few gain .0001 of trustworthiness.
ROUNDS = 200
_TOLERANCE = 1e-5
_SEARCH_STEPS = 64
_LEAST_SCALE = 1e-3


def project(
    vectors: NDArray[np.float32],
    neighbours: Neighbours,
    *,
    min_dist: float = 0.1,
    seed: int = 0,
    report: Report = lambda _done, _total: None,
) -> NDArray[np.float32]:
    """[n, 2]: the places of unit ``vectors``. The same from the same; for at least four points."""
    head, tail, weight = fuzzy_graph(neighbours)
    kept = weight >= weight.max() / ROUNDS
    rng = np.random.RandomState(seed)
    return _lay_out(
        spread_out(vectors, rng),
        head[kept],
        tail[kept],
        (weight.max() / weight[kept]).astype(np.float64),
        ROUNDS,
        min_dist,
        rng.randint(-(2**31) + 1, 2**31 - 1, 3).astype(np.int64),
        report,
    )


def compile_layout() -> None:
    """Have the layout compiled, or read from the cache of an earlier process: some seconds, once a process."""
    xy = np.zeros((2, 2), np.float32)
    ends = np.array([0, 1], np.int32)
    _lay_out(xy, ends, ends[::-1].copy(), np.ones(2), 1, 0.1, np.zeros(3, np.int64), lambda _done, _total: None)


def memberships(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, k]: how far each neighbour belongs to each point, 1 for the nearest; by ``distances``, its own first.

    umap-learn's ``smooth_knn_dist`` and ``compute_membership_strengths`` with local_connectivity 1.
    """
    wanted = np.log2(distances.shape[1])
    nearest = np.where(distances > 0, distances, np.inf).min(1)
    nearest[np.isinf(nearest)] = 0
    beyond = np.maximum(distances - nearest[:, None], 0)
    scale = np.ones(len(distances))
    low, high = np.zeros(len(distances)), np.full(len(distances), np.inf)
    open_rows = np.arange(len(distances))
    for _ in range(_SEARCH_STEPS):
        total = np.exp(-beyond[open_rows, 1:] / scale[open_rows, None]).sum(1)
        open_rows, total = (some[np.abs(total - wanted) >= _TOLERANCE] for some in (open_rows, total))
        if not len(open_rows):
            break
        above = total > wanted
        high[open_rows[above]] = scale[open_rows[above]]
        low[open_rows[~above]] = scale[open_rows[~above]]
        unbounded = np.isinf(high[open_rows])
        scale[open_rows] = np.where(
            unbounded, 2 * scale[open_rows], (low[open_rows] + np.where(unbounded, 0, high[open_rows])) / 2
        )
    least = _LEAST_SCALE * np.where(nearest > 0, distances.mean(1), distances.mean())
    scale = np.maximum(scale, np.maximum(least, np.finfo(np.float32).tiny))
    return np.asarray(np.exp(-beyond / scale[:, None]), np.float32)


def fuzzy_graph(neighbours: Neighbours) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Heads, tails and weights of the edges, both ways: the probabilistic union of what each thinks of the other."""
    from scipy.sparse import coo_array

    n, k = neighbours.places.shape
    weight = memberships(neighbours.distances)
    rows = np.repeat(np.arange(n, dtype=np.int32), k)
    columns = neighbours.places.ravel()
    other = rows != columns
    there = coo_array((weight.ravel()[other], (rows[other], columns[other])), shape=(n, n)).tocsr()
    back = there.T.tocsr()
    union = (there + back - there * back).tocoo()
    return union.row.astype(np.int32), union.col.astype(np.int32), union.data.astype(np.float32)


def spread_out(vectors: NDArray[np.float32], rng: np.random.RandomState) -> NDArray[np.float32]:
    """[n, 2] to begin with: the two principal components, on 0 to 10, with a little noise lest points coincide."""
    middle = vectors.mean(0)
    _, axes = np.linalg.eigh(np.asarray(vectors.T @ vectors / len(vectors) - np.outer(middle, middle), np.float64))
    xy = (vectors - middle) @ axes[:, :-3:-1]
    xy = xy * (10 / max(float(np.abs(xy).max()), 1e-6)) + rng.normal(scale=1e-4, size=xy.shape)
    return np.ascontiguousarray(10 * (xy - xy.min(0)) / (xy.max(0) - xy.min(0)), np.float32)


@cache
def curve(min_dist: float) -> tuple[float, float]:
    """UMAP's a and b: 1 / (1 + a x^2b) comes nearest to 1 up to ``min_dist`` and falls off exponentially beyond."""
    from scipy.optimize import curve_fit

    x = np.linspace(0, 3, 300)
    (a, b), _ = curve_fit(lambda x, a, b: 1 / (1 + a * x ** (2 * b)), x, np.exp(-np.maximum(x - min_dist, 0)))
    return float(a), float(b)


def _lay_out(
    xy: NDArray[np.float32],
    head: NDArray[np.int32],
    tail: NDArray[np.int32],
    epochs_per_sample: NDArray[np.float64],
    rounds: int,
    min_dist: float,
    rng_state: NDArray[np.int64],
    report: Report,
) -> NDArray[np.float32]:
    """umap-learn's stochastic gradient descent, in one thread: two would make another map each time."""
    a, b = curve(min_dist)
    return np.asarray(
        _layouts().optimize_layout_euclidean(
            xy,
            xy,
            head,
            tail,
            rounds,
            len(xy),
            epochs_per_sample,
            a,
            b,
            rng_state,
            parallel=False,
            tqdm_kwds={
                "disable": False,
                "file": _Meter(report),
                "bar_format": "{n_fmt}/{total_fmt}",
                "mininterval": 0.2,
            },
            move_other=True,
        )
    )


class _Meter:
    """A file to tqdm: reads from its bar how far it is."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def write(self, text: str) -> None:
        if found := re.search(r"(\d+)/(\d+)", text):
            self._report(int(found[1]), int(found[2]))

    def flush(self) -> None:
        """Nothing is held back."""


@cache
def _layouts() -> Any:
    """umap-learn's module of that name, without the rest of the package, which takes seconds to import."""
    whole = "umap" in sys.modules
    if not whole:
        found = importlib.util.find_spec("umap")
        assert found is not None
        bare = types.ModuleType("umap")
        bare.__path__ = list(found.submodule_search_locations or [])
        sys.modules["umap"] = bare
    try:
        layouts = importlib.import_module("umap.layouts")
    finally:
        if not whole:
            del sys.modules["umap"]
    # Compiled once a machine rather than once a process; the folder is NUMBA_CACHE_DIR.
    layouts._nb_optimize_layout_euclidean_single_epoch.enable_caching()
    return layouts
