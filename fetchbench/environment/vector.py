"""The trainer's side of the environment workers: batches in, batches out. Nothing here knows about learning."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fetchbench.environment.memory import SharedArrays
from fetchbench.environment.tasks import Task, get_task
from fetchbench.errors import FetchbenchError, RenderingError, WorkerError
from fetchbench.protocol import Scene
from fetchbench.specs import PixelSpec

BACKENDS = ("egl", "osmesa")
"""OpenGL backends that need no display, in the order in which they are tried."""

START_TIMEOUT_S = 300.0
"""A cold start imports MuJoCo and gymnasium from a disk that may be slow."""


@dataclass(frozen=True)
class Usage:
    """What the workers took so far.

    Attributes:
        core_s: Processor time, seconds.
        peak_memory_mb: Sum of their peaks of resident memory.
    """

    core_s: float = 0.0
    peak_memory_mb: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.core_s + other.core_s, self.peak_memory_mb + other.peak_memory_mb)


@dataclass(frozen=True)
class Observations:
    """N environments at one moment.

    Attributes:
        observation: ``float64 (N, D)``, the task's whole observation.
        achieved: ``float64 (N, 3)``, the achieved goal, metres.
        desired: ``float64 (N, 3)``, the goal, metres.
        frames: ``uint8 (N, 3, H, W)``; ``None`` without pixels.
        goal_frames: ``uint8 (N, 3, H, W)``, for each environment a scene in which its goal is met, as ``frames`` would show
            it. Of a reset that has image goals and pixels; else ``None``.
    """

    observation: NDArray[np.float64]
    achieved: NDArray[np.float64]
    desired: NDArray[np.float64]
    frames: NDArray[np.uint8] | None
    goal_frames: NDArray[np.uint8] | None = None


class VectorEnvironment:
    """N environments of one task, shared out over worker processes.

    What comes back depends on seeds and actions alone, not on how many workers there are or how fast they are.

    Args:
        task: The task.
        scene: Camera, marker, lighting.
        pixels: What to draw; ``None`` draws nothing and needs no OpenGL.
        count: N.
        workers: Processes.
        timeout_s: A worker that takes longer over one step has hung.
        image_goals: Whether every goal must be one that an image can show; with pixels, resets return the images. An episode
            whose goal no scene meets (on FetchReach 8 % lie lower than the gripper can go) is drawn again, with and without
            pixels: it is the one of its seed + 2**32, and so on. All others are as without image goals, to the last bit.

    Attributes:
        count: N.
        report: Backend, renderer and version of OpenGL; empty without pixels.

    Raises:
        RenderingError: Frames are wanted and there is no usable OpenGL.
        WorkerError: A worker died, hung, or failed.
    """

    def __init__(
        self,
        task: Task,
        scene: Scene,
        pixels: PixelSpec | None,
        count: int,
        workers: int = 1,
        timeout_s: float = 120.0,
        image_goals: bool = False,
    ) -> None:
        self.count = count
        self._timeout_s = timeout_s
        self._workers: list[_Worker] = []
        self._ended = Usage()
        size = pixels.size if pixels else None
        assignment = {
            "task": task.id,
            "count": count,
            "scene": scene.model_dump(mode="json"),
            "pixels": dataclasses.asdict(pixels) if pixels else None,
            "image_goals": image_goals,
        }
        bounds = np.linspace(0, count, min(workers, count) + 1).astype(int).tolist()
        shares = [assignment | {"start": a, "stop": b} for a, b in itertools.pairwise(bounds)]
        memory = SharedArrays.create(task, count, size, image_goals)
        try:
            self._arrays = SharedArrays(memory, task, count, size, image_goals)
            self.report = self._start(shares, memory, pixels is not None)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(memory)

    def _start(self, shares: Sequence[dict[str, Any]], memory: int, draws: bool) -> dict[str, str]:
        """Start the workers: the first one finds the backend, the others follow side by side."""
        if not draws:
            self._workers = [_Worker(share, memory, "disable") for share in shares]
            for worker in self._workers:
                worker.wait(START_TIMEOUT_S)
            return {}
        refused = {}
        for backend in _backends():
            first = _Worker(shares[0], memory, backend)
            try:
                report: dict[str, str] = first.wait(START_TIMEOUT_S)["report"]
            except (RenderingError, WorkerError) as error:
                first.close()
                if isinstance(error, WorkerError) and not first.crashed:
                    raise
                # A broken driver may take the whole process down.
                refused[backend] = str(error)
                continue
            except BaseException:
                first.close()
                raise
            self._workers = [first, *(_Worker(share, memory, backend) for share in shares[1:])]
            for worker in self._workers[1:]:
                worker.wait(START_TIMEOUT_S)
            return report
        raise RenderingError(_no_opengl(refused))

    @property
    def processes(self) -> list[int]:
        """The workers' process ids."""
        return [worker.pid for worker in self._workers]

    def reset(self, seeds: Sequence[int]) -> Observations:
        """Begin N episodes.

        Args:
            seeds: One per environment; an episode is a function of its seed and actions.
        """
        self._arrays.seed[:] = seeds
        self._tell("reset")
        state, images = self.step_wait(), self._arrays.goal_frames
        return state if images is None else dataclasses.replace(state, goal_frames=images.copy())

    def scatter(self, seeds: Sequence[int]) -> Observations:
        """Bring the gripper and the object of every environment to random places, within an episode.

        No part of any task: for measuring what can be seen of a scene. The next :meth:`reset` begins an episode as if
        nothing had been.

        Args:
            seeds: One per environment; the places are a function of it.
        """
        self._arrays.seed[:] = seeds
        self._tell("scatter")
        return self.step_wait()

    def step(self, action: NDArray[np.float32]) -> Observations:
        """One step of every environment.

        Args:
            action: ``float32 (N, A)`` in [-1, 1].
        """
        self.step_async(action)
        return self.step_wait()

    def step_async(self, action: NDArray[np.float32]) -> None:
        """Start a step; :meth:`step_wait` must follow."""
        self._arrays.action[:] = action
        self._tell("step")

    def step_wait(self) -> Observations:
        """What the step that was started led to."""
        for worker in self._workers:
            worker.wait(self._timeout_s)
        a = self._arrays
        frames = None if a.frames is None else a.frames.copy()
        return Observations(a.observation.copy(), a.achieved.copy(), a.desired.copy(), frames)

    def _tell(self, what: str) -> None:
        for worker in self._workers:
            worker.tell({"do": what})

    def usage(self) -> Usage:
        """What the workers took, those that were closed included."""
        return sum((worker.usage() for worker in self._workers), self._ended)

    def close(self) -> None:
        """End the workers."""
        self._ended = self.usage()
        for worker in self._workers:
            worker.close()
        self._workers = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Worker:
    """One worker process and the socket to it."""

    def __init__(self, assignment: dict[str, Any], memory: int, backend: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: the current folder is the user's, and holds what it holds.
            command = [sys.executable, "-P", "-m", "fetchbench.environment", str(theirs.fileno()), str(memory)]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), memory),
                env=drawing_environment(backend),
            )
        self.pid = self._process.pid
        self._socket = ours
        self._incoming = ours.makefile("r")
        self.tell(assignment)

    def tell(self, value: dict[str, Any]) -> None:
        with self._watched():
            self._socket.sendall(json.dumps(value).encode() + b"\n")

    def wait(self, timeout_s: float) -> dict[str, Any]:
        """The worker's answer.

        Raises:
            RenderingError: It cannot draw.
            WorkerError: It failed, died, or did not answer in time.
        """
        self._socket.settimeout(timeout_s)
        with self._watched(timeout_s):
            line = self._incoming.readline()
            if not line.endswith("\n"):
                raise ConnectionResetError
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            if answer["kind"] == "rendering":
                raise RenderingError(answer["error"])
            raise WorkerError(f"environment worker {self.pid} failed: {answer['error']}; its traceback is above")
        return answer

    @contextmanager
    def _watched(self, timeout_s: float = 0.0) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise WorkerError(f"environment worker {self.pid} did not answer in {timeout_s:g} s") from error
        except OSError as error:
            raise WorkerError(f"environment worker {self.pid} {self._fate()}") from error

    def _fate(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "hung up"
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    @property
    def crashed(self) -> bool:
        """Whether a signal ended it."""
        return (self._process.returncode or 0) < 0

    def usage(self) -> Usage:
        process = Path("/proc", str(self.pid))
        try:
            # Behind the command's name, which may hold anything but a closing bracket: utime and stime, fields 14 and 15.
            times = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
            peak = re.search(r"^VmHWM:\s+(\d+) kB", (process / "status").read_text(), re.MULTILINE)
        except OSError:
            return Usage()
        ticks = os.sysconf("SC_CLK_TCK")
        return Usage(sum(map(int, times)) / ticks, int(peak[1]) / 1024 if peak else 0.0)

    def close(self) -> None:
        """Hang up, and end the process if it does not follow."""
        self._incoming.close()
        self._socket.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def drawing_environment(backend: str) -> dict[str, str]:
    """Environment variables of a process that draws: one core, by a backend.

    Mesa's software renderer and numpy's matrix product take all cores for themselves unless they are told; what the user
    told them stands.
    """
    return {"LP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **os.environ, "MUJOCO_GL": backend}


def _backends() -> tuple[str, ...]:
    """The backends to try: the user's choice alone, where ``MUJOCO_GL`` makes one."""
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    return (chosen,) if chosen else BACKENDS


def _no_opengl(refused: dict[str, str]) -> str:
    reasons = "; ".join(f"{backend}: {reason}" for backend, reason in refused.items())
    advice = "install software OpenGL (Debian, Ubuntu: `apt-get install -y libegl1 libgl1 libgl1-mesa-dri`)"
    if os.environ.get("MUJOCO_GL"):
        advice = "unset MUJOCO_GL to let fetchbench choose, or " + advice
    return f"no usable OpenGL, so no frame can be drawn ({reasons}); {advice}"


def probe() -> dict[str, str]:
    """Draw one frame in a worker, as runs do.

    Returns:
        ``backend``, ``renderer`` and ``opengl`` (its version).

    Raises:
        RenderingError: There is no usable OpenGL; the message says what to install.
        WorkerError: The worker failed in another way.
    """
    with VectorEnvironment(get_task("FetchReach-v4"), Scene(), PixelSpec(size=16), 1) as environment:
        frames = environment.reset([0]).frames
        if frames is None or frames.min() == frames.max():
            raise FetchbenchError("OpenGL draws blank frames; another driver may help, or MUJOCO_GL=osmesa")
        return environment.report
