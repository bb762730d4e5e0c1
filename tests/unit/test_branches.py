"""The tree of a conversation: ways through it, branches, and whose turn it is."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import pytest

from rag.chat.branches import questions_before, siblings, thread
from rag.chat.chat_records import Message, Phase

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def named(number: int) -> UUID:
    return UUID(int=number)


def message(number: int, parent: int | None, phase: Phase = "complete") -> Message:
    """Odd numbers ask, even ones answer; the number is the position too."""
    role: Literal["user", "assistant"] = "user" if number % 2 else "assistant"
    return Message(
        named(number),
        named(0),
        number,
        role,
        "",
        phase,
        NOW,
        [],
        1,
        False,
        None,
        None,
        None,
        None,
        NOW,
        parent_id=None if parent is None else named(parent),
    )


#: 1-2-3-4 and a later branch 5-6 of the second question; 8 is another answer to 1, 9-10 another beginning.
TREE = [
    message(1, None),
    message(2, 1),
    message(3, 2),
    message(4, 3, "generating"),
    message(5, 2),
    message(6, 5, "queued"),
    message(8, 1, "failed"),
    message(9, None),
    message(10, 9, "queued"),
]


def way(at: int | None) -> list[int]:
    shuffled = random.Random(7).sample(TREE, len(TREE))
    return [one.position for one in thread(shuffled, None if at is None else named(at))]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (None, [9, 10]),
        (4, [1, 2, 3, 4]),
        (3, [1, 2, 3, 4]),
        (2, [1, 2, 5, 6]),
        (1, [1, 8]),
        (6, [1, 2, 5, 6]),
        (99, [9, 10]),
    ],
)
def test_a_way_leads_through_a_message_and_on_by_the_newest(at: int | None, expected: list[int]) -> None:
    assert way(at) == expected


def test_nothing_leads_nowhere() -> None:
    assert thread([]) == []


@pytest.mark.parametrize(
    ("number", "expected"), [(1, [1, 9]), (2, [2, 8]), (8, [2, 8]), (3, [3, 5]), (5, [3, 5]), (4, [4])]
)
def test_branches_are_what_hangs_below_the_same(number: int, expected: list[int]) -> None:
    (one,) = [one for one in TREE if one.position == number]
    assert siblings(TREE[::-1], one) == [named(n) for n in expected]


def test_the_turn_comes_after_those_before_that_are_unfinished() -> None:
    line = [message(1, None), message(2, 1, "generating"), message(3, 2), message(4, 3, "stopped")]
    line += [message(5, 4), message(6, 5, "queued"), message(7, 6), message(8, 7, "queued")]
    assert [questions_before(line, one) for one in line if one.role == "assistant"] == [0, 1, 1, 2]
    assert questions_before(TREE, TREE[5]) == 0, "a branch waits for no other"
