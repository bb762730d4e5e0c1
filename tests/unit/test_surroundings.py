"""How far passages are read beyond their chunks."""

from __future__ import annotations

from uuid import UUID

import pytest

from rag.chat.surroundings import Neighbour, Span, widen_spans
from rag.records import Hit

#: Ten chunks of 100 characters; each begins in the last ten of the one before.
CHUNKS = [(max(0, 100 * n - 10), 100 * n + 100) for n in range(10)]


def hit(ordinal: int, document: int = 1) -> Hit:
    start, end = CHUNKS[ordinal]
    number = document * 100 + ordinal
    return Hit(1, number, UUID(int=document), "a.txt", None, 1, None, start, end, [], "", 0.5, None, 0.5, 1, None)


def near(hits: list[Hit], reach: int, excluded: frozenset[int] = frozenset()) -> dict[int, list[Neighbour]]:
    found = {}
    for one in hits:
        own = one.chunk_id % 100
        around = range(max(0, own - reach), min(len(CHUNKS), own + reach + 1))
        found[one.chunk_id] = [Neighbour(one.chunk_id, n - own, *CHUNKS[n], n in excluded) for n in around]
    return found


@pytest.mark.parametrize(
    ("ordinals", "reach", "excluded", "spans"),
    [
        ([4], 1, set(), [(290, 600)]),
        ([4], 3, set(), [(90, 800)]),
        ([0], 2, set(), [(0, 300)]),
        ([9], 1, set(), [(790, 1000)]),
        ([4], 3, {2}, [(290, 800)]),
        ([4], 2, {3, 5}, [(390, 500)]),
        # Neither reads what the other one has: the better one's neighbours come first.
        ([4, 5], 1, set(), [(290, 500), (490, 700)]),
        ([4, 7], 2, set(), [(190, 690), (690, 1000)]),
        ([7, 4], 2, set(), [(500, 1000), (190, 500)]),
        ([4, 6], 1, set(), [(290, 590), (590, 800)]),
    ],
)
def test_spans(ordinals: list[int], reach: int, excluded: set[int], spans: list[Span]) -> None:
    hits = [hit(ordinal) for ordinal in ordinals]
    assert widen_spans(hits, near(hits, reach, frozenset(excluded))) == spans


def test_other_documents_are_in_nobodys_way() -> None:
    hits = [hit(4), hit(5, document=2)]
    assert widen_spans(hits, near(hits, 1)) == [(290, 600), (390, 700)]


def test_a_chunk_that_is_gone_has_no_neighbours() -> None:
    assert widen_spans([hit(4)], {}) == [CHUNKS[4]]
