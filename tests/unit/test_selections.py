"""Selections as text, and polygons in slabs: the even-odd rule against a plain one."""

from __future__ import annotations

import bisect
import random
from uuid import UUID

import pytest

from rag.curation.selections import MOST_CORNERS, Selection, slice_polygon
from rag.errors import InvalidInput

SELECTIONS = [
    Selection.of_polygon([(0, 0), (65_535, 12.4), (-900, 70_000)]),
    Selection.of_clusters([7, 0, 3]),
    Selection.of_chunks([2**40, 1, 1]),
    Selection.of_places(range(300)),
    Selection.of_documents([UUID(int=5), UUID(int=2**127)]),
]


@pytest.mark.parametrize("selection", SELECTIONS, ids=lambda one: one.kind)
def test_a_selection_comes_back_from_its_text(selection: Selection) -> None:
    text = selection.to_text()
    assert text.replace("-", "a").replace("_", "a").isalnum()
    assert Selection.from_text(text) == selection


def test_texts_are_short() -> None:
    assert len(Selection.of_places(range(300)).to_text()) <= 401


@pytest.mark.parametrize("text", ["", "x12", "p", "pAAAA", "p!!", "kgA", "dAAAA", "k" + "gICAgICAgICAgICA"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Selection.from_text(text)


def test_a_very_long_line_is_thinned() -> None:
    made = Selection.of_polygon((n, n * n % 977) for n in range(5 * MOST_CORNERS))
    assert 3 <= len(made.corners) <= MOST_CORNERS


def inside_plain(x: int, y: int, corners: list[tuple[int, int]]) -> bool:
    odd = False
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            odd = not odd
    return odd


@pytest.mark.parametrize("seed", range(5))
def test_slabs_say_what_all_sides_say(seed: int) -> None:
    chance = random.Random(seed)
    corners = [(chance.randint(0, 40), chance.randint(0, 40)) for _ in range(12)]
    edges = slice_polygon(corners)
    for x in range(-1, 42):
        for y in range(-1, 42):
            slab = bisect.bisect_right(edges.heights, y)
            right = sum(
                e_x + (y - e_y) * slope > x
                for e_slab, e_x, e_y, slope in zip(edges.slabs, edges.x, edges.y, edges.slope, strict=True)
                if e_slab == slab
            )
            assert (right % 2 == 1) == inside_plain(x, y, corners), (x, y)
