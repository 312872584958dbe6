"""gymnasium's own render path: what a user has who does not take ours. Never imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import fetchbench.environment.simulation  # noqa: F401  registers the tasks, and quietly
from fetchbench.environment.cameras import get_camera

Frame = NDArray[np.uint8]
LIKE_OURS = "fetch-close"
"""The camera of our suites."""


def make(task: str, size: int, like_ours: bool = False) -> Any:
    """A task that renders natively at ``size``.

    Args:
        task: Task id.
        size: Height and width, pixels.
        like_ours: Draw the picture that ours draw (camera, no marker, no shadows, no multisampling), not gymnasium's own.
    """
    options: dict[str, Any] = {}
    if like_ours:
        camera = get_camera(LIKE_OURS, task)
        options["default_camera_config"] = {
            "lookat": np.array(camera.lookat),
            "distance": camera.distance,
            "azimuth": camera.azimuth,
            "elevation": camera.elevation,
        }
    environment: Any = gymnasium.make(
        task, render_mode="rgb_array", width=size, height=size, disable_env_checker=True, **options
    )
    if like_ours:
        model = environment.unwrapped.model
        model.vis.quality.offsamples = 0
        model.geom_rgba[model.body_mocapid[model.geom_bodyid] >= 0, 3] = 0
        model.site_rgba[:, 3] = 0
        environment.reset(seed=0)
        environment.render()  # makes the viewer
        flags = environment.unwrapped.mujoco_renderer.viewer.scn.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
    return environment


def resized(frame: Frame, size: int) -> Frame:
    """``uint8 (S, S, 3)`` -> ``uint8 (size, size, 3)``, by averaging."""
    from PIL import Image

    if len(frame) == size:
        return frame
    return np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize((size, size), Image.Resampling.BOX))


class WithFrames(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Puts the frame beside the goals: ``frames uint8 (3, size, size)``, ``achieved_goal``, ``desired_goal``.

    Args:
        environment: Renders.
        size: Of the frame that is shown; one that is rendered larger is resized.
    """

    def __init__(self, environment: Any, size: int) -> None:
        super().__init__(environment)
        self._size = size
        goals = {name: environment.observation_space[name] for name in ("achieved_goal", "desired_goal")}
        self.observation_space = spaces.Dict({"frames": spaces.Box(0, 255, (3, size, size), np.uint8), **goals})

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**options)
        return self._shown(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._shown(observation), reward, terminated, truncated, info

    def _shown(self, observation: dict[str, Any]) -> dict[str, Any]:
        drawn: Any = self.env.render()
        frame = resized(drawn, self._size)
        goals = {name: observation[name] for name in ("achieved_goal", "desired_goal")}
        return {"frames": np.ascontiguousarray(frame.transpose(2, 0, 1)), **goals}


def maker(task: str, size: int, large: int | None = None, like_ours: bool = False) -> Callable[[], WithFrames]:
    """Makes such an environment where it is called, in another process, say.

    Args:
        task: Task id.
        size: Of the frame that is shown.
        large: Render at this size and resize; ``None`` renders natively.
        like_ours: As in :func:`make`.
    """
    return lambda: WithFrames(make(task, large or size, like_ours), size)
