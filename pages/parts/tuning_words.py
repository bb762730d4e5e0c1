"""Better settings in words: what was aimed at, what came of it and why it is believed or not; and as a table."""

from __future__ import annotations

import math
from dataclasses import fields

from pages.parts.downloads import to_csv
from pages.parts.words import count
from rag.evaluation.findings import Findings
from rag.evaluation.objectives import Objective
from rag.evaluation.tuning import LEAST_CHANGED, LEAST_GAIN, LEAST_QUESTIONS
from rag.evaluation.tunings import Tuning
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import describe_changes

#: Objective → (its name in a choice, what is measured, what that means).
OBJECTIVES: dict[Objective, tuple[str, str, str]] = {
    "ndcg": (
        "The best answers first",
        "nDCG@10",
        "For people who read results from the top: how well the first ten are ordered.",
    ),
    "recall": (
        "As much as possible among the k passages",
        "recall@k",
        "For whoever goes through all of them: the share of everything relevant that the profile's k passages hold.",
    ),
    "reading": (
        "What a chat model gets to read",
        "character recall",
        "The share of the judged characters within as many characters as the model reads. Needs judged passages.",
    ),
}
STATES = {"queued": "waiting", "running": "running", "done": "done", "failed": "failed", "cancelled": "cancelled"}


def measure_name(tuning: Tuning) -> str:
    """``nDCG@10``, ``recall@5``, ``character recall within 8,000 characters``."""
    if tuning.objective == "recall":
        return f"recall@{tuning.profile.k}"
    if tuning.objective == "reading":
        return f"character recall within {tuning.budget:,} characters"
    return OBJECTIVES["ndcg"][1]


def tuning_option(tuning: Tuning) -> str:
    """One of them in a list to choose from."""
    found = tuning.findings
    verdict = STATES[tuning.state] if found is None else _SHORT[found.verdict]
    return f"#{tuning.id} {measure_name(tuning)}, from {tuning.label} · {verdict}"


_SHORT = {
    "better": "better settings found",
    "same": "the present settings stay",
    "unsure": "the present settings stay",
    "few": "too few questions",
}


def signed(value: float, digits: int = 3) -> str:
    """``+0.014``, ``−0.003``."""
    return "–" if math.isnan(value) else f"{value:+.{digits}f}".replace("-", "−")


def headline(found: Findings) -> str:
    """The verdict as a title."""
    if found.verdict == "better":
        return "Better settings found"
    if found.verdict == "few":
        return "Too few questions to tell: the present settings stay"
    return "No better settings found: the present ones stay"


def explanation(tuning: Tuning, found: Findings) -> str:
    """What is believed and why, with figures, in two or three sentences."""
    name, questions = measure_name(tuning), count(found.questions, "judged question")
    if found.gain is None:
        missing = LEAST_QUESTIONS - found.questions
        return (
            f"This set has {questions}; below {LEAST_QUESTIONS}, chance alone decides which settings look best."
            f" Judge {count(missing, 'more question')} at least, better a hundred."
        )
    digits = 4 if abs(found.gain.mean) < 0.01 else 3
    mean, low, high = (signed(value, digits) for value in (found.gain.mean, found.gain.low, found.gain.high))
    gain = f"{mean} (95 % interval {low} to {high})"
    if found.promised:
        return (
            f"Expect {gain} in {name}, measured on questions that had no part in the choice; now it is"
            f" {found.scores[0]:.3f}. Of {questions}, {found.wins:,} get better and {found.losses:,} worse."
        )
    if found.verdict == "same":
        return (
            f"Of {len(found.tried):,} settings tried, none is further ahead in {name} than chance would have it on"
            f" {questions}, so none is worth a change. The present ones score {found.scores[0]:.3f}."
            f" {_needed(found, name)}"
        ).strip()
    if found.gain.low > 0 and found.gain.mean < LEAST_GAIN:
        return (
            f"{_best(found)} would bring {gain} in {name}: likely real, but below {LEAST_GAIN:g}, not worth a change."
        )
    return f"{_doubt(found, name, gain, questions)} {_needed(found, name)}".strip()


def _doubt(found: Findings, name: str, gain: str, questions: str) -> str:
    assert found.gain is not None
    begin = f"{_best(found)} would bring {gain} in {name}"
    changed = found.wins + found.losses
    if found.gain.low > 0 and changed < LEAST_CHANGED:
        return f"{begin}, but only {count(changed, 'question')} changed at all, which may be a coincidence."
    if found.gain.mean <= 0:
        return f"{_best(found)} did no better on questions that had no part in choosing it: {gain}."
    return f"{begin}. That may be nothing: {questions} can't tell."


def _best(found: Findings) -> str:
    return f"The most promising of {len(found.tried):,} settings"


def _needed(found: Findings, name: str) -> str:
    """How many questions would tell."""
    if found.needed is not None and found.needed > found.questions:
        more = _about(found.needed - found.questions)
        return f"To be sure of a gain of this size takes about {_about(found.needed)} judged questions: {more} more."
    if found.needed_hundredth is not None and found.needed_hundredth > found.questions:
        return f"To see a gain of 0.01 in {name} takes about {_about(found.needed_hundredth)} judged questions."
    if found.needed_hundredth is not None:
        return "A gain of 0.01 would most likely have been seen."
    return ""


def _about(number: int) -> str:
    """Two digits are all that such an estimate is worth."""
    if number >= 100_000:
        return "100,000 or more"
    step = 10 ** max(0, len(str(number)) - 2)
    return f"{math.ceil(number / step) * step:,}"


def changes_words(before: RetrievalProfile, after: RetrievalProfile) -> list[str]:
    """The differences as sentences without a full stop."""
    return [change.words for change in describe_changes(before, after)]


def setting_words(present: RetrievalProfile, other: RetrievalProfile) -> str:
    """One of the settings tried, by what it changes."""
    return "; ".join(changes_words(present, other)) or "the present settings"


def tried_csv(found: Findings) -> bytes:
    """Every setting that was tried with its score and what it adds, on all questions."""
    rows = [
        one.profile.to_json()
        | {"score": one.score, "added": one.added.mean, "added low": one.added.low, "added high": one.added.high}
        | {"present": one.profile == found.present, "suggested": found.promised and one.profile == found.candidate}
        for one in found.tried
    ]
    names = [field.name for field in fields(RetrievalProfile)]
    return to_csv(rows, [*names, "score", "added", "added low", "added high", "present", "suggested"])
