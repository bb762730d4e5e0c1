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
#: Vectors in a cell, about and at most, and how many of the nearest cells a vector is compared with.
_CELL = 250
_LARGEST = 1000
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
        places[rows] = best = nearest(similarities, k)
        distances[rows] = _distances(np.take_along_axis(similarities, best, 1))
        report(int(rows[-1]) + 1, n)
    return Neighbours(places, distances, True)


def _distances(similarities: Vectors) -> Vectors:
    return np.asarray(np.maximum(1 - similarities, 0), np.float32)


def _in_cells(vectors: Vectors, k: int, seed: int, report: Report) -> Neighbours:
    """Each vector is compared with those of the cells nearest to it (an inverted file), cell by cell."""
    n = len(vectors)
    centres, cell = _divide(vectors, seed)
    members, askers = _group(cell[:, None], len(centres)), _group(_probed(vectors, centres, cell), len(centres))
    places, similarities = np.zeros((n, k), np.int32), np.full((n, k), -np.inf, np.float32)
    done = 0
    for own, asking in zip(members, askers, strict=True):
        candidates = vectors[own]
        step = max(1, _BLOCK // max(len(own), 1))
        for start in range(0, len(asking) if len(own) else 0, step):
            rows = asking[start : start + step]
            found = vectors[rows] @ candidates.T
            place = np.minimum(np.searchsorted(own, rows), len(own) - 1)
            itself = own[place] == rows
            found[itself, place[itself]] = np.inf
            best = nearest(found, min(k, len(own)))
            known = np.concatenate([similarities[rows], np.take_along_axis(found, best, 1)], 1)
            those = np.concatenate([places[rows], own[best]], 1)
            kept = nearest(known, k)
            similarities[rows], places[rows] = (np.take_along_axis(some, kept, 1) for some in (known, those))
        done += len(own)
        report(done, n)
    _complete(vectors, places, similarities)
    return Neighbours(places, _distances(similarities), False)


def _complete(vectors: Vectors, places: NDArray[np.int32], similarities: Vectors) -> None:
    """Compare those with all whose cells hold too few: many equal vectors leave cells empty."""
    short = np.flatnonzero(np.isinf(similarities[:, -1]) & (similarities[:, -1] < 0))
    step = max(1, _BLOCK // len(vectors))
    for start in range(0, len(short), step):
        rows = short[start : start + step]
        found = vectors[rows] @ vectors.T
        found[np.arange(len(rows)), rows] = np.inf
        places[rows] = best = nearest(found, places.shape[1])
        similarities[rows] = np.take_along_axis(found, best, 1)


def _probed(vectors: Vectors, centres: Vectors, cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """The cells that each vector is looked for in; its own among them, also where centres are equal."""
    step, probes = max(1, _BLOCK // len(centres)), min(_PROBES, len(centres))
    found = np.concatenate(
        [nearest(vectors[start : start + step] @ centres.T, probes) for start in range(0, len(vectors), step)]
    )
    found[:, -1] = np.where((found == cell[:, None]).any(1), found[:, -1], cell)
    return found


def _group(cells: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """For each cell the rows that name it, by [n, some] of cells."""
    order = np.argsort(cells, axis=None, kind="stable")
    ends = np.searchsorted(cells.ravel()[order], np.arange(count), "right")
    return np.split(order // cells.shape[1], ends[:-1])


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
    return _split(centres, _assign(vectors, centres))


def _split(centres: Vectors, cell: NDArray[np.int64]) -> tuple[Vectors, NDArray[np.int64]]:
    """Cells of many vectors, which may all be equal, become several at the same centre; empty ones go."""
    order = np.argsort(cell, kind="stable")
    rank = np.empty_like(cell)
    rank[order] = np.arange(len(cell)) - np.searchsorted(cell[order], cell[order])
    pieces, own = np.unique(np.stack([cell, rank // _LARGEST], 1), axis=0, return_inverse=True)
    return centres[pieces[:, 0]], own.ravel()


def _assign(vectors: Vectors, centres: Vectors) -> NDArray[np.int64]:
    step = max(1, _BLOCK // len(centres))
    return np.concatenate(
        [(vectors[start : start + step] @ centres.T).argmax(1) for start in range(0, len(vectors), step)]
    )
