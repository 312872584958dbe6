"""What a method is, in one line."""

from __future__ import annotations

from fetchbench.leaderboard.cells import varies
from fetchbench.records.schema import Component, Method


def test_the_usual_goal_space_goes_without_saying_and_a_changed_one_does_not():
    assert varies(Method(name="m", track="state")) == "state"
    changed = Component(name="vector", options={"hindsight": False})
    assert varies(Method(name="m", track="state", goal_space=changed)) == "state · vector(hindsight=False)"
