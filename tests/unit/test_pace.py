"""How many texts a model is given in one call."""

from __future__ import annotations

import time

from rag.work.batches import MOST, SLICE, Pace


def test_a_model_begins_with_little_and_a_fast_one_gets_more() -> None:
    pace = Pace()
    assert pace.size(1) == SLICE
    with pace.measured(1, SLICE):
        pass
    assert pace.size(1) == MOST
    assert pace.size(2) == SLICE


def test_a_slow_model_goes_back_to_little() -> None:
    pace = Pace()
    with pace.measured(1, SLICE):
        pass
    with pace.measured(1, 1):
        time.sleep(0.05)
    assert pace.size(1) == SLICE


def test_a_call_that_fails_says_nothing_of_the_pace() -> None:
    pace = Pace()
    try:
        with pace.measured(1, SLICE):
            raise ValueError
    except ValueError:
        pass
    assert pace.size(1) == SLICE
