"""Intervals against scipy, against simulated seeds, and at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from fetchbench.statistics import Interval, binomial_variance, mean_interval, student_quantile


@pytest.mark.parametrize("level", [0.01, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.999999])
def test_students_quantile_is_scipys(level):
    degrees = np.arange(1, 101)
    expected = scipy.stats.t.ppf((1 + level) / 2, degrees)
    assert [student_quantile(level, int(d)) for d in degrees] == pytest.approx(expected, rel=1e-9)


def test_students_quantile_from_the_tables():
    """Student's own table, two-sided 95 %."""
    table = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 30: 2.042}
    assert {d: round(student_quantile(0.95, d), 3) for d in table} == table


@pytest.mark.parametrize(("level", "degrees"), [(0.0, 3), (1.0, 3), (float("nan"), 3), (0.95, 0), (0.95, -1)])
def test_what_has_no_quantile(level, degrees):
    with pytest.raises(ValueError, match=r"must (lie in|be 1 or more)"):
        student_quantile(level, degrees)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_interval_is_scipys(n, level):
    scores = np.random.default_rng(n).uniform(0.4, 0.6, n)
    low, high = scipy.stats.t.interval(level, n - 1, scores.mean(), scipy.stats.sem(scores))
    found = mean_interval(scores.tolist(), level)
    assert (found.mean, found.low, found.high) == pytest.approx((scores.mean(), low, high))


def test_a_hand_worked_interval():
    """0.4, 0.5, 0.6: deviation 0.1, half width 4.303 * 0.1 / sqrt(3)."""
    found = mean_interval([0.4, 0.5, 0.6])
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5 - 0.24841, 0.5 + 0.24841), abs=1e-5)


def test_one_seed_has_no_interval():
    assert mean_interval([0.25]) == Interval(0.25, None, None)


def test_rates_stay_rates():
    found = mean_interval([0.0, 1.0, 1.0])
    assert (found.low, found.high) == (0.0, 1.0)


def test_seeds_that_agree_are_as_wide_as_their_evaluation():
    """Five seeds at 0.8 over 250 episodes each: the binomial error of one score is the floor."""
    floor = binomial_variance(0.8, 250)
    found = mean_interval([0.8] * 5, variance_floor=floor)
    half = scipy.stats.t.ppf(0.975, 4) * math.sqrt(floor / 5)
    assert (found.low, found.high) == pytest.approx((0.8 - half, 0.8 + half))
    assert mean_interval([0.8] * 5) == Interval(0.8, 0.8, 0.8)


def test_the_floor_does_nothing_above_itself():
    scores = [0.45, 0.5, 0.55]  # variance 0.0025
    assert mean_interval(scores, variance_floor=0.0024) == mean_interval(scores)
    assert mean_interval(scores, variance_floor=0.01).low < mean_interval(scores).low


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "no score: an interval needs at least one seed"),
        (([0.5, 1.5],), r"scores \[0.5, 1.5\]: each must lie in \[0, 1\]"),
        (([float("nan"), 0.5],), "each must lie in"),
        (([0.5, 0.5], 1.0), r"level = 1.0: must lie in \(0, 1\)"),
        (([0.5, 0.5], 0.95, -0.1), "variance_floor = -0.1: must be 0 or more"),
        (([0.5, 0.5], 0.95, float("nan")), "variance_floor = nan"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(*arguments)


def test_binomial_variance_by_hand():
    """Laplace: 40 of 50 count as 41 of 52."""
    assert binomial_variance(0.8, 50) == pytest.approx(41 / 52 * 11 / 52 / 50)
    assert binomial_variance(0.2, 50) == pytest.approx(binomial_variance(0.8, 50))


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_clean_sweep_is_strong_evidence_and_not_certainty(score):
    few, many = binomial_variance(score, 10), binomial_variance(score, 250)
    assert few > many > 0


def test_binomial_variance_follows_the_episodes_themselves():
    rng, episodes = np.random.default_rng(0), 200
    drawn = rng.binomial(episodes, 0.3, 100_000) / episodes
    assert binomial_variance(0.3, episodes) == pytest.approx(drawn.var(), rel=0.03)


@pytest.mark.parametrize(("score", "episodes"), [(0.5, 0), (-0.1, 10), (1.1, 10), (float("nan"), 10)])
def test_binomial_errors(score, episodes):
    with pytest.raises(ValueError, match="must"):
        binomial_variance(score, episodes)


EPISODES = 250  # of the last five evaluations


def coverage(seeds: int, repetitions: int = 4000) -> float:
    """How often the interval holds the truth: seeds of a method that scores 0.6 +- 0.1, each seen through its episodes."""
    rng = np.random.default_rng(seeds)
    truth = rng.normal(0.6, 0.1, (repetitions, seeds)).clip(0, 1)
    scores = rng.binomial(EPISODES, truth) / EPISODES
    hits = 0
    for row in scores.tolist():
        floor = math.fsum(binomial_variance(score, EPISODES) for score in row) / seeds
        found = mean_interval(row, variance_floor=floor)
        hits += found.low <= 0.6 <= found.high
    return hits / repetitions


@pytest.mark.parametrize("seeds", [3, 5])
def test_95_of_100_intervals_hold_the_truth(seeds):
    """Standard error of 4,000 repetitions: 0.0034. Percentile bootstraps cover 0.84 at three seeds."""
    assert coverage(seeds) == pytest.approx(0.95, abs=0.02)


def test_all_solved_and_none_solved_stand_apart():
    """Power: 5 of 5 seeds solved against 0 of 5 must separate, in spite of the floor."""
    solved, unsolved = (mean_interval([s] * 5, variance_floor=binomial_variance(s, EPISODES)) for s in (0.96, 0.04))
    assert unsolved.high < 0.1
    assert solved.low > 0.9
