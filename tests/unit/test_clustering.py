"""Clusters of points in the plane: what is dense is one, what lies apart is none, and coarser ones hold finer ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.mapping.cluster_tree import GRANULARITIES, NOWHERE, ClusterTree, Node
from rag.mapping.clustering import cluster_points
from rag.mapping.merging import group_counts


def blobs(centres: list[tuple[float, float]], size: int, spread: float, seed: int = 3) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(centre, spread, (size, 2)) for centre in centres])


GRID = [(x, y) for x in (8000.0, 24000.0, 40000.0, 56000.0) for y in (8000.0, 24000.0, 40000.0, 56000.0)]


def test_each_blob_is_a_cluster() -> None:
    tree = cluster_points(blobs(GRID, 60, 900))
    assert tree.leaves == len(GRID)
    for blob in tree.leaf.reshape(len(GRID), 60):
        assert len(set(blob.tolist()) - {NOWHERE}) == 1
    assert (tree.leaf == NOWHERE).mean() < 0.02


def test_what_lies_far_from_all_is_in_none() -> None:
    stray = np.array([[60000.0, 1000.0], [1000.0, 60000.0]])
    tree = cluster_points(np.concatenate([blobs(GRID[:3], 80, 500), stray]))
    assert tree.leaf[-2:].tolist() == [NOWHERE, NOWHERE]


def test_a_cloud_without_structure_is_one_cluster() -> None:
    tree = cluster_points(np.random.default_rng(1).normal(30000, 6000, (1500, 2)))
    assert tree.leaves <= 3
    tree = cluster_points(np.random.default_rng(1).uniform(0, 65535, (30, 2)))
    assert tree.leaves == 1


def test_two_blobs_that_touch_are_told_apart_by_the_saddle_between() -> None:
    tree = cluster_points(blobs([(30000, 30000), (37000, 30000)], 900, 1500))
    left, right = (np.bincount(half[half >= 0]).argmax() for half in tree.leaf.reshape(2, 900))
    assert tree.leaves in (2, 3)
    assert left != right


@pytest.mark.parametrize("count", [0, 1, 2, 3, 11, 12, 13])
def test_few_points(count: int) -> None:
    tree = cluster_points(np.random.default_rng(0).uniform(0, 65535, (count, 2)))
    assert len(tree.leaf) == count
    assert tree.leaves == (1 if count else 0)
    for granularity in GRANULARITIES:
        assert len(tree.at(granularity)) == tree.leaves


def test_points_on_one_another_and_in_a_line() -> None:
    tree = cluster_points(np.repeat([[10000, 10000], [50000, 50000], [50000, 9000]], 40, axis=0))
    assert tree.leaves == 3
    line = np.stack([np.arange(300.0) * 200, np.zeros(300)], axis=1)
    assert len(cluster_points(line).leaf) == 300


def test_the_same_points_give_the_same_clusters() -> None:
    points = blobs(GRID, 40, 1500)
    one, other = cluster_points(points), cluster_points(points)
    assert one.leaf.tolist() == other.leaf.tolist()
    assert one.nodes == other.nodes


def test_coarser_clusters_hold_finer_ones_whole() -> None:
    tree = cluster_points(blobs([*GRID, *[(x + 6000, y + 3000) for x, y in GRID]], 50, 800))
    assert tree.leaves == 32
    counts = [len(tree.at(granularity)) for granularity in GRANULARITIES]
    assert counts == group_counts(32) == sorted(set(counts))
    for coarse, fine in pairwise(GRANULARITIES):
        wide, narrow = tree.groups(coarse), tree.groups(fine)
        assert all(len(set(wide[narrow == group].tolist())) == 1 for group in set(narrow.tolist()))
    assert tree.groups(5).tolist() == list(range(32))
    check_parents(tree)


def check_parents(tree: ClusterTree) -> None:
    """Parents come first, hold their children's leaves, and end where these begin."""
    seen: dict[int, Node] = {}
    for node in tree.nodes:
        if node.parent is not None:
            parent = seen[node.parent]
            assert set(node.leaves) < set(parent.leaves)
            assert parent.finest == node.coarsest - 1
        else:
            assert node.coarsest == 1
        seen[node.number] = node
    assert sorted(seen) == list(range(len(seen)))


def test_leaves_are_numbered_by_size_and_labels_stand_within_them() -> None:
    points = np.concatenate([blobs([GRID[0]], 200, 900), blobs([GRID[5]], 90, 900), blobs([GRID[15]], 140, 900)])
    tree = cluster_points(points)
    sizes = [int((tree.leaf == leaf).sum()) for leaf in range(tree.leaves)]
    assert sizes == sorted(sizes, reverse=True)
    for node in tree.at(5):
        distance = np.linalg.norm(points[tree.leaf == node.number] - (node.x, node.y), axis=1)
        assert node.points == len(distance)
        assert distance.min() < 2
        assert np.median(distance) < 1500


def test_more_clusters_than_can_be_read_are_merged() -> None:
    centres = [(x * 4000.0 + 1000, y * 4000.0 + 1000) for x in range(16) for y in range(16)]
    tree = cluster_points(blobs(centres, 40, 300), smallest=20)
    assert tree.leaves == 120
    assert len(set(tree.leaf.tolist()) - {NOWHERE}) == 120
