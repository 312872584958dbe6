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
