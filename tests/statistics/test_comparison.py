"""Comparing two methods: by hand, against scipy, and against simulated benchmarks whose truth is known."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.special
import scipy.stats

from fetchbench.statistics import Interval, binomial_variance, mean_interval
from fetchbench.statistics.comparison import MOST_SEEDS, Comparison, compare, detectable, holm, seeds_needed, suite_mean

EPISODES = 250  # of the last five evaluations
FOUR = (0.2, 0.4, 0.6, 0.8)
"""What a method truly scores on four tasks."""


# -- the mean over tasks ----------------------------------------------------------------------------------------------


def test_a_hand_worked_suite_mean():
    """Deviations 0.1 and 0.2, three seeds each: v = 0.01/3 and 0.04/3, df = (v1 + v2)^2 / (v1^2/2 + v2^2/2) = 50/17."""
    found = suite_mean({"one": [0.4, 0.5, 0.6], "two": [0.2, 0.4, 0.6]})
    half = scipy.stats.t.ppf(0.975, 50 / 17) * math.sqrt(0.05 / 3) / 2
    assert (found.mean, found.low, found.high) == pytest.approx((0.45, 0.45 - half, 0.45 + half))


def test_one_task_is_students_interval():
    scores, floor = [0.3, 0.5, 0.9, 0.4], 0.01
    assert suite_mean({"one": scores}, {"one": floor}, 0.9) == mean_interval(scores, 0.9, floor)


def test_tasks_with_different_numbers_of_seeds_weigh_the_same():
    found = suite_mean({"one": [1.0, 0.9], "two": [0.1] * 3 + [0.3] * 5})
    assert found.mean == pytest.approx((0.95 + 0.225) / 2)


def test_a_task_with_one_seed_leaves_the_mean_alone():
    assert suite_mean({"one": [0.4, 0.6], "two": [1.0]}) == Interval(0.75)


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_with_a_floor_no_interval_has_width_0(score):
    """Neither where all seeds agree, nor where the interval is clipped."""
    floor = {"one": binomial_variance(score, EPISODES)}
    found = suite_mean({"one": [score] * 5, "two": [score] * 5}, floor)
    assert 0 <= found.low < found.high <= 1
    other = compare({"one": [1.0] * 5}, {"one": [score] * 5}, {"one": binomial_variance(1.0, EPISODES)}, floor)
    assert -1 <= other.low < other.high <= 1


def test_the_floor_of_a_task_is_its_own():
    agreed = {"one": [0.5] * 4, "two": [0.5] * 4}
    found = suite_mean(agreed, {"two": 0.01})
    half = scipy.stats.t.ppf(0.975, 3) * math.sqrt(0.01 / 4) / 2
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({},), "no task: a suite mean needs at least one"),
        (({"one": []},), "one: no score: an interval needs at least one seed"),
        (({"one": [0.5], "two": [1.2]},), r"two: scores \[1.2\]: each must lie in \[0, 1\]"),
        (({"one": [0.5, 0.6]}, {"one": -1.0}), "one: variance_floor = -1.0: must be 0 or more"),
        (({"one": [0.5, 0.6]}, {}, 1.0), r"level = 1.0: must lie in \(0, 1\)"),
    ],
)
def test_what_has_no_suite_mean(arguments, message):
    with pytest.raises(ValueError, match=message):
        suite_mean(*arguments)


# -- two methods ------------------------------------------------------------------------------------------------------


def test_the_difference_and_its_interval_are_welchs():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.4, 0.9, 5).tolist(), rng.uniform(0.1, 0.9, 7).tolist()
    found = compare({"one": a}, {"one": b})
    expected = scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.difference == pytest.approx(np.mean(a) - np.mean(b))
    assert found.seeds == (5, 7)


def test_a_comparison_turned_round():
    rng = np.random.default_rng(1)
    a, b = ({task: rng.uniform(0, 1, n).tolist() for task in "xyz"} for n in (6, 7))
    there, back = compare(a, b, draws=500), compare(b, a, draws=500)
    assert (back.difference, back.low, back.high) == pytest.approx((-there.difference, -there.high, -there.low))
    assert (back.p, back.seeds) == (there.p, (7, 6))


def test_fewer_than_two_seeds_give_a_difference_and_nothing_else():
    found = compare({"one": [0.9], "two": [0.4, 0.4]}, {"one": [0.5, 0.3], "two": [0.4, 0.4]})
    assert (found.difference, found.low, found.high, found.p) == (pytest.approx(0.25), None, None, None)
    assert found.seeds == (1, 2)


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match=r"tasks \['one'\] and \['two'\]: a comparison needs the same tasks"):
        compare({"one": [0.5]}, {"two": [0.5]})
    with pytest.raises(ValueError, match="draws = 0: must be 1 or more"):
        compare({"one": [0.5]}, {"one": [0.5]}, draws=0)


def test_five_solved_against_none_solved_separate_even_as_one_of_six_contrasts():
    """Power on a single task: p = 2 / 252, times six is 0.048. Of ten such comparisons none could be told."""
    solved, unsolved = ({"one": [s] * 5} for s in (1.0, 0.0))
    found = compare(solved, unsolved, *({"one": binomial_variance(s, EPISODES)} for s in (1.0, 0.0)))
    assert found.p == pytest.approx(2 / 252)
    assert 0.9 < found.low < found.high == 1
    assert holm([found.p, *[1.0] * 5])[0] < 0.05 < holm([found.p, *[1.0] * 9])[0]


def test_against_ten_seeds_of_the_baseline_five_can_be_one_of_many():
    found = compare({"one": [1.0] * 5}, {"one": [0.0] * 10})
    assert found.p == pytest.approx(1 / 3003)
    assert holm([found.p] * 100)[0] < 0.05


def test_told_apart_by_p_and_the_interval_together():
    """-0.05 [-0.11, +0.01] with p < 0.001 is nothing to call worse."""
    both, p_alone = Comparison(-0.05, -0.11, -0.01, 0.0005, (5, 10)), Comparison(-0.05, -0.11, 0.01, 0.0005, (5, 10))
    assert both.told(both.p)
    assert not both.told(0.05)  # adjusted
    assert not p_alone.told(p_alone.p)
    assert Comparison(0.05, 0.01, 0.11, 0.01, (5, 10)).told(0.01)
    single = Comparison(-0.05, None, None, None, (1, 10))
    assert not single.told(single.p)


def test_too_few_seeds_to_tell_whatever_the_scores():
    """One task: 3 against 3 never, 5 against 5 as one of six comparisons and not of seven."""
    few, five = ({"one": [0.5] * n} for n in (3, 5))
    assert compare(few, few).too_few_seeds()
    assert not compare(five, five).too_few_seeds(6)
    assert compare(five, five).too_few_seeds(7)
    mixed = {"one": [0.5] * 3, "two": [0.5] * 2}
    assert compare(mixed, mixed).least_p == pytest.approx(2 / 120)
    assert compare({"one": [0.5]}, few).too_few_seeds()


# -- simulated benchmarks ---------------------------------------------------------------------------------------------


def unimodal(rng: np.random.Generator, rates: tuple[float, ...], seeds: int, repetitions: int) -> np.ndarray:
    """Seeds whose true rates are beta distributed (a + b = 15: deviations about 0.12), seen through their episodes."""
    truths = [rng.beta(15 * rate, 15 * (1 - rate), (repetitions, seeds)) for rate in rates]
    return rng.binomial(EPISODES, np.stack(truths, axis=1)) / EPISODES  # (repetitions, tasks, seeds)


def all_or_nothing(rng: np.random.Generator, rates: tuple[float, ...], seeds: int, repetitions: int) -> np.ndarray:
    """Seeds that score 1 or 0."""
    return np.stack([rng.random((repetitions, seeds)) < rate for rate in rates], axis=1).astype(float)


def benchmark(cells: list[list[float]]) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Scores and floors, as the board has them."""
    scores = {f"task{k}": seeds for k, seeds in enumerate(cells)}
    return scores, {task: math.fsum(binomial_variance(s, EPISODES) for s in of) / len(of) for task, of in scores.items()}


