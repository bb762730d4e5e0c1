"""The rounds of a layout, compiled. Importing this imports numba: only the process that makes maps does."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
#: A step on either axis is at most this long, before the rate of the round.
_LONGEST = np.float32(4)
_EPSILON = np.float32(0.001)
#: Points that a point is pushed away from for each one that it is drawn to.
_APART = np.float32(5)


@numba.njit(fastmath=True, cache=True)
def _clipped(step: np.float32) -> np.float32:
    return min(max(step, -_LONGEST), _LONGEST)


@numba.njit(fastmath=True, parallel=True, cache=True)
def move(
    xy: NDArray[np.float32],
    starts: NDArray[np.int64],
    tail: NDArray[np.int32],
    every: NDArray[np.float32],
    due: NDArray[np.float32],
    due_apart: NDArray[np.float32],
    numbers: NDArray[np.uint32],
    a: np.float32,
    b: np.float32,
    first: int,
    last: int,
    rounds: int,
) -> NDArray[np.float32]:
    """[n, 2] after the rounds ``first`` up to ``last`` of ``rounds``. ``xy`` is written over.

    Point i is drawn to ``tail[starts[i]:starts[i + 1]]``, to each at every ``every``-th round, next when it is ``due``;
    each time it is pushed off as many points at random as belong to that by :data:`_APART` and ``due_apart``.
    ``numbers`` are the states of its random numbers (xorshift, Marsaglia 2003), not zero. All of them go on.
    """
    after = np.empty_like(xy)
    count = np.uint32(len(xy))
    for turn in range(first, last):
        now = np.float32(turn)
        rate = _ONE - now / np.float32(rounds)
        for i in numba.prange(len(xy)):
            x, y, number = xy[i, 0], xy[i, 1], numbers[i]
            for edge in range(starts[i], starts[i + 1]):
                if due[edge] > now:
                    continue
                due[edge] += every[edge]
                dx, dy = x - xy[tail[edge], 0], y - xy[tail[edge], 1]
                square = dx * dx + dy * dy
                if square > _ZERO:
                    power = a * square**b
                    pull = -_TWO * b * power / (square * (power + _ONE))
                    x += rate * _clipped(pull * dx)
                    y += rate * _clipped(pull * dy)
                step = every[edge] / _APART
                apart = int((now - due_apart[edge]) / step)
                due_apart[edge] += np.float32(apart) * step
                for _ in range(apart):
                    number ^= number << np.uint32(13)
                    number ^= number >> np.uint32(17)
                    number ^= number << np.uint32(5)
                    other = number % count
                    dx, dy = x - xy[other, 0], y - xy[other, 1]
                    square = dx * dx + dy * dy
                    if square > _ZERO:
                        push = _TWO * b / ((_EPSILON + square) * (a * square**b + _ONE))
                        x += rate * _clipped(push * dx)
                        y += rate * _clipped(push * dy)
            numbers[i] = number
            after[i, 0], after[i, 1] = x, y
        xy, after = after, xy
    return xy
