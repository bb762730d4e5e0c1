"""Intervals and paired tests against known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rag.evaluation.resampling import intervals, paired_difference, quantile_interval


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 400)
    found = intervals(values)[0]
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.002)
    assert found.n == 400


def test_about_95_of_100_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(2)
    covered = [low <= 0.3 <= high for _, low, high, _ in intervals(rng.binomial(1, 0.3, (200, 200)))]
    assert 0.90 <= np.mean(covered) <= 0.985


def test_the_same_in_gives_the_same_out() -> None:
    values = np.random.default_rng(3).random((50, 2))
    assert intervals(values) == intervals(values)
    assert paired_difference(values[:, 0], values[:, 1]) == paired_difference(values[:, 0], values[:, 1])


def test_questions_without_a_metric_are_left_out_of_it() -> None:
    full, partial, none = intervals([[1.0, 1.0, math.nan], [0.0, math.nan, math.nan], [0.5, 0.0, math.nan]])
    assert (full.mean, full.n) == (0.5, 3)
    assert (partial.mean, partial.n) == (0.5, 2)
    assert none.n == 0
    assert math.isnan(none.mean)
    assert math.isnan(none.low)


def test_intervals_of_all_metrics_come_from_the_same_resamples() -> None:
    values = np.random.default_rng(4).random(60)
    one, twice = intervals(np.stack([values, 2 * values], axis=1))
    assert (twice.low, twice.high) == pytest.approx((2 * one.low, 2 * one.high))


def test_the_p_value_is_the_exact_one_of_the_randomisation_test() -> None:
    # Of the 2⁶ ways to swap six equal gains, two are as large as what was seen.
    found = paired_difference(np.zeros(6), np.full(6, 0.1), resamples=20_000)
    assert found.p == pytest.approx(2 / 64, abs=0.005)
    assert found.mean == pytest.approx(0.1)


def test_equal_runs_do_not_differ() -> None:
    values = np.random.default_rng(5).random(30)
    assert paired_difference(values, values) == (0.0, 0.0, 0.0, 1.0, 30)


def test_a_clear_gain_is_seen_and_pure_noise_is_not() -> None:
    rng = np.random.default_rng(6)
    base, noise = rng.random(200), rng.normal(0, 0.1, 200)
    gain = paired_difference(base, base + 0.05 + noise)
    assert gain.p < 0.001
    assert gain.low > 0
    assert paired_difference(base, base + noise - noise.mean()).p > 0.9


def test_only_pairs_are_compared() -> None:
    found = paired_difference([1.0, math.nan, 0.0], [0.5, 1.0, math.nan])
    assert (found.mean, found.n) == (-0.5, 1)
    assert paired_difference([math.nan], [1.0]).n == 0


def test_a_quantile_has_an_interval_around_it() -> None:
    values = np.random.default_rng(7).random(500)
    median = quantile_interval(values, 0.5)
    assert median.low < median.mean < median.high
    assert median.mean == pytest.approx(np.median(values))
    assert 0.02 < median.high - median.low < 0.15
    assert quantile_interval([], 0.5).n == 0