def coverage(draw, rates: tuple[float, ...], seeds: int, repetitions: int = 4000) -> float:
    """How often the interval holds the true mean. Standard error at 4,000 repetitions and 95 %: 0.0034."""
    truth, held = sum(rates) / len(rates), 0
    for cells in draw(np.random.default_rng(seeds), rates, seeds, repetitions).tolist():
        found = suite_mean(*benchmark(cells))
        held += found.low <= truth <= found.high
        assert found.low < found.high
    return held / repetitions


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("rates", [FOUR, (0.6,)], ids=["four tasks", "one task"])
def test_95_of_100_intervals_hold_the_truth(rates, seeds):
    """Percentile bootstraps cover 0.84, 0.90 and 0.92 here."""
    assert coverage(unimodal, rates, seeds) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("seeds", "expected"), [(3, 0.98), (5, 0.955), (10, 0.952)])
def test_all_or_nothing_seeds_are_covered_over_four_tasks(seeds, expected):
    """At three seeds more than promised: that all seeds of all four tasks agree is rare. One task: ``test_coverage.py``."""
    assert coverage(all_or_nothing, FOUR, seeds) == pytest.approx(expected, abs=0.01)


def test_all_or_nothing_seeds_that_nearly_always_work_are_not_covered_over_four_tasks_either():
    """What the interval cannot do: with three seeds of methods that work nine times in ten, it often sees no spread."""
    assert coverage(all_or_nothing, (0.8, 0.8, 0.9, 0.95), 3, 2000) == pytest.approx(0.83, abs=0.02)


