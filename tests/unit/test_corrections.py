"""Edits between two texts, and where they move pages and marks."""

from __future__ import annotations

import random

import pytest

from rag.corpus.corrections import Edit, find_edits, move_pages, move_span


def apply(old: str, new: str, edits: list[Edit]) -> str:
    """``old`` with ``edits`` applied, the new characters taken from ``new``."""
    made, position, shift = "", 0, 0
    for edit in edits:
        made += old[position : edit.start] + new[edit.start + shift : edit.start + shift + edit.length]
        position, shift = edit.end, shift + edit.growth
    return made + old[position:]


def test_equal_texts_have_no_edits() -> None:
    assert find_edits("same\ntext", "same\ntext") == []


@pytest.mark.parametrize(
    ("old", "new", "edits"),
    [
        ("a cat sat", "a dog sat", [Edit(2, 5, 3)]),
        ("ab", "aXb", [Edit(1, 1, 1)]),
        ("aab", "ab", [Edit(1, 2, 0)]),
        ("", "new", [Edit(0, 0, 3)]),
        ("ä🙂b", "ä🙂🙂b", [Edit(2, 2, 1)]),
        ("one\ntwo\nthree\n", "ONE\ntwo\nTHREE\n", [Edit(0, 3, 3), Edit(8, 13, 5)]),
    ],
)
def test_edits_are_as_small_as_the_change(old: str, new: str, edits: list[Edit]) -> None:
    assert find_edits(old, new) == edits


def test_edits_always_rebuild_the_new_text() -> None:
    chance = random.Random(7)
    for _ in range(500):
        old = "".join(chance.choices("ab\n", k=chance.randrange(30)))
        new = "".join(chance.choices("ab\n", k=chance.randrange(30)))
        assert apply(old, new, find_edits(old, new)) == new


def test_a_mark_keeps_its_words_when_text_before_it_changes() -> None:
    old, new = "Intro.\nKeep this.\nEnd.", "A longer introduction.\nKeep this.\nEnd."
    start = old.index("this")
    moved = move_span(start, start + 4, find_edits(old, new))
    assert moved is not None
    assert new[slice(*moved)] == "this"


def test_a_mark_grows_with_text_inside_and_not_at_its_edges() -> None:
    edits = [Edit(5, 5, 3)]
    assert move_span(2, 8, edits) == (2, 11)
    assert move_span(5, 8, edits) == (8, 11)
    assert move_span(2, 5, edits) == (2, 5)


def test_a_replaced_mark_covers_the_replacement() -> None:
    assert move_span(4, 8, [Edit(4, 8, 10)]) == (4, 14)


def test_a_mark_whose_text_is_gone_goes_too() -> None:
    assert move_span(4, 8, [Edit(2, 10, 0)]) is None
    assert move_span(4, 8, [Edit(2, 6, 0)]) == (2, 4)


def test_pages_move_with_the_text_and_stay_in_order() -> None:
    assert move_pages([0, 10, 20], [Edit(12, 14, 7)]) == [0, 10, 25]
    assert move_pages([0, 10, 20], [Edit(10, 10, 5)]) == [0, 10, 25]
    assert move_pages([0, 10, 20], [Edit(5, 25, 2)]) == [0, 7, 7]
