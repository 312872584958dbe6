"""One environment of a task, as gymnasium-robotics has it. Imported by workers alone: it brings MuJoCo."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from fetchbench.environment.tasks import Task

# On import it prints news of tasks that are not ours.
with contextlib.redirect_stderr(io.StringIO()):
    import gymnasium_robotics

gymnasium.register_envs(gymnasium_robotics)

METRES_PER_ACTION = 0.05
"""By how far an action of 1 displaces the point that drags the gripper, along each axis."""

SCATTER_RANGE = 0.15
"""How far from its place at reset the gripper is scattered along x and y, metres: as far as the tasks set goals from it."""

SCATTER_HEIGHTS = (0.42, 0.68)
"""Between which heights, metres: from the table's top, which it cannot go below, to FetchReach's highest goals."""


class Simulation:
    """A task's environment without its wrappers: nothing ends an episode but its caller, nothing draws on it.

    Every episode is a function of its seed and actions, whatever happened before, so there is no state to save.
    """

    def __init__(self, task: Task) -> None:
        environment: Any = gymnasium.make(task.id, disable_env_checker=True).unwrapped
        self._environment = environment
        # An observation holds the state of two of the robot's joints, the fingers, its last; but reads all fifteen, one by
        # one, which takes a quarter of a step. The names serve nothing else.
        names = environment._model_names
        names._joint_names = tuple([name for name in names.joint_names if name.startswith("robot")][-2:])

    @property
    def model(self) -> Any:
        """The ``MjModel``. To be read only."""
        return self._environment.model

    @property
    def data(self) -> Any:
        """The ``MjData``. To be read only: whoever calls ``mj_forward`` on it changes what comes next."""
        return self._environment.data

    @property
    def goal(self) -> NDArray[np.float64]:
        """The goal of the episode, metres: ``float64 (3,)``."""
        goal: NDArray[np.float64] = self._environment.goal
        return goal

    def reset(self, seed: int) -> dict[str, NDArray[np.float64]]:
        """Begin an episode; returns ``observation``, ``achieved_goal``, ``desired_goal``."""
        observation: dict[str, NDArray[np.float64]] = self._environment.reset(seed=seed)[0]
        return observation

    def step(self, action: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Apply ``float32 (A,)`` in [-1, 1] for one step of 40 ms; returns what :meth:`reset` does."""
        observation: dict[str, NDArray[np.float64]] = self._environment.step(action)[0]
        return observation

    def scatter(self, seed: int) -> dict[str, NDArray[np.float64]]:
        """Bring the gripper and the object to places drawn from a seed, within an episode; returns what :meth:`reset` does.

        The gripper is dragged to a point uniform over its surroundings (:data:`SCATTER_RANGE`, :data:`SCATTER_HEIGHTS`) in
        three steps' time, where it comes to rest within a centimetre; the fingers open as far as the task lets them. Before
        the last of these steps the object is put on the table at any angle, uniform over where the task starts and wants it
        and touching nothing else. What follows is the task's own physics, and the next episode starts as if nothing had been.
        """
        rng = np.random.default_rng(seed)
        home = self._environment.initial_gripper_xpos
        low = np.array([*(home[:2] - SCATTER_RANGE), SCATTER_HEIGHTS[0]])
        high = np.array([*(home[:2] + SCATTER_RANGE), SCATTER_HEIGHTS[1]])
        place, opening = rng.uniform(low, high), rng.uniform(-1, 1)
        self._drag(place, opening)
        self._drag(place, opening)
        if self._environment.has_object:
            self._put_object(rng)
        self._drag(place, opening)
        observation: dict[str, NDArray[np.float64]] = self._environment._get_obs()
        return observation

    def _drag(self, place: NDArray[np.float64], opening: float) -> None:
        """One step of the gripper towards a place, further than an action may go."""
        environment = self._environment
        way = place - environment._utils.get_site_xpos(self.model, self.data, "robot0:grip")
        environment._set_action(np.array([*way / METRES_PER_ACTION, opening]))
        environment._mujoco_step(None)
        environment._step_callback()

    def _put_object(self, rng: np.random.Generator) -> None:
        """Put the object on the table, at rest, where it touches nothing but the table."""
        environment, model, data = self._environment, self.model, self.data
        joint = model.joint("object0:joint")
        position, velocity = int(joint.qposadr[0]), int(joint.dofadr[0])
        data.qvel[velocity : velocity + 6] = 0
        while True:
            place, angle = _on_the_table(environment, rng), rng.uniform(-np.pi, np.pi)
            pose = [*place, environment.height_offset, np.cos(angle / 2), 0, 0, np.sin(angle / 2)]
            data.qpos[position : position + 7] = pose
            environment._mujoco.mj_forward(model, data)
            touching = model.geom_bodyid[data.contact.geom]  # (contacts, 2)
            touching = touching[(touching == model.body("object0").id).any(axis=1)]
            if np.isin(touching, [model.body("object0").id, model.body("table0").id]).all():
                return


def _on_the_table(environment: Any, rng: np.random.Generator) -> NDArray[np.float64]:
    """A point ``(2,)`` uniform over the union of where objects start and where, the air left out, they are wanted."""
    home, offset = environment.initial_gripper_xpos[:2], np.broadcast_to(environment.target_offset, 3)[:2]
    areas = [(home, environment.obj_range), (home + offset, environment.target_range)]
    low = np.min([middle - reach for middle, reach in areas], axis=0)
    high = np.max([middle + reach for middle, reach in areas], axis=0)
    while True:
        point: NDArray[np.float64] = rng.uniform(low, high)
        if any(np.abs(point - middle).max() <= reach for middle, reach in areas):
            return point
