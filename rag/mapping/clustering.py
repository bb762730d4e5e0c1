"""Points of a map become clusters by their density, and a tree over these for every granularity.

HDBSCAN's way (Campello, Moulavi and Sander 2013): a spanning tree under mutual reachability distance, cut where it
thins out. In the plane that tree is looked for among the edges of the Delaunay triangulation and those to the nearest
neighbours, which is n log n. A rise in density that is hardly one is no cluster of its own (ToMATo: Chazal and others
2013). For coarser granularities neighbours are merged by Ward's criterion, so that no group is all there is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial import Delaunay, QhullError, cKDTree

from rag.mapping.cluster_tree import NOWHERE, ClusterTree
from rag.mapping.merging import build_tree

Points = NDArray[np.float64]

#: The neighbour whose distance is the core distance.
_CORE = 12
#: What lies closer than this, in map units, lies on one another.
_CLOSEST = 16.0
#: A straggler belongs to the nearest cluster up to so many core distances away.
_REACH = 6.0
#: Up to here there is nothing to part.
_FEW = 12
#: From here on a cluster has to rise above what chance makes of points strewn evenly.
_MANY = 600
MOST_LEAVES = 120


def cluster_points(xy: NDArray[np.floating] | NDArray[np.integer], smallest: int | None = None) -> ClusterTree:
    """The clusters of ``xy``, [n, 2] in map units; the same points give the same clusters.

    ``smallest`` is how many points make a cluster, by default so many that a map of any size has a readable number.
    """
    points = _apart(np.asarray(xy, np.float64).reshape(-1, 2))
    smallest = smallest or smallest_cluster(len(points))
    if len(points) < max(_FEW, 2 * smallest):
        return build_tree(points, np.zeros(len(points), np.int32), np.zeros(len(points)), MOST_LEAVES)
    tree = cKDTree(points)
    near, neighbours = tree.query(points, k=min(_CORE, max(4, smallest), len(points) - 1) + 1)
    core = np.maximum(near[:, -1], _CLOSEST)
    # Of few points, parts that chance may have made are better than no parts at all: each is seen at a glance.
    certain = min(1.0, max(0.5, len(points) / _MANY))
    rise = 1 + certain / math.sqrt(near.shape[1] - 1)
    peaks = _link(_spanning_tree(points, neighbours, core), len(points), smallest, rise)
    return build_tree(points, _with_stragglers(points, peaks, core), core, MOST_LEAVES)


def smallest_cluster(points: int) -> int:
    """How many points make a cluster on a map of so many: 4 of 200, 12 of 1,700, 21 of 5,000, 95 of 100,000."""
    return max(4, round(0.3 * math.sqrt(points)))


def _apart(points: Points) -> Points:
    """Points that lie on one another, half a map unit apart: a triangulation leaves duplicates out."""
    return points + np.random.default_rng(0).uniform(-0.25, 0.25, points.shape)


def _spanning_tree(
    points: Points, neighbours: NDArray[np.integer], core: NDArray[np.float64]
) -> list[tuple[float, int, int]]:
    """(mutual reachability distance, point, point) of the edges of the spanning tree, shortest first."""
    count = len(points)
    ends = [np.repeat(np.arange(count), neighbours.shape[1] - 1), neighbours[:, 1:].ravel()]
    try:
        triangles = Delaunay(points).simplices
    except QhullError:  # all in a line: the order along it will do
        order = np.argsort(points @ np.array([1.0, 1e-3]))
        pairs = np.stack([order[:-1], order[1:]], axis=1)
    else:
        pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    one, other = (np.concatenate([end, pairs[:, side]]) for side, end in enumerate(ends))
    key = np.sort(np.minimum(one, other).astype(np.int64) * count + np.maximum(one, other))
    key = key[np.append(True, key[1:] != key[:-1])]
    one, other = key // count, key % count
    apart = np.linalg.norm(points[one] - points[other], axis=1)
    weight = np.maximum(np.maximum(core[one], core[other]), apart)
    kept = minimum_spanning_tree(coo_array((weight, (one, other)), shape=(count, count))).tocoo()
    order = np.argsort(kept.data, kind="stable")
    return list(zip(kept.data[order].tolist(), kept.row[order].tolist(), kept.col[order].tolist(), strict=True))


@dataclass
class _Component:
    """Points linked so far. ``peaks`` are (distance at which it came to be, cluster number); none while it is small."""

    members: list[int]
    size: int
    peaks: list[tuple[float, int]] = field(default_factory=list)


def _link(edges: list[tuple[float, int, int]], count: int, smallest: int, rise: float) -> NDArray[np.int32]:
    """The cluster of each point, NOWHERE for stragglers: far from a cluster, or met when several were one already."""
    above = list(range(count))
    parts: dict[int, _Component] = {point: _Component([point], 1) for point in range(count)}
    home = np.full(count, NOWHERE, np.int32)
    joined: dict[int, int] = {}
    clusters = 0
    for distance, one, other in edges:
        one, other = _root(above, one), _root(above, other)
        big, small = (one, other) if parts[one].size >= parts[other].size else (other, one)
        grown, added = parts[big], parts.pop(small)
        above[small] = big
        grown.size += added.size
        if not grown.peaks:
            grown.members += added.members
            if grown.size >= smallest:
                home[grown.members] = clusters
                grown.peaks, grown.members = [(distance, clusters)], []
                clusters += 1
        elif not added.peaks:
            if len(grown.peaks) == 1 and distance <= _REACH * grown.peaks[0][0]:
                home[added.members] = grown.peaks[0][1]
        else:
            _join(grown, added, distance, rise, joined)
    return _resolve(home, joined)


def _join(grown: _Component, added: _Component, distance: float, rise: float, joined: dict[int, int]) -> None:
    """Two components with clusters meet. A cluster that hardly rises above where they meet is none of its own.

    The distance to the kth neighbour varies by its 1 / 2√k in points strewn evenly: twice that is a rise.
    """
    low, high = sorted((grown, added), key=lambda part: -min(part.peaks)[0])
    if distance < rise * min(low.peaks)[0]:
        weak = low.peaks.pop()[1]
        joined[weak] = high.peaks[0][1] if len(high.peaks) == 1 else NOWHERE
    grown.peaks = sorted(low.peaks + high.peaks)


def _resolve(home: NDArray[np.int32], joined: dict[int, int]) -> NDArray[np.int32]:
    clusters = int(home.max()) + 1
    final = np.arange(clusters + 1, dtype=np.int32)
    final[-1] = NOWHERE
    for cluster in range(clusters):
        end = cluster
        while end in joined:
            end = joined[end]
        final[cluster] = end
    return np.asarray(final[home], np.int32)


def _root(above: list[int], point: int) -> int:
    while above[point] != point:
        above[point] = above[above[point]]
        point = above[point]
    return point


def _with_stragglers(points: Points, home: NDArray[np.int32], core: NDArray[np.float64]) -> NDArray[np.int32]:
    """Stragglers go to the cluster of the nearest point that has one, unless they are far out."""
    settled = np.flatnonzero(home >= 0)
    loose = np.flatnonzero(home < 0)
    if not len(loose):
        return home
    distance, at = cKDTree(points[settled]).query(points[loose])
    nearest = settled[at]
    usual = float(np.median(core))
    reached = distance <= _REACH * np.maximum(core[nearest], usual)
    found = home.copy()
    found[loose[reached]] = home[nearest[reached]]
    return found