def share_told(draw, rates: tuple[float, ...], seeds: int, better_by: float = 0.0, repetitions: int = 1000) -> float:
    """How often a method that is truly better by so much on each task is told from the other at 5 %."""
    rng = np.random.default_rng(seeds)
    first = draw(rng, tuple(rate + better_by for rate in rates), seeds, repetitions).tolist()
    second = draw(rng, rates, seeds, repetitions).tolist()
    told = 0
    for number, (a, b) in enumerate(zip(first, second, strict=True)):
        (scores_a, floors_a), (scores_b, floors_b) = benchmark(a), benchmark(b)
        # Few draws, for speed; other ones each time, as one and the same few would favour some outcomes.
        found = compare(scores_a, scores_b, floors_a, floors_b, draws=500, seed=number)
        told += found.told(found.p)
    return told / repetitions


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("draw", [unimodal, all_or_nothing])
def test_equal_methods_are_told_apart_at_most_6_times_in_100(draw, seeds):
    assert share_told(draw, FOUR, seeds, repetitions=3000 if seeds == 5 else 1000) <= 0.06


@pytest.mark.parametrize("draw", [unimodal, all_or_nothing])
def test_so_are_equal_methods_on_one_task(draw):
    """Three against three are never told apart: no p is below 0.1."""
    assert share_told(draw, (0.6,), 3) == 0
    assert share_told(draw, (0.6,), 5) <= 0.06


