"""What the interval of a single task holds where seeds work or fail: exact, and what the board says of it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fetchbench.statistics import binomial_variance, mean_interval
from fetchbench.statistics.coverage import all_or_nothing_coverage, coverage_note


def test_three_seeds_by_hand():
    """Held where one or two of three work: the interval is then all of [0, 1]; not held where all agree."""
    assert all_or_nothing_coverage(3, 0.5) == pytest.approx(0.75)
    assert all_or_nothing_coverage(3, 0.6) == pytest.approx(1 - 0.6**3 - 0.4**3)
    assert all_or_nothing_coverage(2, 0.6) == pytest.approx(2 * 0.6 * 0.4)


@pytest.mark.parametrize(("seeds", "expected"), [(3, 0.72), (5, 0.91), (10, 0.94)])
def test_what_the_documentation_says(seeds, expected):
    assert round(all_or_nothing_coverage(seeds), 2) == expected


@pytest.mark.parametrize("rate", [0.6, 0.8])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_simulated_seeds_agree(seeds, rate):
    rng, floor = np.random.default_rng(seeds), binomial_variance(1.0, 250)
    working = rng.binomial(seeds, rate, 20_000)
    held = []
    for k in range(seeds + 1):
        found = mean_interval([1.0] * k + [0.0] * (seeds - k), variance_floor=floor)
        held.append(found.low <= rate <= found.high)
    assert np.mean(np.array(held)[working]) == pytest.approx(all_or_nothing_coverage(seeds, rate), abs=0.012)


def test_working_and_failing_are_alike():
    assert all_or_nothing_coverage(5, 0.2) == pytest.approx(all_or_nothing_coverage(5, 0.8))


def test_few_episodes_widen_it_by_next_to_nothing():
    assert all_or_nothing_coverage(5, episodes=20) == pytest.approx(all_or_nothing_coverage(5), abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1,), "seeds = 1: an interval needs 2 or more"),
        ((3, 0.0), r"rate = 0.0: must lie in \(0, 1\)"),
        ((3, 0.6, 1.0), r"level = 1.0: must lie in \(0, 1\)"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        all_or_nothing_coverage(*arguments)


def test_the_note_under_the_board():
    assert coverage_note([5, 3, 10, 3, 1]) == (
        "Where a seed either works or fails outright, how often the 95 % interval of a single task holds the true mean depends "
        "on how many seeds work. Over 3, 5 and 10 seeds it does so in 72, 91 and 94 of 100 cases if three seeds in five work, "
        "and in 48, 67 and 89 if four seeds in five work: look at every seed."
    )
    assert coverage_note([1]) == coverage_note([]) == ""


@pytest.mark.parametrize("seeds", range(2, 21))
def test_the_note_is_true_of_any_number_of_seeds(seeds):
    """Coverage is above 95 % here and there, as with eight seeds of which three in five work: no word may deny it."""
    first, second = (f"{100 * all_or_nothing_coverage(seeds, rate):.0f}" for rate in (0.6, 0.8))
    note = coverage_note([seeds])
    assert re.findall(r"\d+", note) == ["95", str(seeds), first, "100", second]
    assert not re.search("not in|too much|less|fewer|only", note)
