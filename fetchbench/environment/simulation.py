"""One environment of a task, as gymnasium-robotics has it. Imported by workers alone: it brings MuJoCo."""

from __future__ import annotations

import contextlib
import io
import itertools
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

    @property
    def gripper(self) -> NDArray[np.float64]:
        """Where the gripper is, metres: ``float64 (3,)``."""
        place: NDArray[np.float64] = self._environment._utils.get_site_xpos(self.model, self.data, "robot0:grip").copy()
        return place

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
        self.drag(place, opening)
        self.drag(place, opening)
        if self._environment.has_object:
            self._scatter_object(rng)
        self.drag(place, opening)
        return self.observe()

    def observe(self) -> dict[str, NDArray[np.float64]]:
        """What :meth:`reset` returns, of the state as it is."""
        observation: dict[str, NDArray[np.float64]] = self._environment._get_obs()
        return observation

    def drag(self, place: NDArray[np.float64], opening: float) -> None:
        """One step of the gripper towards a place, further than an action may go.

        Args:
            place: ``(3,)``, metres.
            opening: Of the fingers, as an action has it.
        """
        environment = self._environment
        environment._set_action(np.array([*(place - self.gripper) / METRES_PER_ACTION, opening]))
        environment._mujoco_step(None)
        environment._step_callback()

    def put_object(self, place: NDArray[np.float64], angle: float = 0.0) -> None:
        """Put the object somewhere, at rest and upright.

        Args:
            place: Of its middle, ``(3,)``, metres.
            angle: By which it is turned about the vertical, radians.
        """
        joint = self.model.joint("object0:joint")
        position, velocity = int(joint.qposadr[0]), int(joint.dofadr[0])
        self.data.qpos[position : position + 7] = [*place, np.cos(angle / 2), 0, 0, np.sin(angle / 2)]
        self.data.qvel[velocity : velocity + 6] = 0
        self._environment._mujoco.mj_forward(self.model, self.data)

    def put_fingers(self, right: float, left: float) -> None:
        """Open each finger by so much, metres."""
        for side, opening in (("r", right), ("l", left)):
            joint = self.model.joint(f"robot0:{side}_gripper_finger_joint")
            self.data.qpos[joint.qposadr[0]], self.data.qvel[joint.dofadr[0]] = opening, 0
        self._environment._mujoco.mj_forward(self.model, self.data)

    def object_depth(self) -> float:
        """How far the object and what it touches, the table apart, reach into each other, metres; -inf if it touches nothing.

        A negative depth is a gap, small enough for MuJoCo to count it as contact.
        """
        bodies = self.model.geom_bodyid[self.data.contact.geom]  # (contacts, 2)
        thing, table = self.model.body("object0").id, self.model.body("table0").id
        touching = (bodies == thing).any(axis=1) & (bodies != table).all(axis=1)
        return float(-self.data.contact.dist[touching].min(initial=np.inf))

    def seen_share(self, eye: NDArray[np.float64]) -> float:
        """The share of an upright object's top that is seen from a point ``(3,)``, metres, past the robot."""
        ray, thing = self._environment._mujoco.mj_ray, self.model.body("object0").id
        middle, half = self.data.geom("object0").xpos, self.model.geom("object0").size
        free, ignored = 0, np.zeros(1, np.int32)
        for x, y in itertools.product((-0.8, 0.0, 0.8), repeat=2):
            point = middle + half * np.array([x, y, 1.0])
            # How far it gets, in its own lengths, and -1 if it meets nothing. What is fixed is left out: table, cross-hair.
            met = ray(self.model, self.data, point, eye - point, None, False, thing, ignored)
            free += not 0 <= met < 1
        return free / 9

    def _scatter_object(self, rng: np.random.Generator) -> None:
        """Put the object on the table, at any angle, where it touches nothing but the table."""
        while True:
            place, angle = _on_the_table(self._environment, rng), rng.uniform(-np.pi, np.pi)
            self.put_object(np.array([*place, self._environment.height_offset]), angle)
            if self.object_depth() == -np.inf:
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
