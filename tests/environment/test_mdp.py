"""Drawing frames does not change the task: the workers' environments equal bare ones that are never rendered."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest

from fetchbench.environment import TASKS, Task, VectorEnvironment
from fetchbench.protocol import Scene
from fetchbench.specs import PixelSpec


@pytest.fixture(scope="module", params=TASKS.values(), ids=lambda task: task.id)
def task(request) -> Task:
    return request.param


@pytest.fixture(scope="module")
def environment(task) -> Iterator[VectorEnvironment]:
    with VectorEnvironment(task, Scene(marker="shown"), PixelSpec(size=32), 1) as made:
        yield made


@pytest.fixture(scope="module")
def bare(task) -> Iterator[gymnasium.Env]:
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    made = gymnasium.make(task.id)
    yield made
    made.close()


def towards_the_object(observation: np.ndarray, task: Task, step: int) -> np.ndarray:
    """Goes to the object, touches it, closes the fingers around it and drags it along."""
    if not task.has_object:
        return np.array([1, -0.5, 0.5, 0] if step % 20 < 10 else [-1, 0.5, -1, 0], np.float32)
    to_object = observation[3:6] - observation[:3]
    if step < 30:
        return np.array([*np.clip(10 * to_object, -1, 1), 1 if step < 20 else -1], np.float32)
    return np.array([0.6, 0.4, 0.3, -1], np.float32)


def test_observations_rewards_and_goals_equal_a_bare_environments(environment, bare, task):
    seen, (expected, _) = environment.reset([7]), bare.reset(seed=7)
    start = expected["achieved_goal"].copy()
    for step in range(task.horizon + 1):
        np.testing.assert_array_equal(seen.observation[0], expected["observation"])
        np.testing.assert_array_equal(seen.achieved[0], expected["achieved_goal"])
        np.testing.assert_array_equal(seen.desired[0], expected["desired_goal"])
        if step == task.horizon:
            break
        action = towards_the_object(expected["observation"], task, step)
        seen = environment.step(action[None])
        expected, reward, terminated, truncated, info = bare.step(action)
        assert task.reward(seen.achieved, seen.desired)[0] == reward
        assert task.success(seen.achieved, seen.desired)[0] == info["is_success"]
        assert not terminated
        assert truncated == (step == task.horizon - 1)
    assert np.linalg.norm(expected["achieved_goal"] - start) > 0.01  # the object was touched


def test_an_episode_depends_on_its_seed_and_actions_alone(environment, task):
    def episode(seed: int, steps: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        states = [environment.reset([seed])]
        states += [environment.step(rng.uniform(-1, 1, (1, 4)).astype(np.float32)) for _ in range(steps)]
        return [np.concatenate([s.observation[0], s.desired[0], s.frames[0].ravel()]) for s in states]

    first = episode(3, 15)
    episode(4, 23)
    for before, after in zip(first, episode(3, 15), strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_tasks_data_agree_with_the_environment(bare, task):
    observation, _ = bare.reset(seed=0)
    assert observation["observation"].shape == (task.observation_dim,)
    assert len(task.observation_center) == len(task.observation_scale) == task.observation_dim
    assert bare.action_space.shape == (task.action_dim,)
    assert bare.spec.max_episode_steps == task.horizon
    assert bare.unwrapped.distance_threshold == task.threshold
    assert bare.unwrapped.reward_type == "sparse"


def test_proprioception_holds_the_robot_and_nothing_of_the_object(bare, task):
    """Two resets of one robot with the object elsewhere look the same to it."""
    a, b = (bare.reset(seed=seed)[0]["observation"] for seed in (1, 2))
    np.testing.assert_array_equal(a[list(task.proprioception)], b[list(task.proprioception)])
    assert np.array_equal(a, b) != task.has_object
    np.testing.assert_allclose(a[list(task.proprioception)][:3], bare.unwrapped.initial_gripper_xpos, atol=1e-3)


def test_scaled_vectors_are_of_order_one(bare, task):
    rng = np.random.default_rng(0)
    seen = []
    for seed in range(5):
        seen.append(bare.reset(seed=seed)[0])
        seen += [bare.step(rng.uniform(-1, 1, 4).astype(np.float32))[0] for _ in range(task.horizon)]
    observation = np.stack([s["observation"] for s in seen])
    scaled = (observation - task.observation_center) * task.observation_scale
    assert np.abs(scaled).max() < 12
    goals = (np.stack([s["desired_goal"] for s in seen]) - task.goal_center) * task.goal_scale
    assert goals.std(axis=0)[:2].min() > 0.2
    assert np.abs(goals).max() < 3
