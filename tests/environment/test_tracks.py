"""What each track lets the networks see."""

from __future__ import annotations

import numpy as np
import pytest

from fetchbench.environment import TASKS, get_task, uses_frames, vector_layout
from fetchbench.errors import UnknownNameError

PUSH, REACH = TASKS["FetchPush-v4"], TASKS["FetchReach-v4"]


@pytest.mark.parametrize(
    ("track", "pixel_track", "indices", "achieved"),
    [
        ("state", "pixels", tuple(range(25)), False),
        ("pixels", "pixels", PUSH.proprioception, False),
        ("pixels-only", "pixels-only", (), False),
        ("pixels-privileged", "pixels-privileged", PUSH.proprioception, True),
        ("blind", "pixels", PUSH.proprioception, False),
        ("blind", "pixels-only", (), False),
        ("blind", "pixels-privileged", PUSH.proprioception, True),
    ],
)
def test_vector_inputs(track, pixel_track, indices, achieved):
    layout = vector_layout(track, PUSH, pixel_track)
    assert (layout.indices, layout.includes_achieved) == (indices, achieved)
    assert len(layout.center) == len(layout.scale) == len(indices) + 3 * achieved


def test_positions_are_centred_and_scaled():
    layout = vector_layout("pixels-privileged", PUSH, "pixels-privileged")
    np.testing.assert_allclose(layout.center[:3], [1.3, 0.75, 0.5])
    np.testing.assert_allclose(layout.scale[:3], 5)
    np.testing.assert_allclose((np.array([1.5, 0.75, 0.4]) - layout.center[-3:]) * layout.scale[-3:], [1, 0, -0.5], atol=1e-6)


def test_raw_vectors_stay_as_they_are():
    layout = vector_layout("state", REACH, "pixels-only", scaled=False)
    assert not layout.center.any()
    assert (layout.scale == 1).all()


def test_which_tracks_need_frames():
    assert [
        t for t in ("state", "blind", "pixels", "pixels-only", "pixels-privileged", "image-goal") if not uses_frames(t)
    ] == [
        "state",
        "blind",
    ]


def test_unknown_task():
    with pytest.raises(UnknownNameError, match=r"unknown task 'FetchPush-v3'; did you mean 'FetchPush-v4'\?"):
        get_task("FetchPush-v3")


def test_success_is_nearer_than_five_centimetres_and_a_tie_earns_no_minus_one():
    goal, near, edge, far = np.zeros(3), np.array([0.049, 0, 0]), np.array([0.05, 0, 0]), np.array([0.051, 0, 0])
    assert [bool(REACH.success(p, goal)) for p in (near, edge, far)] == [True, False, False]
    assert [float(REACH.reward(p, goal)) for p in (near, edge, far)] == [0, 0, -1]
