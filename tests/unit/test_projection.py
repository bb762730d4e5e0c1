"""Making a map: neighbours, what UMAP makes of them, places for what comes later, and how far one may trust it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.mapping.map_child import by_hand, to_units
from rag.mapping.maps import EXTENT
from rag.mapping.neighbours import find_neighbours, nearest, unit
from rag.mapping.placing import VOTERS, Voters, middle
from rag.mapping.projection import curve, fuzzy_graph, memberships, project, spread_out
from rag.mapping.trustworthiness import measure_trust

Vectors = NDArray[np.float32]


def blobs(points: int, topics: int = 8, dimensions: int = 20, noise: float = 0.15, seed: int = 0) -> Vectors:
    rng = np.random.default_rng(seed)
    middles = rng.standard_normal((topics, dimensions))
    found = middles[np.arange(points) % topics] + noise * rng.standard_normal((points, dimensions)) * dimensions**0.5
    return unit(found)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return blobs(600)


def brute_force(vectors: Vectors, k: int) -> tuple[NDArray[np.int64], Vectors]:
    distances = 1 - vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(distances, -1)
    places = np.argsort(distances, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(distances, places, 1)
    found[:, 0] = 0
    return places, found.astype(np.float32)


@pytest.mark.parametrize("k", [2, 15])
def test_exact_neighbours_are_those_of_brute_force(vectors: Vectors, k: int) -> None:
    found = find_neighbours(vectors, k)
    places, distances = brute_force(vectors, k)
    assert found.exact
    np.testing.assert_array_equal(found.places, places)
    np.testing.assert_allclose(found.distances, distances, atol=1e-5)


def test_neighbours_in_cells_are_nearly_all_found_and_never_wrong() -> None:
    vectors = blobs(4000, topics=40, noise=0.6)
    seen: list[tuple[int, int]] = []
    found = find_neighbours(vectors, 15, exact_limit=0, report=lambda done, total: seen.append((done, total)))
    places, _ = brute_force(vectors, 15)
    assert not found.exact
    assert seen[-1] == (4000, 4000)
    shared = [len(set(mine) & set(true)) for mine, true in zip(found.places[:, 1:], places[:, 1:], strict=True)]
    assert np.mean(shared) / 14 > 0.95
    assert (found.places[:, 0] == np.arange(4000)).all()
    assert all(len(set(row)) == 15 for row in found.places)
    true = 1 - (vectors[:, None] * vectors[found.places]).sum(2)
    np.testing.assert_allclose(found.distances[:, 1:], true[:, 1:], atol=1e-5)
    assert (np.diff(found.distances, axis=1) >= 0).all()


@pytest.mark.parametrize("exact_limit", [0, 20_000])
def test_a_vector_is_its_own_nearest_even_among_equals(exact_limit: int) -> None:
    same = np.tile(unit(np.ones((1, 4))), (100, 1))
    found = find_neighbours(same, 15, exact_limit=exact_limit)
    assert (found.places[:, 0] == np.arange(100)).all()
    assert all(len(set(row)) == 15 for row in found.places)
    assert np.abs(found.distances).max() < 1e-6


def test_crowds_of_equal_vectors_leave_nobody_without_neighbours() -> None:
    crowd = np.tile(unit(np.ones((1, 20))), (4000, 1))
    vectors = np.concatenate([crowd, blobs(40)])
    found = find_neighbours(vectors, 15, exact_limit=0)
    assert not found.exact
    assert np.isfinite(found.distances).all()
    assert (found.places[:, 0] == np.arange(len(vectors))).all()
    others, _ = brute_force(blobs(40), 5)
    assert (found.places[-40:, 1:5] - 4000 == others[:, 1:]).mean() > 0.9


@pytest.mark.parametrize("points", [1, 2, 5])
def test_fewer_points_than_neighbours_are_all_neighbours(points: int) -> None:
    found = find_neighbours(blobs(points), 15)
    assert found.places.shape == (points, points)
    assert {frozenset(row) for row in found.places} == {frozenset(range(points))}


def test_vectors_get_length_one_and_zeros_stay() -> None:
    np.testing.assert_allclose(unit(np.array([[3.0, 4.0], [0.0, 0.0]])), np.array([[0.6, 0.8], [0, 0]]), atol=1e-7)
    assert nearest(np.array([[0.1, 0.9, 0.5]], np.float32), 2).tolist() == [[1, 2]]


def umap_learn() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("umap.umap_", reason="umap-learn comes with the tests' requirements")


@pytest.mark.parametrize("name", ["blobs", "doubles"])
def test_memberships_are_those_of_umap_learn(vectors: Vectors, name: str) -> None:
    some = vectors[:120] if name == "blobs" else np.concatenate([vectors[:60], vectors[:60], vectors[:20]])
    found = find_neighbours(some, 10)
    umap = umap_learn()
    sigmas, rhos = umap.smooth_knn_dist.py_func(found.distances, 10.0)
    rows, columns, expected, _ = umap.compute_membership_strengths.py_func(found.places, found.distances, sigmas, rhos)
    mine = memberships(found.distances)[rows, np.tile(np.arange(10), len(some))]
    other = rows != columns
    np.testing.assert_allclose(mine[other], expected[other], atol=2e-3)
    a, b = umap.find_ab_params(1.0, 0.1)
    np.testing.assert_allclose(curve(0.1), (a, b), rtol=1e-5)


def test_edges_go_both_ways_with_one_weight(vectors: Vectors) -> None:
    head, tail, weight = fuzzy_graph(find_neighbours(vectors, 15))
    there = {(i, j): w for i, j, w in zip(head.tolist(), tail.tolist(), weight.tolist(), strict=True)}
    assert all(there[j, i] == pytest.approx(w) for (i, j), w in there.items())
    assert all(i != j for i, j in there)
    assert (np.diff(head) >= 0).all()
    assert 0 < weight.min() <= weight.max() <= 1


def test_a_layout_keeps_neighbours_and_is_the_same_each_time(vectors: Vectors) -> None:
    found = find_neighbours(vectors, 15)
    seen: list[tuple[int, int]] = []
    first = project(vectors, found, seed=4, report=lambda done, total: seen.append((done, total)))
    trust, begun = measure_trust(vectors, first), measure_trust(vectors, spread_out(vectors, np.random.RandomState(4)))
    assert trust is not None
    assert begun is not None
    assert trust.value > 0.95
    assert trust.value > begun.value + 0.02
    assert seen[-1] == (300, 300)
    np.testing.assert_array_equal(project(vectors, found, seed=4), first)
    assert (project(vectors, found, seed=5) != first).any()


def test_points_lie_further_apart_with_a_larger_minimum_distance(vectors: Vectors) -> None:
    found = find_neighbours(vectors, 15)

    def gap(min_dist: float) -> float:
        xy = project(vectors, found, min_dist=min_dist, seed=1)
        between = np.linalg.norm(xy[:, None] - xy[None], axis=2)
        np.fill_diagonal(between, np.inf)
        return float(np.median(between.min(1)))

    assert gap(0.8) > 2 * gap(0.0)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("points", [4, 5, 40])
def test_few_and_equal_vectors_have_places(points: int, same: bool) -> None:
    vectors = np.tile(unit(np.ones((1, 6))), (points, 1)) if same else blobs(points, dimensions=6)
    xy = project(vectors, find_neighbours(vectors, 15))
    assert np.isfinite(xy).all()
    assert len(np.unique(xy, axis=0)) == points


def test_trustworthiness_is_that_of_scikit_learn(vectors: Vectors) -> None:
    from sklearn.manifold import trustworthiness

    rng = np.random.default_rng(0)
    for xy in (vectors[:, :2], rng.standard_normal((600, 2)).astype(np.float32)):
        for depth in (5, 15):
            expected = trustworthiness(vectors, xy, n_neighbors=depth, metric="cosine")
            found = measure_trust(vectors, xy, depth=depth)
            assert found is not None
            assert found.rows == found.points == 600
            # Ours are single floats: on some processors a point takes another neighbour that is nearly as far, whose
            # rank is 600 off at most. Were all ranks off by one, it would be 0.0017.
            assert found.value == pytest.approx(expected, abs=2 * 600 / (600 * depth * (2 * 600 - 3 * depth - 1)))


def test_trustworthiness_by_some_rows_is_nearly_that_of_all(vectors: Vectors) -> None:
    xy = vectors[:, :2]
    whole, some = measure_trust(vectors, xy), measure_trust(vectors, xy, rows=300)
    assert whole is not None
    assert some is not None
    assert some.rows == 300
    assert some.value == pytest.approx(whole.value, abs=0.02)
    assert some.value != whole.value
    assert measure_trust(vectors[:30], xy[:30]) is None


def test_map_units_fill_the_square_with_one_scale() -> None:
    units = to_units(np.array([[0.0, 1.0], [4.0, 1.0], [2.0, 3.0]]))
    assert units[:, 0].tolist() == [0, EXTENT, 32768]
    assert units[2, 1] - units[0, 1] in (32767, 32768)
    assert (units[0, 1] + units[2, 1]) in (EXTENT, EXTENT + 1, EXTENT - 1)
    assert to_units(np.zeros((3, 2))).tolist() == [[32768, 32768]] * 3
    assert len(np.unique(to_units(by_hand(3)), axis=0)) == 3


def test_the_middle_is_where_most_are_not_between_two_crowds() -> None:
    points = np.array([[[0, 0], [10, 0], [0, 10], [60000, 60000], [60010, 60000]]], np.float32)
    found = middle(points, np.array([[0.9, 0.9, 0.9, 0.8, 0.7]], np.float32))
    assert np.linalg.norm(found[0]) < 100
    far = middle(points, np.array([[-np.inf, -np.inf, -np.inf, 0.8, 0.8]], np.float32))
    assert far[0].min() > 59_000


def test_voters_are_the_nearest_of_all_pages() -> None:
    vectors = blobs(400, topics=4)
    xy = np.array([[0, 0], [EXTENT, 0], [0, EXTENT], [EXTENT, EXTENT]])[np.arange(400) % 4]
    voters = Voters(vectors[:8])
    assert Voters(vectors[:8]).silent
    for start in range(0, 400, 7):
        some = slice(start, start + 7)
        voters.hear(vectors[some], xy[some], np.arange(400)[some] % 4)
    assert not voters.silent
    places, leaves = voters.decide()
    assert leaves.tolist() == [0, 1, 2, 3] * 2
    assert np.abs(places - xy[:8]).max() < 100
    few = Voters(vectors[:1])
    few.hear(vectors[:2], xy[:2] + 5, np.array([-1, -1]))
    assert VOTERS > 2
    assert few.decide()[1].tolist() == [-1]
