"""The clusters of a map at every granularity, as one tree over the smallest ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

#: 1 is the coarsest; at the finest, the clusters are the leaves.
GRANULARITIES = range(1, 6)
#: The leaf of a point that is in no cluster.
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Node:
    """A cluster, which stands at the granularities ``coarsest`` to ``finest``.

    ``x``, ``y`` is where a label of it may stand, and ``density`` the density there (HDBSCAN's lambda: 1 / core
    distance in map units); ``leaves`` are the numbers of its leaves, its own for a leaf.
    """

    number: int
    parent: int | None
    coarsest: int
    finest: int
    density: float
    x: int
    y: int
    points: int
    leaves: tuple[int, ...]


@dataclass(frozen=True)
class ClusterTree:
    """``leaf`` has a number for each point, :data:`NOWHERE` for some; ``nodes`` come with parents before children.

    The leaves are numbered from 0, largest first, and the other nodes from there on.
    """

    leaf: NDArray[np.int32]
    nodes: tuple[Node, ...]

    @cached_property
    def leaves(self) -> int:
        """How many leaves there are."""
        return sum(len(node.leaves) == 1 and node.number == node.leaves[0] for node in self.nodes)

    def at(self, granularity: int) -> list[Node]:
        """The clusters of a granularity; each leaf is in one of them."""
        return [node for node in self.nodes if node.coarsest <= granularity <= node.finest]

    def groups(self, granularity: int) -> NDArray[np.int32]:
        """The cluster of each leaf at a granularity."""
        found = np.empty(self.leaves, np.int32)
        for node in self.at(granularity):
            found[list(node.leaves)] = node.number
        return found
