"""What came of a search for better settings, as it is stored and shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rag.evaluation.resampling import Difference, Interval
from rag.evaluation.scoring import Unit
from rag.evaluation.trade_offs import Depth, Floor
from rag.evaluation.tuning import Fold, Outcome, Verdict
from rag.retrieval.profiles import RetrievalProfile


class Tried(NamedTuple):
    """One of the settings tried: what it scores, and what it adds to the present one, question by question."""

    profile: RetrievalProfile
    score: float
    added: Interval


class Latency(NamedTuple):
    """Milliseconds of a search, measured over ``searches`` of them, both settings in turn."""

    searches: int
    present_p50: float
    present_p95: float
    candidate_p50: float
    candidate_p95: float


class Changed(NamedTuple):
    """One question on which the candidate scores otherwise than the present settings."""

    question_id: int
    present: float
    candidate: float


@dataclass(frozen=True, slots=True)
class Findings:
    """``promised``: the candidate is to be taken. Without it, the present settings stay.

    ``gain`` is cross-validated and None for too few questions; ``tried`` are the present settings first, then the rest
    as they did, with what they score on all questions. ``depths`` and ``floor`` are of the candidate's order.
    """

    verdict: Verdict
    unit: Unit
    questions: int
    left_out: int
    present: RetrievalProfile
    candidate: RetrievalProfile
    scores: tuple[float, float]
    gain: Difference | None
    wins: int
    losses: int
    needed: int | None
    needed_hundredth: int | None
    folds: list[Fold]
    tried: list[Tried]
    changed: list[Changed]
    depths: list[Depth]
    enough: int | None
    floor: Floor | None
    latency: Latency | None
    model: str
    fingerprint: str

    @property
    def promised(self) -> bool:
        """Whether a gain can be promised."""
        return self.verdict == "better"

    def to_json(self) -> dict[str, Any]:
        """For the table; numbers that there are none of become null."""
        plain = asdict(self)
        plain |= {"gain": None if self.gain is None else list(self.gain)}
        plain |= {"tried": [[one.profile.to_json(), one.score, list(one.added)] for one in self.tried]}
        plain["floor"] = None if self.floor is None else asdict(self.floor)
        return dict(_finite(plain))

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Findings:
        """The inverse of :meth:`to_json`."""
        values = dict(kept)
        gain, floor, latency = values["gain"], values["floor"], values["latency"]
        values |= {
            "present": RetrievalProfile.from_json(values["present"]),
            "candidate": RetrievalProfile.from_json(values["candidate"]),
            "scores": (values["scores"][0], values["scores"][1]),
            "gain": None if gain is None else _difference(gain),
            "folds": [Fold(**fold) for fold in values["folds"]],
            "tried": [Tried(RetrievalProfile.from_json(one), score, _interval(d)) for one, score, d in values["tried"]],
            "changed": [Changed(*one) for one in values["changed"]],
            "depths": [Depth(k, _interval(recall), *rest) for k, recall, *rest in values["depths"]],
            "floor": None
            if floor is None
            else Floor(**floor | {name: _interval(floor[name]) for name in ("lost", "dropped")}),
            "latency": None if latency is None else Latency(*latency),
        }
        return cls(**values)


def outcome_values(outcome: Outcome) -> dict[str, Any]:
    """What findings take over from an outcome as it is."""
    return {
        "verdict": outcome.verdict,
        "gain": None if outcome.verdict == "few" else outcome.gain,
        "needed": outcome.needed,
        "needed_hundredth": outcome.needed_hundredth,
        "folds": outcome.folds,
    }


def _interval(values: list[Any]) -> Interval:
    mean, low, high, n = values
    return Interval(_number(mean), _number(low), _number(high), n)


def _difference(values: list[Any]) -> Difference:
    mean, low, high, p, n = values
    return Difference(_number(mean), _number(low), _number(high), _number(p), n)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _finite(value: Any) -> Any:
    """The same for JSON, which has no NaN and no tuples; floats to seven digits, which is what they are worth."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value
