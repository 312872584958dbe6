"""Whatever scores there are: intervals hold their means, are finite and in order, and nothing warns."""

from __future__ import annotations

import math

from hypothesis import example, given
from hypothesis import strategies as st

from fetchbench.statistics import Interval, binomial_variance, evidence, mean_interval, ranks, shown
from fetchbench.statistics.comparison import compare, holm, seeds_needed, suite_mean
from fetchbench.statistics.coverage import all_or_nothing_coverage, coverage_note
from fetchbench.statistics.permutation import permutation_p, smallest_p_of
from properties.strategies import some

scores = st.floats(0, 1) | st.sampled_from([0.0, -0.0, 1.0, 0.1, 1 / 3, 5e-324, 1e-160, 1 - 2**-53])
seeds = st.lists(scores, min_size=1, max_size=7)
floors = st.floats(0, 0.3) | st.sampled_from([0.0, 5e-324, 1e-200])
TASKS = ("push", "reach", "slide")


@st.composite
def suites(draw):
    """Two methods' scores on the same one to three tasks, and a floor for each."""
    tasks = TASKS[: draw(st.integers(1, 3))]
    a, b = ({task: draw(seeds) for task in tasks} for _ in "ab")
    return a, b, {task: draw(floors) for task in tasks}, {task: draw(floors) for task in tasks}


def assert_sound(found: Interval, mean: float, alone: bool) -> None:
    assert math.isclose(found.mean, mean, abs_tol=1e-12)
    assert 0 <= found.mean <= 1
    assert (found.low is None) == (found.high is None) == alone
    if found.low is not None and found.high is not None:
        assert 0 <= found.low <= found.mean <= found.high <= 1


@given(seeds, floors, st.floats(0.5, 0.999))
def test_the_interval_of_a_mean(values, floor, level):
    found = mean_interval(values, level, floor)
    assert_sound(found, math.fsum(values) / len(values), len(values) == 1)
    wider = mean_interval(values, (1 + level) / 2, floor)
    if found.low is not None:
        assert wider.low <= found.low
        assert wider.high >= found.high
    assert found == mean_interval(values, level, floor)


@given(suites())
def test_the_interval_of_a_suites_mean(found):
    a, _, floor, _ = found
    means = [math.fsum(values) / len(values) for values in a.values()]
    assert_sound(suite_mean(a, floor), math.fsum(means) / len(means), any(len(values) == 1 for values in a.values()))


@some(0.5)
@given(suites())
@example(({"push": [0.0, 5e-324]}, {"push": [0.0, 0.0]}, {}, {}))
@example(({"push": [0.5, 0.5, 0.5]}, {"push": [0.5] * 3}, {}, {}))
def test_a_comparison_and_the_same_turned_round(found):
    a, b, floors_a, floors_b = found
    one, other = compare(a, b, floors_a, floors_b, draws=50), compare(b, a, floors_b, floors_a, draws=50)
    assert -1 <= one.difference <= 1
    assert math.isclose(one.difference, -other.difference, abs_tol=1e-12)
    few = any(len(values) < 2 for side in (a, b) for values in side.values())
    assert (one.p is None) == (one.low is None) == (one.high is None) == few
    if not few:
        assert -1 <= one.low <= one.difference <= one.high <= 1
        assert one.least_p - 1e-12 <= one.p <= 1
        assert one.p == other.p
        assert not one.too_few_seeds() or not one.told(one.p)
    needed = seeds_needed(a, b, floors_a, floors_b)
    assert needed is None or 2 <= needed <= 100


@given(seeds, seeds)
def test_a_permutations_p(a, b):
    p = permutation_p([(a, b)], draws=50)
    assert smallest_p_of([(len(a), len(b))], 50) - 1e-12 <= p <= 1
    assert permutation_p([(a[::-1], b)], draws=50) == p
    assert permutation_p([(a, a)], draws=50) == 1.0


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holms_adjustment_only_raises_and_keeps_the_order(values):
    adjusted = holm(values)
    assert all(p <= higher <= 1 for p, higher in zip(values, adjusted, strict=True))
    assert [p for _, p in sorted(zip(values, adjusted, strict=True))] == sorted(adjusted)


@given(st.lists(scores | st.none(), max_size=12))
def test_ranks_are_those_of_the_numbers_that_are_shown(means):
    places = ranks(means)
    assert [place is None for place in places] == [mean is None for mean in means]
    for mean, place in zip(means, places, strict=True):
        if mean is not None:
            higher = [other for other in means if other is not None and shown(other) > shown(mean)]
            assert place == len(higher) + 1


@given(scores, st.integers(1, 2**53))
def test_the_error_of_an_evaluation(score, episodes):
    assert 0 <= binomial_variance(score, episodes) <= 0.25 / episodes + 1e-12


@some(0.1)
@given(st.integers(2, 60), st.floats(0.01, 0.99))
@example(3000, 0.6)
def test_how_often_an_interval_holds_is_a_share(number, rate):
    assert -1e-9 <= all_or_nothing_coverage(number, rate) <= 1 + 1e-9
    assert evidence(number) in ("draft", "provisional", "ranked")
    assert f"Over {number} seeds" in coverage_note([number, 1])
