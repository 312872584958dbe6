"""Frames of a simulation, drawn from a scratch copy of its state. Imported by workers alone: it brings MuJoCo and OpenGL."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from fetchbench.environment.cameras import get_camera
from fetchbench.environment.resizing import area_weights, resize
from fetchbench.environment.simulation import Simulation
from fetchbench.errors import RenderingError, one_line
from fetchbench.protocol import Scene
from fetchbench.specs import PixelSpec

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


class FrameRenderer:
    """Draws simulations of one task, in one scene, at one size.

    One of them per process: two OpenGL contexts of different sizes in one process have been seen to spoil each other's frames.

    The stock ``render()`` calls ``mj_forward`` on the live state and so changes what follows: on PickAndPlace equal actions
    end up to 13 cm apart. Here the state is copied first, and brought up to date in the copy.

    Args:
        simulation: Any simulation of the task; all of them share one model.
        task: Its id.
        scene: Camera, marker, lighting.
        pixels: Size, resizing, multisampling.

    Raises:
        RenderingError: There is no usable OpenGL here.
    """

    def __init__(self, simulation: Simulation, task: str, scene: Scene, pixels: PixelSpec) -> None:
        size = pixels.render_size or pixels.size
        self._model = _dressed(simulation.model, scene, size, pixels.offsamples)
        self._scratch = mujoco.MjData(self._model)
        self._state = np.empty(mujoco.mj_stateSize(self._model, _STATE))
        self._camera = _free_camera(scene.camera, task)
        self._marker = _site(self._model, "target0") if scene.marker == "shown" else None
        self._weights = None if size == pixels.size else area_weights(size, pixels.size)
        with _refusals():
            self._renderer = mujoco.Renderer(self._model, size, size)
            self.report = _report()
        if scene.lighting == "plain":
            for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
                self._renderer.scene.flags[flag] = 0

    def draw(self, simulation: Simulation) -> NDArray[np.uint8]:
        """The frame of a simulation's state: ``uint8 (3, H, W)``. The simulation is left as it is, to the last bit."""
        mujoco.mj_getState(simulation.model, simulation.data, self._state, _STATE)
        mujoco.mj_setState(self._model, self._scratch, self._state, _STATE)
        if self._marker is not None:
            body = self._model.site_bodyid[self._marker]
            self._model.site_pos[self._marker] = simulation.goal - self._model.body_pos[body]
        # All that drawing needs of mj_forward: where things, cameras and lights are.
        mujoco.mj_kinematics(self._model, self._scratch)
        mujoco.mj_comPos(self._model, self._scratch)
        mujoco.mj_camlight(self._model, self._scratch)
        self._renderer.update_scene(self._scratch, self._camera)
        frame: NDArray[np.uint8] = self._renderer.render().transpose(2, 0, 1)  # (3, H, W)
        return frame if self._weights is None else resize(frame, self._weights)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Broken drivers raise almost anything: ImportError, AttributeError, RuntimeError, OpenGL's own errors.

    A renderer that could not be built also complains, on stderr, when it is thrown away; that says nothing more.
    """
    try:
        yield
    except Exception as error:
        sys.unraisablehook = lambda _: None
        raise RenderingError(one_line(error) or type(error).__name__) from None


def _dressed(model: Any, scene: Scene, size: int, offsamples: int) -> Any:
    """A copy of a model, as the scene shows it."""
    model = copy.copy(model)
    model.vis.global_.offwidth = model.vis.global_.offheight = size
    model.vis.quality.offsamples = offsamples
    # The mocap body that drags the gripper is drawn as a cross-hair over the whole image.
    model.geom_rgba[model.body_mocapid[model.geom_bodyid] >= 0, 3] = 0
    shown = _site(model, "target0") if scene.marker == "shown" else None
    model.site_rgba[[site for site in range(model.nsite) if site != shown], 3] = 0
    return model


def _site(model: Any, name: str) -> int:
    return int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, name))


def _free_camera(name: str, task: str) -> Any:
    camera, given = mujoco.MjvCamera(), get_camera(name, task)
    camera.lookat = given.lookat
    camera.distance, camera.azimuth, camera.elevation = given.distance, given.azimuth, given.elevation
    return camera


def _report() -> dict[str, str]:
    """What draws: backend, renderer and version of OpenGL, of the context that is current."""
    from OpenGL import GL

    def text(name: Any) -> str:
        value = GL.glGetString(name)
        return value.decode(errors="replace") if value else "unknown"

    return {
        "backend": os.environ.get("MUJOCO_GL", ""),
        "renderer": text(GL.GL_RENDERER),
        "opengl": text(GL.GL_VERSION),
    }
