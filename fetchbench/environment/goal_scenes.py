"""Scenes in which the goal of an episode is met: what goal images show. Imported by workers alone: it brings MuJoCo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from fetchbench.environment.cameras import Camera
from fetchbench.environment.simulation import Simulation
from fetchbench.environment.tasks import Task
from fetchbench.errors import FetchbenchError

GRIPPER_TOLERANCE = 0.01
"""How far from where it is wanted the gripper may be, metres."""

OBJECT_TOLERANCE = 1e-6
"""How far from its goal the object may be, metres: it is put there."""

RESTING_DEPTH = 0.0003
"""How far fingers and the object that they hold may reach into each other, metres: in a grasp it is 0.2 mm."""

ATTEMPTS = 100
"""How often an episode is drawn before there must be something wrong."""

NEXT_DRAW = 2**32
"""What is added to a seed to draw its episode again; training episodes stay even, evaluation episodes odd."""

Place = NDArray[np.float64]

_DRAGS = 12
_OPENINGS = 10
_NEAR_ENOUGH = 0.001
_OUT_OF_THE_WAY = np.array([3.0, 3.0, 0.025])  # on the floor

_BESIDE = 0.045
"""From the middle of the block to the middle of closed fingers that are beside it, along x or y, metres: the halves of both,
and 4 mm between them."""

_SEEN = 0.5
"""The share of the block's top that the camera must see past the robot, where some side of the block allows that."""

_GRASP = 0.024
"""How far a finger is open that holds the block in the middle of the gripper, metres."""


class GoalStage:
    """Meets the goals of a task's episodes, in a simulation of its own.

    - FetchReach: the gripper is dragged to the goal.
    - FetchPush: the object lies at the goal, and the closed gripper beside it, as after a push: behind it on the way from its
      start, or, where the gripper would hide it from the camera, touch it or not get to, on its left, its right, in front.
    - FetchSlide: the object lies at the goal, where the gripper seldom gets; the gripper is where it starts.
    - FetchPickAndPlace: the object is at the goal, and the gripper holds it.

    Objects are upright, as every episode starts with them, and at rest. What is staged is a function of the seed.

    Args:
        task: The task.
        camera: What looks on. No episode is drawn again because of it.

    Attributes:
        simulation: In the state that was staged last.
    """

    def __init__(self, task: Task, camera: Camera) -> None:
        self.simulation = Simulation(task)
        self._task = task
        self._eye = np.array(camera.eye)
        self._arrange = _ARRANGEMENTS[task.id]

    def stage(self, seed: int) -> int:
        """Meet the goal of an episode, or of the first of its redraws whose goal can be met.

        Args:
            seed: Of the episode. Below 2**32, no redraw of one episode is another's.

        Returns:
            The seed to reset the episode with: ``seed + 2**32 * k`` after k goals that could not be met.

        Raises:
            FetchbenchError: None could.
        """
        for attempt in range(ATTEMPTS):
            drawn = seed + NEXT_DRAW * attempt
            start = self.simulation.reset(drawn)["achieved_goal"]
            if self._arrange(self.simulation, start, self._eye) and self._met():
                return drawn
        raise FetchbenchError(
            f"{self._task.id}: the episode with seed {seed} was drawn {ATTEMPTS} times, and none of its goals could be met, "
            f"the last at {np.round(self.simulation.goal, 3).tolist()}. This is not the task that goal images are made for: "
            "compare the versions of gymnasium-robotics and mujoco with requirements.lock"
        )

    def _met(self) -> bool:
        achieved, goal = self.simulation.observe()["achieved_goal"], self.simulation.goal
        tolerance = OBJECT_TOLERANCE if self._task.has_object else GRIPPER_TOLERANCE
        return bool(self._task.success(achieved, goal)) and bool(np.linalg.norm(achieved - goal) <= tolerance)


def _reach(simulation: Simulation, start: Place, eye: Place) -> bool:
    return _bring_gripper(simulation, simulation.goal)


def _push(simulation: Simulation, start: Place, eye: Place) -> bool:
    behind = (start - simulation.goal)[:2]
    if np.linalg.norm(behind) < OBJECT_TOLERANCE:
        behind = (simulation.gripper - simulation.goal)[:2]
    hidden = []
    for side in _sides(behind / np.abs(behind).max()):
        if _put_beside(simulation, side):
            if simulation.seen_share(eye) >= _SEEN:
                return True
            hidden.append(side)
    return bool(hidden) and _put_beside(simulation, hidden[0])


def _slide(simulation: Simulation, start: Place, eye: Place) -> bool:
    simulation.put_object(simulation.goal)
    return simulation.object_depth() <= 0


def _pick_and_place(simulation: Simulation, start: Place, eye: Place) -> bool:
    goal = simulation.goal
    simulation.put_object(_OUT_OF_THE_WAY)
    if not _bring_gripper(simulation, goal):
        return False
    simulation.put_object(goal)
    aside = float(goal[1] - simulation.gripper[1])  # fingers close along y
    opening = _GRASP
    for _ in range(_OPENINGS):
        simulation.put_fingers(opening + aside, opening - aside)
        depth = simulation.object_depth()
        if depth <= RESTING_DEPTH:
            return True
        opening += depth - RESTING_DEPTH / 2  # at the arm's limits the gripper tilts by a few degrees
    return False


_ARRANGEMENTS: Mapping[str, Callable[[Simulation, Place, Place], bool]] = {
    "FetchReach-v4": _reach,
    "FetchPush-v4": _push,
    "FetchSlide-v4": _slide,
    "FetchPickAndPlace-v4": _pick_and_place,
}
"""Task -> what arranges the scene of an episode that was just reset, given what was achieved then and where the camera
stands; says whether it could."""


def _bring_gripper(simulation: Simulation, place: Place) -> bool:
    """Drag the gripper to a place; says whether it came there."""
    for _ in range(_DRAGS):
        simulation.drag(place, 0.0)
        if np.linalg.norm(simulation.gripper - place) <= _NEAR_ENOUGH:
            return True
    return bool(np.linalg.norm(simulation.gripper - place) <= GRIPPER_TOLERANCE)


def _put_beside(simulation: Simulation, side: Place) -> bool:
    """Put the object at the goal and the gripper beside it; says whether it came there and touches nothing."""
    simulation.put_object(_OUT_OF_THE_WAY)
    if not _bring_gripper(simulation, simulation.goal + _BESIDE * side):
        return False
    simulation.put_object(simulation.goal)
    return simulation.object_depth() <= 0


def _sides(direction: Place) -> Iterator[Place]:
    """Horizontal directions ``(3,)``, the first choice first: as given ``(2,)``, to its left, to its right, opposite."""
    x, y = direction
    for side in ((x, y), (-y, x), (y, -x), (-x, -y)):
        yield np.array([*side, 0.0])
