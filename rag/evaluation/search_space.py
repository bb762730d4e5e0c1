"""The settings that tuning tries: ways to bring both legs into one order, and how far each is from the present one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rag.retrieval.profiles import RetrievalProfile

#: Shares of the cosine in convex fusion; 0 and 1 are the two legs by themselves, which cost less.
WEIGHTS = tuple(step / 20 for step in range(1, 20))
RRF_KS = (10, 60)
DIVERSITIES = (0.1, 0.2, 0.3, 0.5)
#: Weights that diversity is tried with.
_FEW_WEIGHTS = tuple(step / 10 for step in range(1, 10))
#: What another way of fusing counts beside the difference of the weights: a whole other kind of order.
_OTHER_KIND = 0.3
_OTHER_THRESHOLD = 0.1


def list_settings(present: RetrievalProfile) -> list[RetrievalProfile]:
    """What is tried, the present profile first: nothing but its order changes, and its threshold may go.

    k and the threshold get no better order by themselves: see :mod:`rag.evaluation.trade_offs`.
    """
    orders = [*_orders(present, WEIGHTS, RRF_KS)]
    for diversity in DIVERSITIES:
        orders += [replace(order, diversity=diversity) for order in _orders(present, _FEW_WEIGHTS, RRF_KS[-1:])]
        orders.append(replace(present, diversity=diversity))
    settings = [present, replace(present, diversity=0.0), *orders]
    if present.threshold is not None:
        settings += [replace(order, threshold=None) for order in settings]
    return list(dict.fromkeys(settings))


def distances(settings: Sequence[RetrievalProfile]) -> list[float]:
    """How far each is from the first, in units of the weight; 0 for the first alone."""
    return [_distance(settings[0], other) for other in settings]


def _orders(present: RetrievalProfile, weights: Iterable[float], constants: Iterable[int]) -> list[RetrievalProfile]:
    plain = replace(present, mode="hybrid", diversity=0.0)
    return [
        *(replace(plain, fusion="convex", dense_weight=weight) for weight in weights),
        *(replace(plain, fusion="rrf", rrf_k=constant) for constant in constants),
        replace(plain, mode="dense", fusion=present.fusion),
        replace(plain, mode="lexical", fusion=present.fusion),
    ]


def _distance(present: RetrievalProfile, other: RetrievalProfile) -> float:
    apart = abs(_place(present)[0] - _place(other)[0]) + abs(present.diversity - other.diversity)
    apart += _OTHER_KIND * (_place(present)[1] != _place(other)[1])
    apart += abs(present.rrf_k - other.rrf_k) / 1000 if _place(present)[1] == _place(other)[1] == "rrf" else 0.0
    return apart + _OTHER_THRESHOLD * (present.threshold != other.threshold)


def _place(profile: RetrievalProfile) -> tuple[float, str]:
    """Where it lies between words (0) and meaning (1), and by what kind of order."""
    if profile.mode != "hybrid":
        return (1.0 if profile.mode == "dense" else 0.0), profile.mode
    if profile.fusion == "rrf":
        return 0.5, "rrf"
    return profile.dense_weight, "convex"
