"""The nearest neighbours of every vector by cosine: exactly while there are few, else among the nearest cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
#: Told how many vectors of all are done.
Report = Callable[[int, int], None]

#: Up to so many vectors each is compared with each: 20,000 take about ten seconds on two cores.
EXACT_LIMIT = 20_000
#: Similarities held at once, in numbers.
_BLOCK = 16_000_000
#: Vectors in a cell, and how many of the nearest cells a vector is compared with.
_CELL = 250
_PROBES = 32
_ROUNDS = 6
_SAMPLE_PER_CELL = 40


@dataclass(frozen=True)
class Neighbours:
    """[n, k] places and cosine distances of the nearest, nearest first; the first of each is the vector itself."""

    places: NDArray[np.int32]
    distances: NDArray[np.float32]
    exact: bool


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """The vectors at length 1, as a new array; zeros stay."""
    made = np.array(vectors, np.float32)
    for start in range(0, len(made), 8192):
        some = made[start : start + 8192]
        lengths = np.linalg.norm(some, axis=1, keepdims=True)
        some /= np.where(lengths > 0, lengths, 1)
    return made


def find_neighbours(
    vectors: Vectors,
    k: int,
    *,
    seed: int = 0,
    report: Report = lambda _done, _total: None,
    exact_limit: int = EXACT_LIMIT,
) -> Neighbours:
    """The ``k`` nearest of each of these unit vectors, itself included; all of them where there are fewer."""
    k = min(k, len(vectors))
    if len(vectors) <= max(exact_limit, 4 * k):
        return _exact(vectors, k, report)
    return _in_cells(vectors, k, seed, report)


def nearest(similarities: Vectors, k: int) -> NDArray[np.int64]:
    """Columns of the ``k`` largest of each row, largest first."""
    columns = similarities.shape[1]
    if k < columns:
        some = np.argpartition(similarities, columns - k, axis=1)[:, columns - k :]
    else:
        some = np.broadcast_to(np.arange(columns), similarities.shape)
    order = np.argsort(-np.take_along_axis(similarities, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)


def _exact(vectors: Vectors, k: int, report: Report) -> Neighbours:
    n = len(vectors)
    places, distances = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    step = max(1, _BLOCK // max(n, 1))
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        similarities = vectors[rows] @ vectors.T
        similarities[rows - start, rows] = np.inf  # itself first, whatever has the same vector
        _keep(places, distances, rows, similarities, k)
        report(int(rows[-1]) + 1, n)
    return Neighbours(places, distances, True)


def _keep(
    places: NDArray[np.int32],
    distances: Vectors,
    rows: NDArray[np.int64],
    similarities: Vectors,
    k: int,
    columns: NDArray[np.int64] | None = None,
) -> None:
    """Write the nearest of some rows; ``columns`` says which vectors the columns are, where not all."""
    best = nearest(similarities, k)
    found = np.take_along_axis(similarities, best, 1)
    places[rows] = best if columns is None else columns[best]
    distances[rows] = np.maximum(1 - found, 0)
    distances[rows, 0] = 0


def _in_cells(vectors: Vectors, k: int, seed: int, report: Report) -> Neighbours:
    """Each cell's vectors are compared with those of the cells nearest to it (an inverted file, probed by the cell)."""
    n = len(vectors)
    centres, cell = _divide(vectors, seed)
    order = np.argsort(cell, kind="stable")
    ends = np.searchsorted(cell[order], np.arange(len(centres)), "right")
    members = np.split(order, ends[:-1])
    probed = nearest(centres @ centres.T, min(_PROBES, len(centres)))
    places, distances = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    done = 0
    for own, cells in zip(members, probed, strict=True):
        if not len(own):
            continue
        columns = np.concatenate([own, *(members[other] for other in cells if members[other] is not own)])
        if len(columns) < 4 * k:
            columns = np.concatenate([own, np.setdiff1d(np.arange(n), own, assume_unique=True)])
        candidates = vectors[columns]
        step = max(1, _BLOCK // len(columns))
        for start in range(0, len(own), step):
            rows = own[start : start + step]
            similarities = vectors[rows] @ candidates.T
            inside = np.arange(len(rows))
            similarities[inside, start + inside] = np.inf
            _keep(places, distances, rows, similarities, k, columns)
        done += len(own)
        report(done, n)
    return Neighbours(places, distances, False)


def _divide(vectors: Vectors, seed: int) -> tuple[Vectors, NDArray[np.int64]]:
    """Centres of cells by spherical k-means on a sample, and the cell of each vector."""
    rng = np.random.default_rng(seed)
    cells = max(1, len(vectors) // _CELL)
    sample = vectors[np.sort(rng.permutation(len(vectors))[: cells * _SAMPLE_PER_CELL])]
    centres = sample[np.sort(rng.permutation(len(sample))[:cells])].copy()
    for _ in range(_ROUNDS):
        cell = _assign(sample, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, cell, sample)
        filled = np.bincount(cell, minlength=cells) > 0
        centres[filled] = unit(sums[filled])
    return centres, _assign(vectors, centres)


def _assign(vectors: Vectors, centres: Vectors) -> NDArray[np.int64]:
    step = max(1, _BLOCK // len(centres))
    return np.concatenate(
        [(vectors[start : start + step] @ centres.T).argmax(1) for start in range(0, len(vectors), step)]
    )
