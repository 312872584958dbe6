"""What policies that learn nothing score."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from fetchbench.bench.floors import at_random, main, nothing, open_loop, success_of
from fetchbench.environment import VectorEnvironment
from fetchbench.environment.floors import Floor, floor_text, floors
from fetchbench.environment.tasks import TASKS
from fetchbench.protocol import Scene


def test_the_policies():
    gripper, goal = np.zeros((2, 3)), np.array([[0.1, -0.2, 0.0], [9.0, 0.0, 0.0]])
    assert not nothing(0, gripper, goal).any()
    np.testing.assert_allclose(open_loop(0.5)(7, gripper, goal), [[0.05, -0.1, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    draws = at_random(3)
    first, second = draws(0, gripper, goal), draws(1, gripper, goal)
    assert first.shape == (2, 4)
    assert (first != second).all()
    np.testing.assert_array_equal(first, at_random(3)(0, gripper, goal))


@pytest.mark.parametrize(("policy", "lowest", "highest"), [(nothing, 0.0, 0.0), (open_loop(0.6), 0.9, 1.0)])
def test_on_reach_a_constant_action_is_enough_and_none_is_not(policy, lowest, highest):
    with VectorEnvironment(TASKS["FetchReach-v4"], Scene(), None, 10) as environment:
        success, raw = success_of(environment, TASKS["FetchReach-v4"], policy, 20, seed=5)
    assert lowest <= success <= highest
    assert raw >= success


def test_what_is_shown_was_measured():
    """Every task has its floors; those of Reach are measured again, on fewer episodes, within four standard errors."""
    for task in TASKS:
        assert [floor.policy for floor in floors(task)] == ["nothing", "random", "open-loop"]
        assert all(floor.episodes >= 500 for floor in floors(task))
        # Who does nothing keeps what is solved at reset, and solves nothing else (the arm sinks by millimetres).
        assert floors(task)[0].success <= 0.01
    assert floors("FetchPush-v4")[0].success_raw == pytest.approx(0.07, abs=0.03)
    assert floors("another") == ()
    done = CliRunner().invoke(main, ["--episodes", "40", "--task", "FetchReach-v4", "--json"])
    assert done.exit_code == 0, done.output
    for found, said in zip(json.loads(done.output)["FetchReach-v4"], floors("FetchReach-v4"), strict=True):
        again = Floor(**found)
        assert again.policy == said.policy
        error = max(0.05, 4 * (said.success * (1 - said.success) / 40) ** 0.5)
        assert again.success == pytest.approx(said.success, abs=error)


def test_a_line():
    measured = [Floor("nothing", 500, 0.0, 0.07), Floor("random", 500, 0.014, 0.08), Floor("open-loop", 500, 1.0, 1.0, 0.6)]
    assert floor_text(measured) == (
        "doing nothing 0.00 (0.07 with the episodes that are solved at reset), acting at random 0.01, "
        "the best constant action towards the goal 1.00"
    )
