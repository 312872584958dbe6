"""What the frames show, and what they do not."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest

from fetchbench.environment import TASKS, VectorEnvironment, get_camera
from fetchbench.environment.resizing import area_weights, resize
from fetchbench.errors import UnknownNameError
from fetchbench.protocol import Scene
from fetchbench.specs import PixelSpec

OBJECT_WIDTH = 0.05
"""Edge of the block and diameter of the puck, metres."""


def frames(task: str, scene: Scene, pixels: PixelSpec, seeds: list[int]):
    """First observations of several episodes."""
    with VectorEnvironment(TASKS[task], scene, pixels, len(seeds)) as environment:
        return environment.reset(seeds)


def red(frame: np.ndarray) -> np.ndarray:
    """Pixels of the marker's colour: ``bool (H, W)``."""
    r, g, b = frame.astype(int)
    return (r > 100) & (g < r // 3) & (b < r // 3)


@pytest.mark.parametrize(("task", "camera"), [*((task, "fetch-close") for task in TASKS), ("FetchPush-v4", "fetch-default")])
def test_the_marker_is_where_the_camera_projects_the_goal_and_hidden_by_default(task, camera):
    seeds = list(range(6))
    shown = frames(task, Scene(camera=camera, marker="shown"), PixelSpec(size=128), seeds)
    hidden = frames(task, Scene(camera=camera), PixelSpec(size=128), seeds)
    found = 0
    for i in range(len(seeds)):
        assert not red(hidden.frames[i]).any()
        rows, columns = np.nonzero(red(shown.frames[i]))
        if len(rows) < 4:
            continue  # behind the arm
        x, y, _ = get_camera(camera, task).project(tuple(shown.desired[i]))
        # A sphere that the arm covers in part is seen off its centre, by its radius at most.
        radius = get_camera(camera, task).pixels_across(tuple(shown.desired[i]), 0.04, 128) / 2
        assert abs(columns.mean() - (x + 1) / 2 * 128) < 1 + radius
        assert abs(rows.mean() - (1 - y) / 2 * 128) < 1 + radius
        found += 1
    assert found >= 3


@pytest.mark.parametrize(("task", "pixels"), [("FetchPush-v4", 7), ("FetchPickAndPlace-v4", 5), ("FetchSlide-v4", 4)])
def test_the_close_camera_holds_all_starts_and_goals_and_shows_objects_large(task, pixels):
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    environment, camera = gymnasium.make(task), get_camera("fetch-close", task)
    places = []
    for seed in range(200):
        observation, _ = environment.reset(seed=seed)
        places += [observation["observation"][:3], observation["achieved_goal"], observation["desired_goal"]]
    environment.close()
    projected = np.array([camera.project(tuple(place)) for place in places])
    assert np.abs(projected[:, :2]).max() < 1
    across = np.mean([camera.pixels_across(tuple(place), OBJECT_WIDTH, 84) for place in places[1::3]])
    assert across >= pixels
    assert across > 1.7 * get_camera("fetch-default", task).pixels_across(tuple(places[1]), OBJECT_WIDTH, 84)


def test_the_close_camera_on_reach_holds_every_goal():
    camera = get_camera("fetch-close", "FetchReach-v4")
    for corner in itertools.product((1.192, 1.492), (0.599, 0.899), (0.385, 0.685)):
        x, y, _ = camera.project(corner)
        assert max(abs(x), abs(y)) < 1


def test_unknown_camera():
    with pytest.raises(UnknownNameError, match=r"unknown camera 'fetch-closer'; did you mean 'fetch-close'\?"):
        get_camera("fetch-closer", "FetchPush-v4")


def test_frames_show_the_state_they_belong_to():
    """The block's place in the frame follows its place in the world, also on the task whose stock render lags behind."""
    seen = frames("FetchPickAndPlace-v4", Scene(), PixelSpec(size=128), list(range(8)))
    camera = get_camera("fetch-close", "FetchPickAndPlace-v4")
    for frame, place in zip(seen.frames, seen.achieved, strict=True):
        x, y, _ = camera.project(tuple(place))
        row, column = int((1 - y) / 2 * 128), int((x + 1) / 2 * 128)
        assert frame[:, row - 1 : row + 2, column - 1 : column + 2].mean() < 90  # the block is dark, the table white


def test_resized_frames_come_from_larger_ones():
    large = frames("FetchReach-v4", Scene(), PixelSpec(size=96), [0]).frames[0]
    small = frames("FetchReach-v4", Scene(), PixelSpec(size=48, render_size=96), [0]).frames[0]
    expected = large.astype(float).reshape(3, 48, 2, 48, 2).mean(axis=(2, 4))
    assert np.abs(small - expected).max() <= 0.5


def test_multisampling_changes_edges_alone():
    plain, smooth = (
        frames("FetchReach-v4", Scene(), PixelSpec(size=64, offsamples=n), [0]).frames[0].astype(int) for n in (0, 4)
    )
    differs = np.abs(plain - smooth).max(axis=0) > 8
    assert 0.01 < differs.mean() < 0.3


def test_area_weights_average():
    weights = area_weights(5, 2)
    np.testing.assert_allclose(weights, [[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]], atol=1e-6)
    checks = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (3, 4, 4))
    np.testing.assert_array_equal(resize(checks, area_weights(8, 4)), np.full((3, 4, 4), 128, np.uint8))
