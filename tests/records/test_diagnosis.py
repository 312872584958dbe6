"""What evaluations say, worked out by hand."""

from __future__ import annotations

import pytest
from leaderboard.factory import make_points

from fetchbench.records.diagnosis import score_of, solved, takeoff


@pytest.mark.parametrize(
    ("status", "successes", "last", "expected"),
    [
        ("done", (0.0, 0.2, 0.4, 0.9), 2, 0.65),
        ("done", (1.0, 0.0, 0.5), 1, 0.5),  # the last, not the best
        ("done", (0.2, 0.4), 5, 0.3),  # fewer than asked for
        ("censored", (0.2, 0.4), 2, 0.3),  # as it stood
        ("diverged", (1.0, 1.0), 2, 0.0),
        ("diverged", (), 2, 0.0),
        ("failed", (1.0, 1.0), 2, None),
        ("done", (), 2, None),
    ],
)
def test_the_score_is_the_mean_of_the_last_evaluations(status, successes, last, expected):
    score = score_of(status, make_points(successes), last)
    assert score is None if expected is None else score == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("successes", "steps"),
    [
        ((0.0, 0.2, 0.2, 0.9), 1000),  # 0.2 itself counts, and it is the first of the two
        ((0.9, 0.1, 0.3, 0.4), 1500),  # a single spike does not
        ((0.3, 0.3), 500),
        ((0.9, 0.19, 0.9, 0.19, 0.9), None),
        ((0.0, 0.0, 0.9), None),  # nothing follows it
        ((0.9,), None),
        ((), None),
    ],
)
def test_takeoff_is_the_first_of_two_in_a_row(successes, steps):
    point = takeoff(make_points(successes))
    assert (point and point.steps) == steps


def test_takeoff_tells_steps_and_updates():
    point = takeoff(make_points((0.0, 0.0, 0.5, 0.5)))
    assert (point.steps, point.updates) == (1500, 500)


@pytest.mark.parametrize(
    ("score", "expected"), [(0.8, True), (0.7999999999999999, True), (0.79999, False), (1.0, True), (0.0, False), (None, False)]
)
def test_solved_is_eight_of_ten_whatever_the_rounding(score, expected):
    assert solved(score) is expected


def test_a_mean_that_is_eight_of_ten_on_paper_is_solved():
    successes = (0.9, 0.82, 0.96, 0.72, 0.6)  # 4.0 in all; the sum in floating point is below it
    score = score_of("done", make_points(successes), 5)
    assert score < 0.8
    assert solved(score)
