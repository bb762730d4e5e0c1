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

Small = NDArray[np.int32]

#: Sets that share a rare element are compared each with each while they are no more than this. In a larger family each
#: is compared with its first one and with the next few in the order of their sketches, which keeps it together.
FAMILY = 48
FAMILY_NEIGHBOURS = 4
#: Candidates outside of families at most: with more, families begin sooner.
MOST_CANDIDATES = 10_000_000
#: Of the rare elements that a pair must share, how many have to be met where not all are looked at.
_MET_IN_FAMILIES = 0.2
_BLOCK = 20_000
_LOW = 0xFFFFFFFF
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
    sizes = sets.sizes
    element, frequency = _number(sets.hashes)
    owner = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    shared = frequency[element] > 1
    element, owner = element[shared], owner[shared]
    prefix = _prefixes(owner, element, frequency, sizes, floor)
    codes, met, in_family = _candidates(owner[prefix], element[prefix], _sketches(sets))
    del prefix
    codes = codes[_may_reach(codes, met, in_family, sizes, floor)]
    score = _scores(codes, owner, element, sizes, len(frequency))
    kept = score >= floor
    return Pairs(codes[kept] >> 32, codes[kept] & _LOW, score[kept], len(codes))


def _number(hashes: NDArray[np.uint64]) -> tuple[Small, Small]:
    """Each hash as a number from 0 on, and how often each number occurs."""
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    new = np.concatenate([[False], ranked[1:] != ranked[:-1]]) if len(ranked) else np.empty(0, bool)
    del ranked
    number = np.cumsum(new, dtype=np.int32)
    element = np.empty(len(hashes), np.int32)
    element[order] = number
    return element, np.bincount(number).astype(np.int32)


def _prefixes(owner: Small, element: Small, frequency: Small, sizes: Ints, floor: float) -> Ints:
    """Places of the entries that are among the rarest of their set; those that nothing shares come before all."""
    order = np.lexsort((element, frequency[element], owner))
    held = np.bincount(owner, minlength=len(sizes))
    rank = np.arange(len(order), dtype=np.int32) - np.repeat((np.cumsum(held) - held).astype(np.int32), held)
    alone = sizes - held
    length = sizes - np.ceil(floor * sizes - 1e-9).astype(np.int64) + 1 - alone
    return np.asarray(order[rank < length.astype(np.int32)[owner[order]]])


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


def _candidates(owner: Small, element: Small, sketches: NDArray[np.uint64]) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Pairs of shapes that share one of these entries, each once and in order, as codes.

    With how many of them each pair was met at, and by shape whether it is in a family, where not every meeting counts.
    """
    order = np.lexsort((owner, sketches[element % _SKETCHES, owner], element))
    owners: Ints = owner[order].astype(np.int64)
    element = element[order]
    in_family = np.zeros(sketches.shape[1], bool)
    if not len(owners):
        return owners, owners, in_family
    begins = np.flatnonzero(np.concatenate([[True], element[1:] != element[:-1]]))
    counts = np.diff(np.append(begins, len(element)))
    limit = _family_limit(counts)
    large = counts > limit
    in_family[owners[np.repeat(large, counts)]] = True
    reach = np.repeat(np.where(large, FAMILY_NEIGHBOURS, limit).astype(np.int16), counts)
    hubs = _hub_codes(owners, begins, counts, limit)
    small, steps = counts[~large], np.minimum(FAMILY_NEIGHBOURS, counts[large] - 1)
    beside = (steps * counts[large] - steps * (steps + 1) // 2).sum()
    codes = np.empty(int((small * (small - 1) // 2).sum() + beside) + len(hubs), np.int64)
    codes[: len(hubs)] = hubs
    filled, at = len(hubs), np.arange(len(owners))
    for step in range(1, limit):
        at = at[at + step < len(owners)]
        at = at[(element[at + step] == element[at]) & (reach[at] >= step)]
        if not len(at):
            break
        codes[filled : filled + len(at)] = _codes(owners[at], owners[at + step])
        filled += len(at)
    codes = codes[:filled]
    codes.sort()
    first = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    return codes[first], np.diff(np.append(first, len(codes))), in_family


def _may_reach(codes: Ints, met: Ints, in_family: NDArray[np.bool_], sizes: Ints, floor: float) -> NDArray[np.bool_]:
    """Whether a pair can have that much in common: by its sizes, and by how many rare elements it shares.

    All that both share up to the end of the prefix that ends first is in both prefixes; the rest is in what is left of
    that set. In families the number is a sample, and a fifth of it is enough.
    """
    a, b = codes >> 32, codes & _LOW
    size_a, size_b = sizes[a], sizes[b]
    left = np.ceil(floor * np.maximum(size_a, size_b) - 1e-9) - 1
    needed = np.maximum(1, np.ceil(floor / (1 + floor) * (size_a + size_b) - 1e-9) - left)
    needed = np.where(in_family[a] & in_family[b], np.ceil(_MET_IN_FAMILIES * needed), needed)
    return np.asarray((met >= needed) & (np.minimum(size_a, size_b) >= floor * np.maximum(size_a, size_b)))


def _family_limit(counts: Ints) -> int:
    limit = FAMILY
    while limit > 4:
        small = counts[counts <= limit]
        if (small * (small - 1) // 2).sum() <= MOST_CANDIDATES:
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


def _scores(codes: Ints, owner: Small, element: Small, sizes: Ints, elements: int) -> NDArray[np.float32]:
    """The Jaccard index of each pair; ``owner`` and ``element`` are all entries that are shared at all."""
    import scipy.sparse as sparse

    starts = np.searchsorted(owner, np.arange(len(sizes) + 1)).astype(np.int32)
    matrix = sparse.csr_matrix(
        (np.ones(len(element), np.int16), element, starts), shape=(len(sizes), elements), copy=False
    )
    matrix.sort_indices()
    score = np.zeros(len(codes), np.float32)
    for start in range(0, len(codes), _BLOCK):
        part = slice(start, start + _BLOCK)
        a, b = codes[part] >> 32, codes[part] & _LOW
        both = np.asarray(matrix[a].multiply(matrix[b]).sum(axis=1)).ravel()
        score[part] = both / np.maximum(1, sizes[a] + sizes[b] - both)
    return score
