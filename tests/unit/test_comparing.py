"""Two runs side by side: the same questions, the right winner, and no claim that the figures don't carry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest

from rag.errors import InvalidInput
from rag.evaluation.comparing import LATENCY, compare_runs
from rag.evaluation.runs import Result, Run
from rag.retrieval.profiles import RetrievalProfile

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def make_run(number: int, **changes: object) -> Run:
    run = Run(
        number,
        1,
        UUID(int=1),
        1,
        RetrievalProfile().to_json(),
        None,
        "Careful",
        2,
        "tiny",
        {},
        "done",
        0,
        0,
        {"unit": "document", "judgements": "same"},
        None,
        None,
        None,
        NOW,
        NOW,
        NOW,
        NOW,
    )
    return replace(run, **changes)  # type: ignore[arg-type]


def results(values: Iterable[float], latency: float = 5.0) -> list[Result]:
    return [
        Result(n, f"Question {n}?", [], {"document:ndcg@10": float(value), "char_iou": value / 2}, latency + n)
        for n, value in enumerate(values, start=1)
    ]


def test_wins_losses_and_ties_are_counted_and_tested() -> None:
    rng = np.random.default_rng(1)
    base = rng.random(60) * 0.5
    better = base + np.where(np.arange(60) % 3 == 0, 0.0, 0.2)
    found = compare_runs(make_run(1), make_run(2), results(base), results(better))
    one = found.metric("ndcg@10")
    assert (one.wins, one.losses, one.ties) == (40, 0, 20)
    assert one.difference.mean == pytest.approx(0.2 * 40 / 60)
    assert one.verdict == "better"
    assert compare_runs(make_run(2), make_run(1), results(better), results(base)).metric("ndcg@10").verdict == "worse"
    assert found.metric("char_iou").difference.mean == pytest.approx(0.1 * 40 / 60)


def test_noise_is_no_difference() -> None:
    rng = np.random.default_rng(2)
    base = rng.random(40)
    noise = rng.normal(0, 0.2, 40)
    found = compare_runs(make_run(1), make_run(2), results(base), results(base + noise - noise.mean()))
    assert found.metric("ndcg@10").verdict == "no difference"


def test_of_latency_less_is_better() -> None:
    found = compare_runs(make_run(1), make_run(2), results([0.5] * 20, latency=9), results([0.5] * 20, latency=5))
    one = found.metric(LATENCY)
    assert (one.verdict, one.wins, one.losses) == ("better", 20, 0)
    assert one.difference.mean == pytest.approx(-4)


def test_only_questions_that_both_answered_count() -> None:
    found = compare_runs(make_run(1), make_run(2), results([0.1, 0.2, 0.3]), results([0.5, 0.2])[:2])
    assert (found.shared, found.left_out) == (2, 1)
    assert found.metric("ndcg@10").before == pytest.approx(0.15)
    assert [one.question_id for one in found.changes("ndcg@10")] == [1, 2]
    assert found.changes("ndcg@10")[0].change == pytest.approx(0.4)


def test_what_cannot_be_compared_is_refused_in_words() -> None:
    with pytest.raises(InvalidInput, match="different sets"):
        compare_runs(make_run(1), make_run(2, set_id=9), results([1]), results([1]))
    with pytest.raises(InvalidInput, match="not finished"):
        compare_runs(make_run(1), make_run(2, state="running"), results([1]), results([1]))
    with pytest.raises(InvalidInput, match="no question in common"):
        compare_runs(make_run(1), make_run(2), results([1]), [])
    with pytest.raises(InvalidInput, match="no mrr"):
        compare_runs(make_run(1), make_run(2), results([1]), results([1])).metric("mrr")


def test_runs_measured_by_other_judgements_are_told() -> None:
    other = make_run(2, metrics={"unit": "document", "judgements": "others"})
    assert compare_runs(make_run(1), make_run(2), results([1]), results([1])).alike
    assert not compare_runs(make_run(1), other, results([1]), results([1])).alike


def test_where_one_run_knows_no_passages_documents_are_compared() -> None:
    by_passage = make_run(2, metrics={"unit": "passage", "judgements": "same"})
    assert compare_runs(make_run(1), by_passage, results([1]), results([1])).unit == "document"
