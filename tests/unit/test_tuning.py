"""The choice of better settings: it finds what is better, keeps what is there otherwise, and says how sure it is."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from rag.evaluation.findings import Findings
from rag.evaluation.search_space import distances, list_settings
from rag.evaluation.trade_offs import ENOUGH, KS, Shown, compare_depths, enough, find_floor
from rag.evaluation.tuning import FOLDS, LEAST_CHANGED, REPEATS, choose, questions_needed, tune_settings
from rag.retrieval.profiles import RetrievalProfile
from tests.integration.tuned import make_findings, make_values

PRESENT = RetrievalProfile()
SETTINGS = list_settings(PRESENT)
APART = distances(SETTINGS)


@pytest.mark.parametrize("best", [0.1, 0.3, 0.95])
def test_the_best_weight_is_found(best: float) -> None:
    outcome = tune_settings(make_values(SETTINGS, 150, best, 2.0), APART)
    chosen = SETTINGS[outcome.chosen]
    assert outcome.verdict == "better"
    assert abs(chosen.dense_weight - best) <= 0.15
    # Nearer to the present ones than the best is, rather than beyond it.
    assert abs(chosen.dense_weight - PRESENT.dense_weight) <= abs(best - PRESENT.dense_weight)
    assert outcome.gain.low > 0
    assert len(outcome.folds) == FOLDS * REPEATS


def test_where_nothing_is_better_nothing_is_promised() -> None:
    """Noise alone: of 40 sets, a test at .05 by itself would promise something for several, choosing among 71."""
    promised = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = rng.uniform(0, 1, 60) + rng.normal(0, 0.1, (len(SETTINGS), 60))
        promised += tune_settings(values, APART).verdict == "better"
    assert promised <= 2


def test_the_present_settings_stay_where_they_are_the_best() -> None:
    outcome = tune_settings(make_values(SETTINGS, 200, 0.6, 3.0), APART)
    assert (outcome.chosen, outcome.verdict) in [(0, "same"), (0, "unsure")]
    assert outcome.needed_hundredth is not None


def test_the_same_in_the_same_out() -> None:
    values = make_values(SETTINGS, 80, 0.2, 1.0)
    assert tune_settings(values, APART) == tune_settings(values.copy(), APART)


def test_fewer_than_twenty_questions_are_refused() -> None:
    outcome = tune_settings(make_values(SETTINGS, 19, 0.0, 9.0), APART)
    assert (outcome.verdict, outcome.chosen, outcome.folds) == ("few", 0, [])
    assert tune_settings(make_values(SETTINGS, 20, 0.0, 9.0), APART).verdict == "better"


def test_a_gain_in_a_handful_of_questions_is_a_coincidence() -> None:
    values = np.full((3, 200), 0.5)
    values[1, : LEAST_CHANGED - 1] = 1.0
    assert tune_settings(values, [0.0, 0.5, 1.0]).verdict == "unsure"
    values[1, :40] = 1.0
    assert tune_settings(values, [0.0, 0.5, 1.0]).verdict == "better"


def test_a_real_gain_that_is_tiny_is_not_worth_a_change() -> None:
    rng = np.random.default_rng(0)
    values = np.tile(rng.uniform(0.2, 0.8, 300), (2, 1))
    values[1] += 0.004
    outcome = tune_settings(values, [0.0, 0.1])
    assert outcome.gain.low > 0
    assert (outcome.verdict, outcome.chosen, outcome.candidate) == ("unsure", 0, 1)


def test_the_nearest_within_a_standard_error_is_chosen() -> None:
    rng = np.random.default_rng(1)
    base = rng.uniform(0, 1, 100)
    ahead = base + rng.normal(0.1, 0.1, 100)
    noise = rng.normal(0, 0.05, 100)
    values = np.stack([base, ahead, ahead + noise - noise.mean() - 0.001])
    assert choose(values, [0.0, 0.9, 0.2]) == 2
    assert choose(values, [0.0, 0.2, 0.9]) == 1
    assert choose(np.tile(base, (3, 1)), [0.0, 0.2, 0.9]) == 0


def test_how_many_questions_a_gain_takes() -> None:
    # A paired test at .05 with a power of .8: (2.80 * spread / gain)² (Cohen 1988).
    assert questions_needed(0.2, 0.02) == 785
    assert questions_needed(0.01, 0.5) == 20
    assert questions_needed(0.0, 0.1) is None
    assert questions_needed(0.1, 0.0) is None


@pytest.mark.parametrize(
    "present",
    [
        PRESENT,
        RetrievalProfile(mode="dense", k=3, neighbours=2, ef_search=50),
        RetrievalProfile(fusion="rrf", rrf_k=30, diversity=0.4),
        RetrievalProfile(dense_weight=0.33, threshold=0.2),
    ],
)
def test_the_settings_tried_change_nothing_but_the_order(present: RetrievalProfile) -> None:
    settings = list_settings(present)
    apart = distances(settings)
    assert settings[0] == present
    assert len(set(settings)) == len(settings)
    assert apart[0] == 0
    assert min(apart[1:]) > 0
    for one in settings:
        assert (one.k, one.ef_search, one.neighbours, one.rerank) == (
            present.k,
            present.ef_search,
            present.neighbours,
            present.rerank,
        )
        assert one.threshold in (present.threshold, None)
    assert replace(present, diversity=0.0) in settings


def test_findings_outlive_json() -> None:
    for found in (make_findings(40, question_ids=(1, 2)), make_findings(7)):
        kept = json.loads(json.dumps(found.to_json(), allow_nan=False))
        again = Findings.from_json(kept)
        assert json.dumps(again.to_json()) == json.dumps(kept)
        assert (again.verdict, again.candidate, again.present) == (found.verdict, found.candidate, found.present)
        assert (again.gain is None) == (found.gain is None)


def make_shown(rng: np.random.Generator, relevant: int = 4) -> Shown:
    """Fifty passages; the relevant are among the first 25, with similarities from .5 on; the others' are 0 to .8."""
    grades = np.zeros(50, np.int64)
    grades[rng.choice(25, relevant, replace=False)] = 1
    similarity = np.where(grades > 0, rng.uniform(0.5, 1, 50), rng.uniform(0, 0.8, 50)).astype(np.float32)
    return Shown(similarity, grades, np.arange(50), np.full(50, 100), relevant + 1)


