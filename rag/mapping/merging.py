"""The smallest clusters of a map become a tree: at each coarser granularity neighbours are taken together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.mapping.cluster_tree import GRANULARITIES, NOWHERE, ClusterTree, Node

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Level:
    """A partition of the leaves: a group for each."""

    group_of: tuple[int, ...]

    def groups(self) -> list[tuple[int, ...]]:
        """The leaves of each group, ordered by their first one."""
        found: dict[int, list[int]] = {}
        for leaf, group in enumerate(self.group_of):
            found.setdefault(group, []).append(leaf)
        return [tuple(leaves) for leaves in found.values()]


def build_tree(points: Points, clusters: NDArray[np.int32], core: NDArray[np.float64], most: int) -> ClusterTree:
    """The tree over ``clusters``, [n] of numbers or NOWHERE; of more than ``most``, neighbours are one leaf.

    ``core`` has a small value where points are dense: labels stand there.
    """
    clusters = _renumber(clusters)
    while (count := int(clusters.max(initial=NOWHERE)) + 1) > most:
        finest = _merge(points, clusters, [most])[0]
        clusters = _renumber(np.where(clusters >= 0, np.array([*finest, NOWHERE])[clusters], NOWHERE))
    if count == 0:
        return ClusterTree(clusters, ())
    levels = [_Level(tuple(found)) for found in _merge(points, clusters, group_counts(count))]
    return ClusterTree(clusters, _nodes(points, clusters, core, levels))


def group_counts(leaves: int) -> list[int]:
    """How many clusters each granularity shows, coarsest first: 8 to 30 of 30, 16 to 120 of 120."""
    fewest = min(leaves, max(4, round(1.5 * leaves**0.5)))
    steps = len(GRANULARITIES) - 1
    return [round(fewest * (leaves / fewest) ** (step / steps)) for step in range(steps + 1)]


def _renumber(clusters: NDArray[np.int32]) -> NDArray[np.int32]:
    """Numbers from 0, largest first."""
    names, sizes = np.unique(clusters[clusters >= 0], return_counts=True)
    number = {int(name): place for place, name in enumerate(names[np.argsort(-sizes, kind="stable")])}
    number[NOWHERE] = NOWHERE
    found, inverse = np.unique(clusters, return_inverse=True)
    return np.array([number[int(name)] for name in found], np.int32)[inverse].astype(np.int32)


def _merge(points: Points, clusters: NDArray[np.int32], counts: list[int]) -> list[list[int]]:
    """The group of each cluster at each of ``counts`` (rising), by Ward's criterion on the plane."""
    count = int(clusters.max()) + 1
    inside = clusters >= 0
    size = np.bincount(clusters[inside], minlength=count).astype(np.float64)
    middle = np.stack([np.bincount(clusters[inside], points[inside, axis], count) / size for axis in (0, 1)], axis=1)
    group = np.arange(count)
    alive = np.ones(count, bool)
    found = {count: group.tolist()}
    for left in range(count - 1, min(counts) - 1, -1):
        one, other = _nearest(middle, size, alive)
        total = size[one] + size[other]
        middle[one] = (size[one] * middle[one] + size[other] * middle[other]) / total
        size[one] = total
        alive[other] = False
        group[group == other] = one
        found[left] = group.tolist()
    return [found[wanted] for wanted in counts]


def _nearest(middle: Points, size: NDArray[np.float64], alive: NDArray[np.bool_]) -> tuple[int, int]:
    """The two groups whose merging adds least to the squared distances from the middles (Ward 1963)."""
    live = np.flatnonzero(alive)
    apart = ((middle[live, None] - middle[None, live]) ** 2).sum(-1)
    cost = apart * (size[live, None] * size[None, live]) / (size[live, None] + size[None, live])
    np.fill_diagonal(cost, np.inf)
    one, other = sorted(divmod(int(cost.argmin()), len(live)))
    return int(live[one]), int(live[other])


def _nodes(
    points: Points, clusters: NDArray[np.int32], core: NDArray[np.float64], levels: list[_Level]
) -> tuple[Node, ...]:
    """One node for each set of leaves that stands somewhere, coarser ones first."""
    spans: dict[tuple[int, ...], list[int]] = {}
    for granularity, level in zip(GRANULARITIES, levels, strict=True):
        for leaves in level.groups():
            spans.setdefault(leaves, []).append(granularity)
    leaf_count = len(levels[-1].group_of)
    numbers: dict[tuple[int, ...], int] = {}
    above: dict[int, int] = {}  # the innermost node so far that each leaf is in
    found = []
    for leaves, standing in spans.items():
        is_leaf = standing[-1] == GRANULARITIES[-1]
        number = leaves[0] if is_leaf else leaf_count + sum(n >= leaf_count for n in numbers.values())
        numbers[leaves] = number
        members = np.flatnonzero(np.isin(clusters, leaves))
        x, y, density = _label_place(points, members, core)
        parent = above.get(leaves[0])
        found.append(Node(number, parent, standing[0], standing[-1], density, x, y, len(members), leaves))
        above.update(dict.fromkeys(leaves, number))
    return tuple(found)


def _label_place(points: Points, members: NDArray[np.intp], core: NDArray[np.float64]) -> tuple[int, int, float]:
    """Where a label stands: the point of the denser half that is nearest to their middle; and the density there."""
    dense = members[core[members] <= np.median(core[members])]
    middle = points[dense].mean(axis=0)
    best = dense[((points[dense] - middle) ** 2).sum(axis=1).argmin()]
    x, y = (int(np.clip(round(float(value)), 0, 65535)) for value in points[best])
    return x, y, float(1 / core[best]) if core[best] > 0 else 0.0
