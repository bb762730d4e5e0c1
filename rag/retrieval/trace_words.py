"""An explanation as text, as rows of a table, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from rag.retrieval.trace_records import Explanation, Outcome, Stage

#: The columns of :func:`as_rows`.
COLUMNS = ("number", "stage", "outcome", "what happened", "figures", "advice")

OUTCOMES: dict[Outcome, str] = {
    "passed": "passed",
    "lost": "lost here",
    "would_pass": "would then pass",
    "would_lose": "would then be lost",
    "unknown": "can't be said",
}
_MARKS: dict[Outcome, str] = {"passed": "✓", "lost": "✗", "would_pass": "·", "would_lose": "×", "unknown": "?"}


def as_text(explanation: Explanation) -> str:
    """The chain, one stage a line, with the advice under the stage that lost it."""
    lines = [f"Question: {explanation.question}", f"Looked for: {describe_target(explanation)}", ""]
    for number, stage in enumerate(explanation.stages, 1):
        head = f"{_MARKS[stage.outcome]} {number:>2}. {stage.title}: "
        after = f" ({OUTCOMES[stage.outcome]})" if stage.outcome in ("would_pass", "would_lose", "lost") else ""
        lines.append(textwrap.fill(head + stage.words + after, 100, subsequent_indent=" " * 6))
        if stage.outcome == "lost":
            lines += [f"      → {words}" for words in _advice(stage)]
    if explanation.cure is not None:
        lines.append(f"      → {explanation.cure.words} Tried: it is there then.")
    return "\n".join([*lines, "", explanation.headline])


def describe_target(explanation: Explanation) -> str:
    """What was looked for, and the chunk that was followed."""
    target = explanation.target
    if target.ordinal is None:
        return explanation.wanted
    chunk = f"chunk {target.ordinal + 1:,}"
    return (
        f"{explanation.wanted}, {chunk} of {target.document}"
        if target.document != explanation.wanted
        else (f"{explanation.wanted}, {chunk}")
    )


def as_rows(explanation: Explanation) -> list[dict[str, Any]]:
    """A row a stage."""
    return [
        {
            "number": number,
            "stage": stage.title,
            "outcome": OUTCOMES[stage.outcome],
            "what happened": stage.words,
            "figures": describe_figures(stage.figures),
            "advice": " ".join(_advice(stage)),
        }
        for number, stage in enumerate(explanation.stages, 1)
    ]


def describe_figures(figures: Mapping[str, Any]) -> str:
    """``rank 12, of 4,812``; what has no value is left out."""
    return ", ".join(f"{name} {_value(value)}" for name, value in figures.items() if value not in (None, [], ""))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else f"{value}"


def _advice(stage: Stage) -> list[str]:
    return [advice.words + (" Tried: it is there then." if advice.checked else "") for advice in stage.advice]


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The documented shape of ``corpuscope why --json``."""
    target = explanation.target
    return {
        "question": explanation.question,
        "wanted": explanation.wanted,
        "document": target.document,
        "chunk": None if target.ordinal is None else target.ordinal + 1,
        "start": target.start,
        "end": target.end,
        "rank": explanation.rank,
        "lost_at": explanation.lost_at,
        "stages": [
            {
                "stage": stage.name,
                "outcome": stage.outcome,
                "words": stage.words,
                "figures": stage.figures,
                "advice": [{"words": a.words, "fix": a.fix, "tried": a.checked} for a in stage.advice],
            }
            for stage in explanation.stages
        ],
        "cure": explanation.cure.fix if explanation.cure else None,
    }
