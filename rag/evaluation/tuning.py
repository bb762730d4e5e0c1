"""Better settings: the choice among many, and what it may promise. Pure numbers; seeded, so the same in, the same out.

``values`` [settings, questions] is what each setting scores on each question, the present one in the first row. Nothing
is fitted but the choice itself, so the questions serve twice only there: repeated cross-validation chooses on some
folds and measures on the one held back, which makes the gain reported that of the whole procedure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.resampling import Difference, paired_difference

Floats = NDArray[np.float64]

#: ``better``: a gain that can be promised. ``same``: nothing is ahead of the present settings by more than chance would
#: have it. ``unsure``: something may be better, these questions can't tell. ``few``: too few questions to try.
Verdict = Literal["better", "same", "unsure", "few"]

FOLDS = 5
REPEATS = 5
#: Fewer questions tell nothing: a fold would have three.
LEAST_QUESTIONS = 20
#: Fewer questions that changed at all are a coincidence, however they changed.
LEAST_CHANGED = 8
#: Gains below this are not worth a change of habits, even if they are real.
LEAST_GAIN = 0.005
_SEED = 20_261_122
#: Normal quantiles of a two-sided test at .05 and of a power of .8.
_CERTAINTY = 1.959964 + 0.841621


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold held back: what the others chose, and both settings' means on it."""

    repeat: int
    fold: int
    questions: int
    chosen: int
    present: float
    after: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """``chosen`` is the setting to take, 0 for the present one; ``candidate`` the one nearest to a promise.

    ``gain`` is what the procedure adds on questions that it didn't see. ``needed`` is about how many questions would
    show a gain of the size seen, None where none was seen; ``needed_hundredth`` one of 0.01.
    """

    verdict: Verdict
    chosen: int
    candidate: int
    gain: Difference
    changed: int
    folds: list[Fold]
    needed: int | None
    needed_hundredth: int | None


def choose(values: Floats, distances: Sequence[float]) -> int:
    """The setting nearest to the present one among those within one standard error of the best (Breiman et al. 1984).

    The error is that of the paired differences from the best one: neighbours differ in few questions and are told
    apart by few. Equally near ones are told apart by their means.
    """
    means = values.mean(axis=1)
    behind = values[int(means.argmax())] - values
    errors = behind.std(axis=1, ddof=1) / math.sqrt(values.shape[1])
    close = np.flatnonzero(behind.mean(axis=1) <= errors + 1e-12).tolist()
    return int(min(close, key=lambda setting: (distances[setting], -means[setting])))


def cross_validate(values: Floats, distances: Sequence[float]) -> tuple[Floats, Floats, list[Fold]]:
    """Per question, what the present setting scores and what those do that were chosen without it; and each fold."""
    questions = values.shape[1]
    rng = np.random.default_rng(_SEED)
    after = np.zeros(questions)
    folds: list[Fold] = []
    for repeat in range(REPEATS):
        number = rng.permutation(np.arange(questions) % FOLDS)
        for fold in range(FOLDS):
            held = number == fold
            chosen = choose(values[:, ~held], distances)
            after[held] += values[chosen, held] / REPEATS
            folds.append(
                Fold(
                    repeat + 1,
                    fold + 1,
                    int(held.sum()),
                    chosen,
                    float(values[0, held].mean()),
                    float(values[chosen, held].mean()),
                )
            )
    return values[0], after, folds


def tune_settings(values: Floats, distances: Sequence[float]) -> Outcome:
    """Choose a setting and say what can be promised of it; in doubt the present one stays."""
    questions = values.shape[1]
    if questions < LEAST_QUESTIONS:
        unknown = Difference(math.nan, math.nan, math.nan, math.nan, questions)
        return Outcome("few", 0, 0, unknown, 0, [], None, None)
    candidate = choose(values, distances)
    before, after, folds = cross_validate(values, distances)
    gain = paired_difference(before, after)
    changed = int(np.count_nonzero(values[candidate] != values[0]))
    promised = (
        candidate != 0 and gain.low > 0 and gain.p < 0.05 and gain.mean >= LEAST_GAIN and changed >= LEAST_CHANGED
    )
    spread = _spread(values, candidate)
    return Outcome(
        "better" if promised else "same" if candidate == 0 else "unsure",
        candidate if promised else 0,
        candidate,
        gain,
        changed,
        folds,
        questions_needed(spread, gain.mean) if gain.mean > 0 else None,
        questions_needed(spread, 0.01),
    )


def questions_needed(spread: float, gain: float) -> int | None:
    """Questions by which a paired test at .05 sees ``gain`` four times out of five, from the spread of differences."""
    if spread <= 0 or gain <= 0:
        return None
    return max(LEAST_QUESTIONS, math.ceil((_CERTAINTY * spread / gain) ** 2))


def _spread(values: Floats, candidate: int) -> float:
    """The standard deviation of the differences from the present setting: the candidate's, or of the best other one."""
    other = candidate or 1 + int(values[1:].mean(axis=1).argmax())
    return float((values[other] - values[0]).std(ddof=1))
