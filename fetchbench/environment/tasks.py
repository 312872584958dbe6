"""The four tasks, as data: dimensions, constants and the rule that decides success (Plappert et al. 2018, arXiv:1802.09464)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetchbench.errors import UnknownNameError

_WORKSPACE = (1.3, 0.75, 0.5)
"""Where the gripper works, metres: positions are centred here."""


@dataclass(frozen=True)
class Task:
    """A task of gymnasium-robotics: sparse reward, never terminated, truncated after ``horizon`` steps.

    Attributes:
        id: The name gymnasium knows it by.
        observation_dim: Width of the full observation.
        has_object: Whether the goal is the place of an object, not of the gripper.
        proprioception: Indices of the robot's own state in the observation: gripper position, finger positions, gripper
            velocity, finger velocities. Without an object that is all there is.
        observation_center: Subtracted from the observation before it is scaled, per index.
        observation_scale: Multiplies the centred observation, per index.
        goal_center: Subtracted from goals, metres.
        goal_scale: Multiplies centred goals.
        goal_dim: Width of a goal.
        action_dim: Width of an action: a displacement of the gripper and the opening of the fingers, each in [-1, 1].
        horizon: Steps per episode.
        threshold: Largest distance to the goal that counts as solved, metres.
    """

    id: str
    observation_dim: int
    has_object: bool
    proprioception: tuple[int, ...]
    observation_center: tuple[float, ...]
    observation_scale: tuple[float, ...]
    goal_center: tuple[float, ...] = _WORKSPACE
    goal_scale: float = 5.0
    goal_dim: int = 3
    action_dim: int = 4
    horizon: int = 50
    threshold: float = 0.05

    def success(self, achieved: NDArray[Any], goal: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether goals ``(..., 3)`` are met by what was achieved ``(..., 3)``, both in metres: ``bool (...)``."""
        met: NDArray[np.bool_] = np.linalg.norm(achieved - goal, axis=-1) < self.threshold
        return met

    def reward(self, achieved: NDArray[Any], goal: NDArray[Any]) -> NDArray[np.float32]:
        """The sparse reward, 0 or -1: ``float32 (...)``."""
        missed: NDArray[np.bool_] = np.linalg.norm(achieved - goal, axis=-1) > self.threshold
        return -missed.astype(np.float32)


def _object_task(name: str) -> Task:
    return Task(
        name,
        observation_dim=25,
        has_object=True,
        proprioception=(0, 1, 2, 9, 10, 20, 21, 22, 23, 24),
        # Gripper and object position are places, all else is relative to something, an angle or a velocity around 0.
        observation_center=_WORKSPACE * 2 + (0.0,) * 19,
        observation_scale=(5.0,) * 9 + (10.0,) * 2 + (1.0,) * 3 + (10.0,) * 11,
    )


TASKS: Mapping[str, Task] = {
    task.id: task
    for task in (
        Task(
            "FetchReach-v4",
            observation_dim=10,
            has_object=False,
            proprioception=tuple(range(10)),
            observation_center=_WORKSPACE + (0.0,) * 7,
            observation_scale=(5.0,) * 3 + (10.0,) * 7,
        ),
        _object_task("FetchPush-v4"),
        _object_task("FetchSlide-v4"),
        _object_task("FetchPickAndPlace-v4"),
    )
}


def get_task(name: str) -> Task:
    """Look a task up by its id.

    Raises:
        UnknownNameError: There is no such task.
    """
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    return TASKS[name]
