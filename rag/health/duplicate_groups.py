"""Groups of near-duplicates at a threshold, from pairs that are there already.

A group is a star (Aslam, Pelekhov and Rus 2004): one passage stands in the middle, and each of the others resembles
that one by at least the threshold. So nothing gets into a group by a chain of small steps, and what is said of "keep
one" is true of each: what goes is that similar to what stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Star:
    """``centre`` and the other shapes with their scores, highest first."""

    centre: int
    others: tuple[tuple[int, float], ...]


def find_stars(copies: Mapping[int, int], pairs: Iterable[tuple[int, int, float]], threshold: float) -> list[Star]:
    """Stars over shapes, of which ``copies`` says how many chunks have them; those of one chunk alone are left out.

    Taken first is the shape that resembles most chunks; among equals the one with more copies, then the lower number,
    so that the same pairs always make the same groups.
    """
    beside: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for a, b, score in pairs:
        if score >= threshold and a in copies and b in copies:
            beside[a].append((b, score))
            beside[b].append((a, score))
    reach = {shape: number + sum(copies[other] for other, _ in beside[shape]) for shape, number in copies.items()}
    taken: set[int] = set()
    stars: list[Star] = []
    for shape in sorted(reach, key=lambda shape: (-reach[shape], -copies[shape], shape)):
        if shape in taken:
            continue
        others = [(other, score) for other, score in beside[shape] if other not in taken]
        if not others and copies[shape] < 2:
            continue
        taken |= {shape, *(other for other, _ in others)}
        stars.append(Star(shape, tuple(sorted(others, key=lambda one: (-one[1], one[0])))))
    return stars


def covered(members: Sequence[int], kept: Mapping[int, frozenset[int]]) -> bool:
    """Whether one decision to keep (``kept``: chunk → numbers of decisions) is about all of these chunks."""
    if not members:
        return False
    common = kept.get(members[0], frozenset())
    for chunk in members[1:]:
        if not common:
            return False
        common &= kept.get(chunk, frozenset())
    return bool(common)
