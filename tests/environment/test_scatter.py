"""Scattering: random scenes within an episode, which leave no trace in the next."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fetchbench.environment import TASKS, Observations, Task, VectorEnvironment
from fetchbench.protocol import Scene
from fetchbench.specs import PixelSpec

ON_THE_TABLE = {
    # Task -> where its object starts or is wanted: x and y at reset, metres, as gymnasium-robotics draws them.
    "FetchPush-v4": [((1.213, 1.513), (0.599, 0.899))],
    "FetchSlide-v4": [((0.913, 1.113), (0.649, 0.849)), ((1.113, 1.713), (0.449, 1.049))],
    "FetchPickAndPlace-v4": [((1.192, 1.492), (0.599, 0.899))],
}


EACH = 80
ACTIONS = np.random.default_rng(0).uniform(-1, 1, (12, 2, 4)).astype(np.float32) * ([[[0.2]]] * 6 + [[[1.0]]] * 6)


@pytest.fixture(scope="module", params=TASKS.values(), ids=lambda task: task.id)
def task(request) -> Task:
    return request.param


@pytest.fixture(scope="module")
def environment(task) -> Iterator[VectorEnvironment]:
    with VectorEnvironment(task, Scene(), PixelSpec(size=32), 2) as made:
        yield made


def flat(state: Observations) -> np.ndarray:
    return np.concatenate([state.observation, state.achieved, state.desired, state.frames.reshape(2, -1)], axis=1)


def episode(environment: VectorEnvironment) -> list[np.ndarray]:
    return [flat(state) for state in (environment.reset([7, 8]), *map(environment.step, ACTIONS))]


@pytest.fixture(scope="module")
def undisturbed(environment) -> list[np.ndarray]:
    """An episode before anything was ever scattered: every other fixture and test comes later."""
    return episode(environment)


@pytest.fixture(scope="module")
def scattered(environment, undisturbed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gripper and object after each of many scatterings, and the object two idle steps later: ``(2, EACH, 3)``."""
    gripper, before, after = (np.empty((2, EACH, 3)) for _ in range(3))
    environment.reset([0, 1])
    for i in range(EACH):
        state = environment.scatter([1000 + i, 2000 + i])
        gripper[:, i], before[:, i] = state.observation[:, :3], state.achieved
        environment.step(np.zeros((2, 4), np.float32))
        after[:, i] = environment.step(np.zeros((2, 4), np.float32)).achieved
    return gripper, before, after


def test_an_episode_after_scattering_is_the_one_without(environment, undisturbed, scattered):
    np.testing.assert_array_equal(episode(environment), undisturbed)


def test_the_gripper_covers_its_surroundings_and_forgets_where_it_was(environment, scattered):
    gripper, home = scattered[0], environment.reset([0, 0]).observation[0, :3]
    # Uniform over 30 x 30 x 26 cm, give or take the centimetre by which it may miss.
    assert np.abs(gripper[..., :2] - home[:2]).max() < 0.16
    assert gripper[..., 2].min() > 0.41
    assert gripper[..., 2].max() < 0.69
    np.testing.assert_allclose(gripper.std(axis=(0, 1)), np.array([0.30, 0.30, 0.26]) / np.sqrt(12), rtol=0.15)
    for axis in range(3):
        lag = np.corrcoef(gripper[:, :-1, axis].ravel(), gripper[:, 1:, axis].ravel())[0, 1]
        assert abs(lag) < 0.25


def test_the_object_lies_still_on_the_table_where_the_task_starts_or_wants_it(task, scattered):
    if not task.has_object:
        return
    _, before, after = scattered
    places = before.reshape(-1, 3)
    areas = [np.array(area) for area in ON_THE_TABLE[task.id]]
    inside = np.array([((places[:, :2] > a[:, 0] - 2e-3) & (places[:, :2] < a[:, 1] + 2e-3)).all(axis=1) for a in areas])
    assert inside.any(axis=0).all()
    size = np.array([np.prod(a[:, 1] - a[:, 0]) for a in areas])
    np.testing.assert_allclose(inside.mean(axis=1), size / size.sum(), atol=0.1)
    largest = areas[size.argmax()]
    here = places[inside[size.argmax()], :2]
    np.testing.assert_allclose(here.mean(axis=0), largest.mean(axis=1), atol=0.1 * np.ptp(largest))
    np.testing.assert_allclose(here.std(axis=0), np.diff(largest)[:, 0] / np.sqrt(12), rtol=0.2)
    # Placed in the gripper it would be pressed into the table, or thrown.
    np.testing.assert_allclose(places[:, 2], places[0, 2], atol=1e-5)
    assert np.linalg.norm(after - before, axis=-1).max() < 1e-4


def test_a_scattered_scene_is_a_function_of_the_seeds(environment, undisturbed):
    def scenes() -> list[np.ndarray]:
        environment.reset([3, 4])
        return [flat(environment.scatter(seeds)) for seeds in ([5, 6], [7, 8])]

    first = scenes()
    environment.scatter([9, 9])
    np.testing.assert_array_equal(first, scenes())
    assert not np.array_equal(first[0], first[1])


def test_the_goal_stays(environment, undisturbed):
    desired = environment.reset([3, 4]).desired
    np.testing.assert_array_equal(environment.scatter([1, 2]).desired, desired)
