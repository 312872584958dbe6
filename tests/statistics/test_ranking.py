"""Ranks, ties and what a number of seeds is worth."""

from __future__ import annotations

import math

import pytest

from fetchbench.statistics import evidence, ranks, shown


def test_evidence():
    assert [evidence(n) for n in range(7)] == ["draft", "draft", "draft", "provisional", "provisional", "ranked", "ranked"]


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([0.5, 0.9, 0.1], [2, 1, 3]),
        ([0.811, 0.9, 0.809], [2, 1, 2]),  # both read 0.81
        ([0.9, 0.9, 0.9, 0.1], [1, 1, 1, 4]),  # the next rank is skipped
        ([0.9, 0.9, 0.5, 0.5, 0.4], [1, 1, 3, 3, 5]),
        ([None, 0.2, None, 0.3], [None, 2, None, 1]),
        ([0.0, None], [1, None]),
        ([None], [None]),
        ([], []),
    ],
)
def test_ranks(means, expected):
    assert ranks(means) == expected


def test_the_digits_that_are_shown_decide():
    assert ranks([0.811, 0.809], decimals=3) == [1, 2]
    assert ranks([0.84, 0.76], decimals=1) == [1, 1]


def test_ranks_do_not_depend_on_the_order():
    means = [0.3, 0.7, 0.7, 0.1, 0.9]
    backwards = ranks(means[::-1])[::-1]
    assert ranks(means) == backwards


def test_noise_of_a_sum_decides_nothing():
    """The same successes, added up in another order."""
    below, above = math.nextafter(0.625, 0), math.nextafter(0.625, 1)
    assert f"{below:.2f}" != f"{above:.2f}"
    assert shown(below) == shown(0.625) == shown(above)
    assert ranks([below, above, 0.625]) == [1, 1, 1]


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (1.0, 1.0), (0.994, 0.99), (0.996, 1.0), (0.005001, 0.01)])
def test_what_is_shown(value, expected):
    assert shown(value) == expected