def shares_told(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """How often p alone is below 0.05, and how often that is told as a difference, on one task: scores ``(repetitions, n)``."""
    found = []
    for one, other in zip(a.tolist(), b.tolist(), strict=True):
        (scores_a, floors_a), (scores_b, floors_b) = benchmark([one]), benchmark([other])
        outcome = compare(scores_a, scores_b, floors_a, floors_b)
        found.append((outcome.p < 0.05, outcome.told(outcome.p)))
    alone, told = np.mean(found, axis=0).tolist()
    return alone, told


def spread(rng: np.random.Generator, mean: float, deviation: float, seeds: int, repetitions: int = 2000) -> np.ndarray:
    """Beta distributed scores."""
    total = mean * (1 - mean) / deviation**2 - 1
    return rng.beta(mean * total, (1 - mean) * total, (repetitions, seeds))


@pytest.mark.parametrize(("mean", "alone", "told"), [(0.5, 0.22, 0.06), (0.7, 0.24, 0.07), (0.8, 0.26, 0.11)])
def test_five_seeds_against_ten_of_another_spread(mean, alone, told):
    """Equal means, deviations 0.20 and 0.02. What the interval keeps out, and what is left where the scores are skewed."""
    rng = np.random.default_rng(6)
    found = shares_told(spread(rng, mean, 0.20, 5), spread(rng, mean, 0.02, 10))
    assert found == pytest.approx((alone, told), abs=0.02)


def test_all_or_nothing_against_a_steady_method_of_the_same_mean():
    """All five seeds work in 0.8^5 = 0.328 of cases, and no test of five such seeds can know that one might have failed."""
    rng = np.random.default_rng(7)
    five = (rng.random((2000, 5)) < 0.8).astype(float)
    ten = rng.binomial(EPISODES, 0.8, (2000, 10)) / EPISODES
    assert shares_told(five, ten) == pytest.approx((0.38, 0.33), abs=0.025)


def test_a_difference_on_every_task_is_found():
    """The power that :func:`detectable` promises: 0.1 over four tasks takes four to five seeds; ten are plenty."""
    assert share_told(unimodal, FOUR, 5, better_by=0.1, repetitions=400) == pytest.approx(0.77, abs=0.06)
    assert share_told(unimodal, FOUR, 10, better_by=0.1, repetitions=200) > 0.93
    assert share_told(all_or_nothing, (0.1, 0.1), 5, better_by=0.8, repetitions=200) > 0.95


# -- several comparisons, and planning --------------------------------------------------------------------------------


def test_holm_by_hand():
    """Sorted 0.01, 0.03, 0.04: times 3, 2 and 1, and never below the one before."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([0.9, 0.9]) == [1.0, 1.0]
    assert (holm([]), holm([0.02])) == ([], [0.02])
    with pytest.raises(ValueError, match=r"p-values \[1.5\]: each must lie in \[0, 1\]"):
        holm([1.5])


def test_holm_tells_nothing_that_holds_for_all_more_often_than_promised():
    rng = np.random.default_rng(0)
    assert np.mean([min(holm(row)) < 0.05 for row in rng.random((2000, 6)).tolist()]) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize(
    ("deviation", "tasks", "expected"),
    [(0.10, 1, (0.30, 0.20, 0.13)), (0.10, 4, (0.12, 0.09, 0.06)), (0.38, 4, (0.46, 0.35, 0.24))],
)
def test_the_difference_that_can_be_detected(deviation, tasks, expected):
    """At 3, 5 and 10 seeds."""
    assert [round(detectable(deviation, seeds, tasks), 2) for seeds in (3, 5, 10)] == pytest.approx(expected, abs=0.0051)


@pytest.mark.parametrize("tasks", [1, 2, 4])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 30])
@pytest.mark.parametrize(("power", "off", "off_with_two"), [(0.8, 0.013, 0.055), (0.9, 0.021, 0.10)])
def test_the_noncentral_t_says_nearly_the_same(seeds, tasks, power, off, off_with_two):
    """Which is exact for normal seeds."""
    degrees = 2 * (seeds - 1) * tasks
    critical = scipy.stats.t.ppf(0.975, degrees)
    noncentrality = detectable(1.0, seeds, tasks, power) / math.sqrt(2 / (seeds * tasks))
    assert scipy.stats.nct.sf(critical, degrees, noncentrality) == pytest.approx(power, abs=0.05 if seeds == 2 else 0.012)
    exact = scipy.special.nctdtrinc(degrees, 1 - power, critical)
    assert -0.001 < exact / noncentrality - 1 < (off_with_two if seeds == 2 else off)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1, 3), "deviation = -0.1: must be 0 or more"),
        ((0.1, 1), "seeds = 1, tasks = 1: needs 2 seeds and 1 task or more"),
        ((0.1, 3, 0), "tasks = 0"),
        ((0.1, 3, 1, 0.4), r"power = 0.4: must lie in \[0.5, 1\)"),
        ((0.1, 3, 1, 0.8, 1.0), r"level = 1.0: must lie in \(0, 1\)"),
    ],
)
def test_what_cannot_be_planned(arguments, message):
    with pytest.raises(ValueError, match=message):
        detectable(*arguments)


def test_the_seeds_that_a_difference_needs():
    """Deviation 0.1 on one task: 0.2 is just detectable by five seeds, not by four."""
    a, b = {"one": [0.6, 0.7, 0.8]}, {"one": [0.4 - 0.003, 0.5 - 0.003, 0.6 - 0.003]}
    assert detectable(0.1, 5) < 0.203 < detectable(0.1, 4)
    assert seeds_needed(a, b) == 5
    assert seeds_needed(b, a) == 5


def test_no_spread_lets_a_permutation_of_three_seeds_tell():
    """Not so few that no p could be below 0.05: four on one task, three on two."""
    far = {"one": [1.0] * 3}, {"one": [0.0] * 3}
    assert seeds_needed(*far) == 4
    assert seeds_needed(*({"one": of["one"], "two": of["one"]} for of in far)) == 3


def test_where_no_number_of_seeds_can_be_named():
    same, single = {"one": [0.4, 0.6]}, {"one": [0.9]}
    assert seeds_needed(same, same) is None
    assert seeds_needed(same, single) is None
    nearly = {"one": [0.41, 0.60]}
    assert seeds_needed(same, nearly) is None
    assert detectable(0.14, MOST_SEEDS) > 0.005


def test_the_package_stays_light():
    """A board of single tasks is rendered without scipy, and the package imports without numpy."""
    code = (
        "import sys, fetchbench.statistics; assert 'numpy' not in sys.modules; import fetchbench.statistics.comparison as c; "
    )
    code += "c.suite_mean({'one': [0.5, 0.6]}); c.detectable(0.1, 3); assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
