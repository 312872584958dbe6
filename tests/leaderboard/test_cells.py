"""What a method is, in one line, and single numbers."""

from __future__ import annotations

import pytest

from fetchbench.leaderboard.cells import correlation, varies
from fetchbench.records.schema import Component, Method


def test_the_usual_goal_space_goes_without_saying_and_a_changed_one_does_not():
    assert varies(Method(name="m", track="state")) == "state"
    changed = Component(name="vector", options={"hindsight": False})
    assert varies(Method(name="m", track="state", goal_space=changed)) == "state · vector(hindsight=False)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0.00"),
        (-0.001, "0.00"),
        (0.001, "0.00"),
        (-0.2749999999999999, "-0.28"),
        (0.3, "0.30"),
        (1.0, "1.00"),
    ],
)
def test_a_rank_correlation_may_be_negative_but_not_a_negative_0(value, text):
    assert correlation(value) == text
