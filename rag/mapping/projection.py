"""From neighbours to places in the plane: UMAP (McInnes, Healy and Melville 2018, arXiv 1802.03426).

The layout is the paper's algorithm 5 with all points moving at once in a round: so threads share the work and the map
is the same for any number of them. Why not umap-learn's own: docs/decisions/0010-own-layout.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rag.mapping.neighbours import Neighbours

#: Told how many rounds of all are done.
Report = Callable[[int, int], None]
Edges = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]

#: Rounds of the layout, and those between two words of how far it is.
ROUNDS = 300
_TOLD_EVERY = 10
_TOLERANCE = 1e-5
_SEARCH_STEPS = 64
_LEAST_SCALE = 1e-3


def project(
    vectors: NDArray[np.float32],
    neighbours: Neighbours,
    *,
    min_dist: float = 0.1,
    seed: int = 0,
    rounds: int = ROUNDS,
    report: Report = lambda _done, _total: None,
) -> NDArray[np.float32]:
    """[n, 2]: the places of unit ``vectors``. The same from the same on one machine; for at least four points."""
    from rag.mapping.layout_rounds import move

    head, tail, weight = fuzzy_graph(neighbours)
    kept = weight >= weight.max() / rounds
    every = (weight.max() / weight[kept]).astype(np.float32)
    starts = np.searchsorted(head[kept], np.arange(len(vectors) + 1))
    rng = np.random.RandomState(seed)
    xy, numbers = spread_out(vectors, rng), rng.randint(1, 2**31, len(vectors)).astype(np.uint32)
    due, due_apart = every.copy(), every / 5
    for done in range(0, rounds, _TOLD_EVERY):
        to = min(done + _TOLD_EVERY, rounds)
        xy = move(xy, starts, tail[kept], every, due, due_apart, numbers, *curve(min_dist), done, to, rounds)
        report(to, rounds)
    return xy


def compile_layout() -> None:
    """Have the layout compiled, or read from the cache of an earlier process: some seconds, once a process."""
    from rag.mapping.neighbours import Neighbours

    places = (np.arange(4)[:, None] + np.arange(3)) % 4
    corners = np.eye(4, dtype=np.float32)
    project(corners, Neighbours(places.astype(np.int32), 1 - corners[places][:, :, 0], True), rounds=1)


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
        unsettled = np.abs(total - wanted) >= _TOLERANCE
        open_rows, total = open_rows[unsettled], total[unsettled]
        if not len(open_rows):
            break
        above = total > wanted
        high[open_rows[above]] = scale[open_rows[above]]
        low[open_rows[~above]] = scale[open_rows[~above]]
        bounded = np.isfinite(high[open_rows])
        middle = (low[open_rows] + np.where(bounded, high[open_rows], 0)) / 2
        scale[open_rows] = np.where(bounded, middle, 2 * scale[open_rows])
    least = _LEAST_SCALE * np.where(nearest > 0, distances.mean(1), distances.mean())
    scale = np.maximum(scale, np.maximum(least, np.finfo(np.float32).tiny))
    return np.asarray(np.exp(-beyond / scale[:, None]), np.float32)


def fuzzy_graph(neighbours: Neighbours) -> Edges:
    """Heads, tails and weights of the edges, both ways, by their heads: the probabilistic union of both ends."""
    from scipy.sparse import coo_array

    n, k = neighbours.places.shape
    weight = memberships(neighbours.distances)
    rows, columns = np.repeat(np.arange(n, dtype=np.int32), k), neighbours.places.ravel()
    other = rows != columns
    there = coo_array((weight.ravel()[other], (rows[other], columns[other])), shape=(n, n)).tocsr()
    back = there.T.tocsr()
    union = (there + back - there * back).tocsr()
    union.sort_indices()
    head = np.repeat(np.arange(n, dtype=np.int32), np.diff(union.indptr))
    return head, union.indices.astype(np.int32), union.data.astype(np.float32)


def spread_out(vectors: NDArray[np.float32], rng: np.random.RandomState) -> NDArray[np.float32]:
    """[n, 2] to begin with: the two principal components, on 0 to 10, with a little noise lest points coincide."""
    middle = vectors.mean(0)
    _, axes = np.linalg.eigh(np.asarray(vectors.T @ vectors / len(vectors) - np.outer(middle, middle), np.float64))
    xy = (vectors - middle) @ axes[:, :-3:-1]
    xy = xy * (10 / max(float(np.abs(xy).max()), 1e-6)) + rng.normal(scale=1e-4, size=xy.shape)
    return np.ascontiguousarray(10 * (xy - xy.min(0)) / (xy.max(0) - xy.min(0)), np.float32)


@cache
def curve(min_dist: float) -> tuple[np.float32, np.float32]:
    """UMAP's a and b: 1 / (1 + a x^2b) comes nearest to 1 up to ``min_dist`` and to an exponential fall beyond."""
    from scipy.optimize import curve_fit

    x = np.linspace(0, 3, 300)
    (a, b), _ = curve_fit(lambda x, a, b: 1 / (1 + a * x ** (2 * b)), x, np.exp(-np.maximum(x - min_dist, 0)))
    return np.float32(a), np.float32(b)
