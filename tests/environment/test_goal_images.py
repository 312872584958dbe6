"""Goal images: scenes that meet an episode's goal, staged without touching the episode."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from fetchbench.environment import TASKS, Observations, Task, VectorEnvironment, get_camera
from fetchbench.environment.goal_scenes import ATTEMPTS, GoalStage, _push
from fetchbench.environment.simulation import Simulation
from fetchbench.environment.vector import drawing_environment
from fetchbench.errors import FetchbenchError
from fetchbench.protocol import Scene
from fetchbench.specs import PixelSpec

REACH, PUSH, SLIDE, PICK = TASKS.values()
SMALL = PixelSpec(size=32)
SEEDS = range(120)
DRAWN_AGAIN = (0, 26, 37, 43, 178)
"""Seeds of FetchReach whose goal lies lower than the gripper can go."""


@pytest.fixture(scope="module", params=TASKS.values(), ids=lambda task: task.id)
def task(request) -> Task:
    return request.param


def stage_of(task: Task, camera: str = "fetch-close") -> GoalStage:
    return GoalStage(task, get_camera(camera, task.id))


@dataclass(frozen=True)
class Seen:
    """A staged scene, and the start of the episode whose goal it meets."""

    seed: int
    drawn: int
    start: dict[str, np.ndarray]
    now: dict[str, np.ndarray]
    successful: bool
    object_pose: np.ndarray
    object_velocity: np.ndarray
    depths: dict[tuple[str, str], float]
    seen_share: float


@pytest.fixture(scope="module")
def scenes(task) -> list[Seen]:
    stage, live = stage_of(task), Simulation(task)
    simulation, eye, found = stage.simulation, np.array(get_camera("fetch-close", task.id).eye), []
    for seed in SEEDS:
        drawn, environment = stage.stage(seed), simulation._environment
        start, now = live.reset(drawn), simulation.observe()
        successful = bool(environment._is_success(now["achieved_goal"], environment.goal))
        pose, velocity, share = np.zeros(7), np.zeros(6), 1.0
        if task.has_object:
            joint = simulation.data.joint("object0:joint")
            pose, velocity, share = joint.qpos.copy(), joint.qvel.copy(), simulation.seen_share(eye)
        found.append(Seen(seed, drawn, start, now, successful, pose, velocity, depths(simulation), share))
    return found


def depths(simulation: Simulation) -> dict[tuple[str, str], float]:
    """How far bodies that touch reach into each other at most, metres, by their names in the order of the alphabet."""
    model, contact, found = simulation.model, simulation.data.contact, {}
    for pair, distance in zip(model.geom_bodyid[contact.geom], contact.dist, strict=True):
        names = tuple(sorted(model.body(body).name for body in pair))
        found[names] = max(found.get(names, -np.inf), -float(distance))
    return found


def gripper(scene: Seen) -> np.ndarray:
    """Where it is seen from the goal: ``(3,)``, metres."""
    return scene.now["observation"][:3] - scene.now["desired_goal"]


# -- the scenes -------------------------------------------------------------------------------------------------------


def test_the_goal_is_met_by_the_tasks_own_rule(task, scenes):
    for scene in scenes:
        achieved, goal = scene.now["achieved_goal"], scene.now["desired_goal"]
        np.testing.assert_array_equal(goal, scene.start["desired_goal"])
        assert scene.successful
        assert task.success(achieved, goal)
        assert np.linalg.norm(achieved - goal) < (1e-6 if task.has_object else 0.01)


def test_nothing_reaches_into_anything_else(task, scenes):
    """Fingers sink 0.2 mm into a block that they hold, in the simulation as well."""
    for scene in scenes:
        for (one, other), depth in scene.depths.items():
            if task is SLIDE and other == "table0":
                continue  # every episode of this task starts with the fingers 4 mm in the table
            if "robot0" in one + other and {one, other} & {"object0", "table0"}:
                assert depth < (3.1e-4 if task is PICK else 0), (scene.seed, one, other)
    if task is PICK:
        holding = [sum(one == "object0" and "finger" in other for one, other in scene.depths) for scene in scenes]
        assert min(holding) >= 1
        assert holding.count(2) > 0.9 * len(scenes)  # where the arm ends, the gripper tilts


def test_objects_are_upright_and_at_rest(task, scenes):
    for scene in scenes if task.has_object else ():
        np.testing.assert_array_equal(scene.object_pose[3:], [1, 0, 0, 0])
        np.testing.assert_array_equal(scene.object_velocity, np.zeros(6))


def test_the_gripper_is_where_it_belongs(task, scenes):
    behind = []
    for scene in scenes:
        offset = gripper(scene)
        if task is SLIDE:
            np.testing.assert_allclose(scene.now["observation"][:3], scene.start["observation"][:3], atol=1e-9)
        elif task is PUSH:
            # Beside the block, 4 mm from it, give or take some where the arm ends.
            assert 0.040 < np.abs(offset[:2]).max() < 0.048
            assert abs(offset[2]) < 0.002
            assert scene.seen_share >= 0.5
            way = (scene.start["achieved_goal"] - scene.now["desired_goal"])[:2]
            behind.append(way @ offset[:2] / np.linalg.norm(way) / np.linalg.norm(offset[:2]) > 0.99)
        else:
            assert np.linalg.norm(offset) < 0.01
        if task is PICK:
            np.testing.assert_allclose(scene.now["observation"][9:11], 0.024, atol=0.003)
    assert not behind or 0.6 < np.mean(behind) < 1  # else it would hide the block


@pytest.mark.parametrize("seed", DRAWN_AGAIN)
def test_goals_that_the_gripper_cannot_reach_are_drawn_again(seed):
    stage, live = stage_of(REACH), Simulation(REACH)
    low = live.reset(seed)["desired_goal"]
    assert stage.stage(seed) == seed + 2**32
    assert low[2] < 0.409 < stage.simulation.goal[2]


def test_most_goals_are_not_drawn_again(task, scenes):
    again = np.mean([scene.drawn != scene.seed for scene in scenes])
    assert 0.04 < again < 0.12 if task is REACH else again == 0
    assert all(scene.drawn % 2**32 == scene.seed for scene in scenes)


def test_what_is_staged_is_a_function_of_the_seed(task):
    def state(stage: GoalStage) -> np.ndarray:
        stage.stage(3)
        return np.concatenate([stage.simulation.data.qpos, stage.simulation.data.qvel, stage.simulation.goal])

    once, often = stage_of(task), stage_of(task)
    for seed in (0, 4, 5):
        often.stage(seed)
    often.simulation.scatter(7)
    np.testing.assert_array_equal(state(once), state(often))


def test_an_episode_that_cannot_be_staged_is_one_clear_error(task, monkeypatch):
    """Also where what arranged the scene believes that it could."""
    stage, tried = stage_of(task), []
    monkeypatch.setattr(stage.simulation, "reset", lambda seed: tried.append(seed) or Simulation.reset(stage.simulation, 0))
    for could in (False, True):
        monkeypatch.setattr(stage, "_arrange", lambda *_, could=could: could)
        with pytest.raises(FetchbenchError, match=rf"{task.id}: the episode with seed 7 was drawn {ATTEMPTS} times.*compare"):
            stage.stage(7)
    assert tried == [7 + 2**32 * attempt for attempt in range(ATTEMPTS)] * 2


# -- FetchPush: beside the block --------------------------------------------------------------------------------------


def direction(simulation: Simulation) -> np.ndarray:
    """From the block to the gripper, 1 along the larger axis."""
    offset = (simulation.gripper - simulation.observe()["achieved_goal"])[:2]
    return offset / np.abs(offset).max()


ABOVE = np.array([1.3, 0.75, 3.0])


@pytest.mark.parametrize(
    ("goal", "start", "eye", "expected"),
    [
        ((1.4, 0.75), (1.3, 0.75), ABOVE, (-1, 0)),
        ((1.4, 0.75), (1.4, 0.85), ABOVE, (0, 1)),
        # Started where it is wanted: from where the gripper starts.
        ((1.3631 - 0.1, 0.7491), (1.3631 - 0.1, 0.7491), ABOVE, (1, 0)),
        # Seen past the gripper, or out of its reach: another side.
        ((1.4, 0.75), (1.4, 0.65), np.array([1.4, 0.3, 0.8]), (1, 0)),
        ((1.55, 0.75), (1.65, 0.75), ABOVE, (0, 1)),
    ],
    ids=["behind", "behind, along y", "no way", "hidden", "out of reach"],
)
def test_the_gripper_is_behind_the_block_or_else_beside_it(goal, start, eye, expected):
    simulation = Simulation(PUSH)
    height = simulation.reset(0)["desired_goal"][2]
    simulation._environment.goal = np.array([*goal, height])
    assert _push(simulation, np.array([*start, height]), eye)
    np.testing.assert_allclose(direction(simulation), expected, atol=0.1)
    np.testing.assert_allclose(simulation.observe()["achieved_goal"], simulation.goal, atol=1e-9)


def test_a_block_that_is_hidden_from_all_sides_has_the_gripper_behind_it(monkeypatch):
    stage = stage_of(PUSH)
    start = Simulation(PUSH).reset(2)["achieved_goal"]
    assert stage.stage(2) == 2
    way = (start - stage.simulation.goal)[:2]
    assert np.abs(direction(stage.simulation) - way / np.abs(way).max()).max() > 0.5  # there it would hide it
    monkeypatch.setattr(Simulation, "seen_share", lambda *_: 0.0)
    assert stage.stage(2) == 2
    np.testing.assert_allclose(direction(stage.simulation), way / np.abs(way).max(), atol=0.05)


def test_no_place_beside_the_block_is_no_scene():
    simulation = Simulation(PUSH)
    start = simulation.reset(0)["achieved_goal"]
    simulation._environment.goal = np.array([2.5, 0.75, 0.425])
    assert not _push(simulation, start, ABOVE)


def test_what_a_camera_sees_of_a_block():
    simulation = Simulation(PUSH)
    home = simulation.reset(0)["observation"][:3]
    simulation.put_object(home + np.array([0.1, 0, 0]))
    assert simulation.seen_share(home + np.array([0.1, 0, 1.0])) == 1
    assert simulation.seen_share(home + np.array([-1.0, 0, 0.4])) == 0
    assert simulation.seen_share(home + np.array([1.0, 0, 0.4])) == 1


def test_where_a_camera_stands(task):
    camera = get_camera("fetch-close", task.id)
    eye, lookat = np.array(camera.eye), np.array(camera.lookat)
    x, y, depth = camera.project(tuple(eye + 0.25 * (lookat - eye)))
    np.testing.assert_allclose([x, y, depth], [0, 0, 0.25 * camera.distance], atol=1e-9)


# -- the environment --------------------------------------------------------------------------------------------------


def flat(state: Observations) -> np.ndarray:
    return np.concatenate(
        [state.observation, state.achieved, state.desired, state.frames.reshape(len(state.frames), -1)], axis=1
    )


def random_actions(steps: int, count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (steps, count, 4)).astype(np.float32)


def test_episodes_are_what_they_are_without_goal_images(task):
    """And goal images are the same after an episode and a scattering, and in the place of another environment."""
    seeds = [3, 4]
    with (
        VectorEnvironment(task, Scene(), SMALL, 2, image_goals=True) as shown,
        VectorEnvironment(task, Scene(), SMALL, 2) as plain,
    ):
        first, expected = shown.reset(seeds), plain.reset(seeds)
        assert expected.goal_frames is None
        assert first.goal_frames.shape == first.frames.shape
        assert first.goal_frames.dtype == np.uint8
        kept = first.goal_frames.copy()
        np.testing.assert_array_equal(flat(first), flat(expected))
        for action in random_actions(task.horizon, 2):
            state = shown.step(action)
            assert state.goal_frames is None
            np.testing.assert_array_equal(flat(state), flat(plain.step(action)))
        assert shown.scatter([1, 2]).goal_frames is None
        other, again = shown.reset([5, 3]).goal_frames, shown.reset(seeds).goal_frames
    np.testing.assert_array_equal(again, kept)
    np.testing.assert_array_equal(other[1], kept[0])
    np.testing.assert_array_equal(first.goal_frames, kept)  # what was returned stays as it was
    assert not np.array_equal(kept[0], kept[1])
    assert not np.array_equal(kept, first.frames)


def test_the_number_of_workers_changes_no_goal_image():
    seen = []
    for workers in (1, 2):
        with VectorEnvironment(PUSH, Scene(), SMALL, 3, workers=workers, image_goals=True) as environment:
            seen.append(environment.reset([5, 6, 7]).goal_frames)
    np.testing.assert_array_equal(*seen)


DRAW = """
import sys
import numpy as np
from fetchbench.environment import TASKS, get_camera
from fetchbench.environment.goal_scenes import GoalStage
from fetchbench.environment.rendering import FrameRenderer
from fetchbench.protocol import Scene
from fetchbench.specs import PixelSpec

