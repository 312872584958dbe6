"""The worker's side: steps and draws its share of the environments when told to."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import traceback
from typing import IO, Any

import numpy as np

from fetchbench.environment.cameras import get_camera
from fetchbench.environment.memory import SharedArrays
from fetchbench.environment.tasks import get_task
from fetchbench.errors import RenderingError, one_line
from fetchbench.protocol import Scene
from fetchbench.specs import PixelSpec


def serve(connection: socket.socket, memory: int) -> None:
    """Answer one JSON line with one JSON line until the trainer hangs up.

    The first line is the assignment (:class:`Worker`'s arguments), the following ones
    ``{"do": "reset" | "step" | "scatter"}``; seeds, actions, observations and frames pass through the shared memory. An
    answer is ``{"report": {...}}``, ``{}`` or ``{"error": text, "kind": "rendering" | "other"}``.
    """
    with connection, connection.makefile("r") as incoming, connection.makefile("w") as outgoing:
        try:
            worker = Worker(memory, **json.loads(incoming.readline()))
            _answer(outgoing, {"report": worker.report})
            for line in incoming:
                worker.do(json.loads(line)["do"])
                _answer(outgoing, {})
        except OSError:
            # The trainer is gone; so is the need for this process.
            return
        except RenderingError as error:
            _answer(outgoing, {"error": str(error), "kind": "rendering"})
        except Exception as error:
            traceback.print_exc()
            text = one_line(error)
            _answer(outgoing, {"error": f"{type(error).__name__}: {text}", "kind": "other"})


def _answer(outgoing: IO[str], value: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # a trainer that is gone needs no answer
        outgoing.write(json.dumps(value) + "\n")
        outgoing.flush()


def _load_opengl() -> None:
    """MuJoCo loads the OpenGL library when it is imported.

    Raises:
        RenderingError: It cannot.
    """
    try:
        import mujoco  # noqa: F401
    except Exception as error:
        raise RenderingError(one_line(error) or type(error).__name__) from error


class Worker:
    """Environments ``start`` to ``stop`` of those that share the memory.

    Args:
        memory: Descriptor of the shared file.
        task: Task id.
        count: Environments over all workers.
        start: First of this worker's.
        stop: One past its last.
        scene: Fields of the :class:`~fetchbench.protocol.Scene`.
        pixels: Fields of the :class:`~fetchbench.specs.PixelSpec`; ``None`` draws nothing and needs no OpenGL.
        image_goals: Whether every episode has a goal that can be shown, and, with pixels, a goal image.

    Raises:
        RenderingError: Frames are wanted and there is no usable OpenGL.
    """

    def __init__(
        self,
        memory: int,
        *,
        task: str,
        count: int,
        start: int,
        stop: int,
        scene: dict[str, Any],
        pixels: dict[str, Any] | None,
        image_goals: bool,
    ) -> None:
        spec = None if pixels is None else PixelSpec(**pixels)
        if spec is not None:
            _load_opengl()
        from fetchbench.environment.goal_scenes import GoalStage
        from fetchbench.environment.simulation import Simulation

        self._arrays = SharedArrays(memory, get_task(task), count, spec.size if spec else None, image_goals)
        os.close(memory)
        self._simulations = {i: Simulation(get_task(task)) for i in range(start, stop)}
        self._stage = GoalStage(get_task(task), get_camera(scene["camera"], task)) if image_goals else None
        self._renderer = None
        self.report: dict[str, str] = {}
        if spec is not None:
            from fetchbench.environment.rendering import FrameRenderer

            self._renderer = FrameRenderer(self._simulations[start], task, Scene(**scene), spec)
            self.report = self._renderer.report

    def do(self, what: str) -> None:
        """Reset, step or scatter every environment, then write what it led to."""
        a = self._arrays
        for i, simulation in self._simulations.items():
            if what == "reset":
                observation = simulation.reset(self._stage_goal(i))
            elif what == "step":
                observation = simulation.step(np.array(a.action[i]))
            elif what == "scatter":
                observation = simulation.scatter(int(a.seed[i]))
            else:
                raise ValueError(f"unknown command {what!r}")
            a.observation[i] = observation["observation"]
            a.achieved[i] = observation["achieved_goal"]
            a.desired[i] = observation["desired_goal"]
            if self._renderer is not None and a.frames is not None:
                a.frames[i] = self._renderer.draw(simulation)

    def _stage_goal(self, i: int) -> int:
        """The seed to reset an environment with; with image goals, of an episode whose goal image has been drawn."""
        a, seed = self._arrays, int(self._arrays.seed[i])
        if self._stage is not None:
            seed = self._stage.stage(seed)
            if self._renderer is not None and a.goal_frames is not None:
                a.goal_frames[i] = self._renderer.draw(self._stage.simulation)
        return seed
