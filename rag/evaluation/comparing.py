"""Two runs of one set side by side: what differs, how sure that is, and which questions make it so. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rag.errors import InvalidInput
from rag.evaluation.resampling import Difference, paired_difference
from rag.evaluation.runs import Result, Run
from rag.evaluation.scoring import CHARACTERS, RANKED, Unit

#: P below which a difference is called significant.
ALPHA = 0.05
#: What the test is, for people.
METHOD = "Fisher's randomisation test on the paired questions, two-sided, 10,000 draws"
#: Milliseconds of each question's search: the only figure of which less is better.
LATENCY = "latency_ms"

_TIE = 1e-9

Verdict = Literal["better", "worse", "no difference"]


@dataclass(frozen=True, slots=True)
class MetricDifference:
    """One metric: means of both runs over the same questions; a win is a question that ``after`` answers better."""

    name: str
    before: float
    after: float
    difference: Difference
    wins: int
    losses: int
    ties: int

    @property
    def verdict(self) -> Verdict:
        """Whether ``after`` is better, as far as these questions can tell."""
        if not self.difference.p < ALPHA:
            return "no difference"
        gain = -self.difference.mean if self.name == LATENCY else self.difference.mean
        return "better" if gain > 0 else "worse"


@dataclass(frozen=True, slots=True)
class QuestionChange:
    """What one question scored in both runs."""

    question_id: int
    question: str
    before: float
    after: float

    @property
    def change(self) -> float:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """``shared`` questions were answered in both runs and count. ``alike``: measured with the same judgements."""

    before: Run
    after: Run
    unit: Unit
    shared: int
    left_out: int
    alike: bool
    metrics: list[MetricDifference]
    pairs: list[tuple[Result, Result]]

    def metric(self, name: str) -> MetricDifference:
        """By its bare name; :class:`InvalidInput` where no shared question has it."""
        for one in self.metrics:
            if one.name == name:
                return one
        raise InvalidInput(f"These runs have no {name} in common.")

    def changes(self, name: str) -> list[QuestionChange]:
        """What each question scored, the greatest changes first."""
        found = [
            QuestionChange(a.question_id, a.question, before, after)
            for a, b in self.pairs
            if (before := value_of(a, name, self.unit)) is not None
            and (after := value_of(b, name, self.unit)) is not None
        ]
        return sorted(found, key=lambda one: (-abs(one.change), one.question_id))


def compare_runs(
    before: Run, after: Run, results_before: Iterable[Result], results_after: Iterable[Result]
) -> Comparison:
    """Compare two finished runs; :class:`InvalidInput` for runs of different sets, or without a question in common."""
    if before.set_id != after.set_id:
        raise InvalidInput(
            f"Runs {before.id} and {after.id} asked different sets of questions.", hint="Compare runs of one set."
        )
    for run in (before, after):
        if run.state != "done":
            raise InvalidInput(f"Run {run.id} is not finished.", hint="Wait for it, or go on with it.")
    first = {result.question_id: result for result in results_before}
    second = {result.question_id: result for result in results_after}
    pairs = [(first[id], second[id]) for id in sorted(first.keys() & second.keys())]
    if not pairs:
        raise InvalidInput(f"Runs {before.id} and {after.id} have no question in common.")
    unit: Unit = "passage" if before.unit == after.unit == "passage" else "document"
    metrics = [_compare(name, pairs, unit) for name in (*RANKED, *CHARACTERS, LATENCY)]
    return Comparison(
        before,
        after,
        unit,
        len(pairs),
        len(first.keys() ^ second.keys()),
        before.judgements == after.judgements,
        [one for one in metrics if one.difference.n],
        pairs,
    )


def value_of(result: Result, name: str, unit: Unit) -> float | None:
    """One metric of one question by its bare name; None where it has no such."""
    if name == LATENCY:
        return result.latency_ms
    return result.metrics.get(name if name in CHARACTERS else f"{unit}:{name}")


def _compare(name: str, pairs: Sequence[tuple[Result, Result]], unit: Unit) -> MetricDifference:
    values = [(value_of(a, name, unit), value_of(b, name, unit)) for a, b in pairs]
    table = np.array([(a, b) for a, b in values if a is not None and b is not None], np.float64).reshape(-1, 2)
    if not len(table):
        return MetricDifference(name, np.nan, np.nan, Difference(np.nan, np.nan, np.nan, np.nan, 0), 0, 0, 0)
    change = table[:, 1] - table[:, 0]
    gained = -change if name == LATENCY else change
    wins, losses = int((gained > _TIE).sum()), int((gained < -_TIE).sum())
    mean_before, mean_after = table.mean(axis=0)
    difference = paired_difference(table[:, 0], table[:, 1])
    return MetricDifference(
        name, float(mean_before), float(mean_after), difference, wins, losses, len(table) - wins - losses
    )
