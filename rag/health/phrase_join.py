"""Every pair of sets that share much: a similarity join with prefix filtering (Bayardo et al. 2007, Xiao et al. 2008).

The Jaccard index of two sets is the share of what is in either that is in both. Two sets with at least ``floor`` of
it share one of their rarest elements: among the first ``size - ceil(floor * size) + 1`` of each, rarest first. So only
sets that share such an element are compared, and these exactly: no pair at or above the floor is missed, except within
families (see :data:`FAMILY`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.health.phrase_sets import Ints, PhraseSets

#: Sets that share a rare element are compared each with each while they are no more than this. In a larger family each
#: is compared with its first one and with the next few in the order of their sketches, which keeps it together.
FAMILY = 48
FAMILY_NEIGHBOURS = 6
#: Comparisons that are made at most: with more, families begin sooner.
MOST_COMPARED = 20_000_000
_BLOCK = 50_000
#: Sketches by which large families are put in order, a different one for each element in turn.
_SKETCHES = 8


@dataclass(frozen=True)
class Pairs:
    """Shapes ``a`` < ``b`` and their Jaccard index, in order; ``compared`` is how many comparisons that took."""

    a: Ints
    b: Ints
    score: NDArray[np.float32]
    compared: int


def join_sets(sets: PhraseSets, floor: float) -> Pairs:
    """All pairs of shapes whose phrases overlap by at least ``floor`` (0 to 1, exclusive of 0)."""
    import scipy.sparse as sparse

    shapes, sizes = len(sets.starts) - 1, sets.sizes
    _, element, frequency = np.unique(sets.hashes, return_inverse=True, return_counts=True)
    owner = np.repeat(np.arange(shapes), sizes)
    shared = frequency[element] > 1
    element, owner = element[shared], owner[shared]
    matrix = sparse.csr_matrix(
        (np.ones(len(element), np.int32), (owner, element)), shape=(shapes, len(frequency)), dtype=np.int32
    )
    prefix = _prefixes(owner, element, frequency, sizes, floor)
    a, b = _candidates(owner[prefix], element[prefix], _sketches(sets))
    long_enough = np.minimum(sizes[a], sizes[b]) >= floor * np.maximum(sizes[a], sizes[b])
    a, b = a[long_enough], b[long_enough]
    both = _shared_counts(matrix, a, b)
    score = (both / np.maximum(1, sizes[a] + sizes[b] - both)).astype(np.float32)
    kept = score >= floor
    return Pairs(a[kept], b[kept], score[kept], len(a))


def _prefixes(owner: Ints, element: Ints, frequency: Ints, sizes: Ints, floor: float) -> Ints:
    """Places of the entries that are among the rarest of their set; those that nothing shares come before all."""
    order = np.lexsort((element, frequency[element], owner))
    held = np.bincount(owner, minlength=len(sizes))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(held) - held, held)
    alone = sizes - held
    length = sizes - np.ceil(floor * sizes - 1e-9).astype(np.int64) + 1 - alone
    return np.asarray(order[rank < length[owner[order]]])


def _sketches(sets: PhraseSets) -> NDArray[np.uint64]:
    """[sketches, shapes] least hashes under several orders: the likelier equal, the more two sets share.

    MinHash, Broder 1997.
    """
    found = np.zeros((_SKETCHES, len(sets.starts) - 1), np.uint64)
    filled = sets.sizes > 0
    if filled.any():
        for number in range(_SKETCHES):
            mixed = sets.hashes * np.uint64(2 * number + 1) if number else sets.hashes
            found[number, filled] = np.minimum.reduceat(mixed, sets.starts[:-1][filled])
    return found


def _candidates(owner: Ints, element: Ints, sketches: NDArray[np.uint64]) -> tuple[Ints, Ints]:
    order = np.lexsort((owner, sketches[element % _SKETCHES, owner], element))
    owner, element = owner[order], element[order]
    if not len(owner):
        return owner, owner
    begins = np.flatnonzero(np.concatenate([[True], element[1:] != element[:-1]]))
    counts = np.diff(np.append(begins, len(element)))
    limit = _family_limit(counts)
    reach = np.repeat(np.where(counts > limit, FAMILY_NEIGHBOURS, limit), counts)
    codes = [_hub_codes(owner, begins, counts, limit)]
    at = np.arange(len(owner))
    for step in range(1, limit):
        at = at[at + step < len(owner)]
        at = at[(element[at + step] == element[at]) & (reach[at] >= step)]
        if not len(at):
            break
        codes.append(_codes(owner[at], owner[at + step]))
    found = np.unique(np.concatenate(codes))
    return found >> 32, found & 0xFFFFFFFF


def _family_limit(counts: Ints) -> int:
    limit = FAMILY
    while limit > 4:
        small = counts[counts <= limit]
        if (small * (small - 1) // 2).sum() <= MOST_COMPARED:
            break
        limit //= 2
    return limit


def _hub_codes(owner: Ints, begins: Ints, counts: Ints, limit: int) -> Ints:
    """The least shape of each large family with each of the others: the same one in all families of the same sets."""
    large = counts > limit
    if not large.any():
        return np.empty(0, np.int64)
    hubs = np.repeat(np.minimum.reduceat(owner, begins)[large], counts[large])
    members = owner[np.repeat(large, counts)]
    different = hubs != members
    return _codes(hubs[different], members[different])


def _codes(a: Ints, b: Ints) -> Ints:
    return np.asarray(np.minimum(a, b) << 32 | np.maximum(a, b))


def _shared_counts(matrix: object, a: Ints, b: Ints) -> Ints:
    """How many elements each pair of rows shares."""
    both = np.zeros(len(a), np.int64)
    for start in range(0, len(a), _BLOCK):
        part = slice(start, start + _BLOCK)
        product = matrix[a[part]].multiply(matrix[b[part]])  # type: ignore[index]
        both[part] = np.asarray(product.sum(axis=1)).ravel()
    return both