def test_a_threshold_is_the_highest_that_loses_next_to_nothing() -> None:
    rng = np.random.default_rng(2)
    questions = [make_shown(rng) for _ in range(80)]
    floor = find_floor(questions, 50)
    assert floor is not None
    assert floor.worth
    assert 0.48 <= floor.threshold <= 0.53
    assert floor.lost.mean <= 0.01
    assert floor.dropped.mean == pytest.approx(0.63, abs=0.04)


def test_no_threshold_is_worth_having_where_it_would_cost_answers() -> None:
    rng = np.random.default_rng(2)
    questions = [replace(make_shown(rng), similarity=rng.uniform(0, 1, 50).astype(np.float32)) for _ in range(80)]
    floor = find_floor(questions, 50)
    assert floor is not None
    assert not floor.worth
    nothing = [replace(one, similarity=np.full(50, np.nan, np.float32)) for one in questions]
    assert find_floor(nothing, 50) is None


def test_more_passages_find_more() -> None:
    rng = np.random.default_rng(2)
    depths = compare_depths([make_shown(rng) for _ in range(40)])
    recalls = [depth.recall.mean for depth in depths]
    assert [depth.k for depth in depths] == list(KS)
    assert recalls == sorted(recalls)
    assert recalls[-1] == pytest.approx(0.8)
    assert depths[0].characters == 100
    k = enough(depths)
    assert k is not None
    assert recalls[KS.index(k)] >= ENOUGH * recalls[-1] > recalls[KS.index(k) - 1]
    assert enough([]) is None
    assert not math.isnan(depths[0].precision)
