"""The loop and its pieces, on a real environment without pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fetchbench.environment import Observations, VectorEnvironment, get_task
from fetchbench.learner.build import Built
from fetchbench.run.evaluation import evaluate
from fetchbench.run.prepare import build_request
from fetchbench.run.rollout import Rollout
from fetchbench.run.trainer import Trainer, crossed

from .conftest import SMALL, make_request

REACH = get_task("FetchReach-v4")


def test_crossed():
    assert [crossed(*c) for c in ((0, 50, 50), (50, 100, 60), (100, 119, 60), (90, 130, 20), (0, 49, 50))] == [
        True,
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("environments", "rate", "updates"),
    [(1, 2.0, 200), (2, 0.25, 25)],
)
def test_updates_per_step_count_from_the_end_of_warm_up(registry, tmp_path, environments, rate, updates):
    """200 steps, half of them warm-up."""
    learner = SMALL["learner"].model_copy(update={"environments": environments, "updates_per_step": rate})
    budget = SMALL["budget"].model_copy(update={"steps": 200})
    request = make_request(registry, None, learner=learner, budget=budget)
    built = build_request(request, registry)
    with VectorEnvironment(REACH, request.scene, None, environments) as environment:
        trainer = Trainer(request, built, environment, tmp_path)
        assert trainer.train()
    assert trainer.steps == 200
    assert trainer.learner.updates == updates


class Scripted:
    """Plays back episodes: each seed is a start distance and a final distance from the goal."""

    def __init__(self, episodes: dict[int, tuple[float, float]]) -> None:
        self.count, self._episodes, self._step = 1, episodes, 0

    def reset(self, seeds):
        self._now, self._step = self._episodes[seeds[0]], 0
        return self._state()

    def step_async(self, action):
        self._step += 1

    def step_wait(self):
        return self._state()

    def _state(self):
        start, end = self._now
        achieved = np.zeros((1, 3))
        achieved[0, 0] = start if self._step < 45 else end
        return Observations(np.zeros((1, 10)), achieved, np.zeros((1, 3)), None)


def test_only_episodes_unsolved_at_reset_count(registry):
    built: Built = build_request(make_request(registry, None), registry)
    #           solved at reset      solved late      never          solved at reset, left   solved late
    episodes = {0: (0.0, 0.0), 1: (0.3, 0.01), 2: (0.3, 0.2), 3: (0.01, 0.5), 4: (0.3, 0.02)}
    point = evaluate(Scripted(episodes), REACH, built, lambda i: i, count=3, steps=77)
    assert (point.episodes, point.drawn, point.steps) == (3, 5, 77)
    assert point.success == pytest.approx(2 / 3)
    assert point.success_any == pytest.approx(2 / 3)
    assert point.success_last_ten == pytest.approx(2 / 3 * 6 / 10)  # at steps 45 to 50 of 41 to 50
    assert point.success_raw == pytest.approx(3 / 5)
    assert point.return_mean == pytest.approx((-44 - 44 - 50) / 3)
    assert point.distance_m == pytest.approx((0.01 + 0.2 + 0.02) / 3, abs=1e-6)


def test_a_rollout_becomes_the_episodes_that_the_replay_stores(registry):
    request = make_request(registry, None)
    built = build_request(request, registry)
    with VectorEnvironment(REACH, request.scene, None, 2) as environment:
        rollout = Rollout(environment, REACH, built, [2, 4])
        actions = []
        while not rollout.over:
            actions.append(rollout.act(torch.zeros(2, 4)))
            rollout.begin(actions[-1])
            rollout.finish()
        episodes = rollout.episodes()
        first = environment.reset([2, 4])
        second = environment.step(actions[0])
    np.testing.assert_array_equal(episodes.action, np.stack(actions, axis=1))
    np.testing.assert_allclose(episodes.observation[:, 0], first.observation, rtol=1e-6)
    np.testing.assert_allclose(episodes.observation[:, 1], second.observation, rtol=1e-6)
    np.testing.assert_allclose(episodes.achieved[:, 1], second.achieved, rtol=1e-6)
    np.testing.assert_allclose(episodes.desired, first.desired, rtol=1e-6)


def test_a_blind_policy_of_pixels_only_sees_the_goal_alone(registry):
    built = build_request(make_request(registry, None), registry)
    assert built.vectors.dim == 0
    assert built.learner.actor.inputs.width == 3


def test_the_state_track_sees_all(registry):
    built = build_request(make_request(registry, None, track="state"), registry)
    assert built.learner.actor.inputs.width == 10 + 3