name, out = sys.argv[1:]
stage = GoalStage(TASKS[name], get_camera("fetch-close", name))
renderer = FrameRenderer(stage.simulation, name, Scene(), PixelSpec(size=32))
frames = []
for seed in (26, 4):
    stage.stage(seed)
    frames.append(renderer.draw(stage.simulation))
np.save(out, frames)
"""


def test_a_goal_image_is_what_the_renderer_draws_of_the_staged_scene(tmp_path):
    with VectorEnvironment(PICK, Scene(), SMALL, 2, image_goals=True) as environment:
        found, backend = environment.reset([26, 4]).goal_frames, environment.report["backend"]
    command = [sys.executable, "-c", DRAW, PICK.id, str(tmp_path / "frames.npy")]
    subprocess.run(command, check=True, env=drawing_environment(backend))
    np.testing.assert_array_equal(found, np.load(tmp_path / "frames.npy"))


@pytest.mark.parametrize("task", [PUSH, SLIDE], ids=lambda task: task.id)
def test_a_goal_image_shows_the_object_at_the_goal(task):
    """It is dark, the table white; at reset there is nothing but table in most of these places."""
    camera = get_camera("fetch-close", task.id)
    with VectorEnvironment(task, Scene(), PixelSpec(size=128), 8, image_goals=True) as environment:
        state = environment.reset(range(20, 28))
    before = []
    for image, frame, goal in zip(state.goal_frames, state.frames, state.desired, strict=True):
        x, y, _ = camera.project(tuple(goal))
        row, column = int((1 - y) / 2 * 128), int((x + 1) / 2 * 128)
        around = (slice(None), slice(row - 1, row + 2), slice(column - 1, column + 2))
        assert image[around].mean() < 90
        before.append(frame[around].mean())
    assert np.median(before) > 200


def test_without_pixels_the_same_episodes_are_drawn_again():
    seeds = [0, 1, 26, 2]
    drawn = [0 + 2**32, 1, 26 + 2**32, 2]
    found = []
    for pixels in (SMALL, None):
        with VectorEnvironment(REACH, Scene(), pixels, 4, image_goals=True) as environment:
            found.append(environment.reset(seeds))
    assert found[1].frames is None
    assert found[1].goal_frames is None
    with VectorEnvironment(REACH, Scene(), None, 4) as plain:
        expected, original = plain.reset(drawn), plain.reset(seeds)
    for state in found:
        np.testing.assert_array_equal(state.desired, expected.desired)
        np.testing.assert_array_equal(state.observation, expected.observation)
    np.testing.assert_array_equal((found[0].desired != original.desired).any(axis=1), [True, False, True, False])
