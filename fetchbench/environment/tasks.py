"""The four tasks, as data: dimensions, constants and the rule that decides success."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fetchbench.errors import UnknownNameError


@dataclass(frozen=True)
class Task:
    id: str
    observation_dim: int
    has_object: bool
    proprioception: tuple[int, ...]
    observation_center: tuple[float, ...]
    observation_scale: tuple[float, ...]
    goal_center: tuple[float, ...] = (1.3, 0.75, 0.5)
    goal_scale: float = 5.0
    goal_dim: int = 3
    action_dim: int = 4
    horizon: int = 50
    threshold: float = 0.05

    def success(self, achieved, goal):
        return np.linalg.norm(achieved - goal, axis=-1) < self.threshold

    def reward(self, achieved, goal):
        return -(np.linalg.norm(achieved - goal, axis=-1) > self.threshold).astype(np.float32)


POS = (1.3, 0.75, 0.5)
REACH = Task("FetchReach-v4", 10, False, tuple(range(10)), POS + (0.0,) * 7, (5.0,) * 3 + (10.0,) * 7)
OBJ = dict(
    observation_dim=25,
    has_object=True,
    proprioception=(0, 1, 2, 9, 10, 20, 21, 22, 23, 24),
    observation_center=POS + POS + (0.0,) * 19,
    observation_scale=(5.0,) * 9 + (10.0,) * 16,
)
TASKS: Mapping[str, Task] = {
    t.id: t for t in [REACH, *(Task(id=i, **OBJ) for i in ("FetchPush-v4", "FetchSlide-v4", "FetchPickAndPlace-v4"))]
}


def get_task(id: str) -> Task:
    if id not in TASKS:
        raise UnknownNameError("task", id, TASKS)
    return TASKS[id]
