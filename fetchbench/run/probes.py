"""What the encoders' features hold, measured along a run on scenes that have nothing to do with what the policy does.

On random play the object moves in one episode of six, and what a policy visits changes as it learns. So the scenes are drawn
apart: gripper and object are scattered, and each stack is of real, consecutive frames from there on. They are the same for
every method and seed of a task.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fetchbench.environment.tasks import Task, get_task
from fetchbench.environment.vector import VectorEnvironment
from fetchbench.errors import DivergedError
from fetchbench.learner.build import Built
from fetchbench.learner.sac import Learner
from fetchbench.records.schema import Probe, RunRequest
from fetchbench.run.streams import stream_seed
from fetchbench.statistics.probing import FOLDS, Readout, dead_units, drift, effective_rank, read_out

INTERVALS = 4
"""Encoders that learn are probed before training and after each quarter of the budget."""

MOST_SCENES = 2000
SCENES_PER_RESET = 10
FEWEST_SCENES = FOLDS * SCENES_PER_RESET
STEPS_PER_SCENE = 10
"""A run draws at most one scene for so many of its own steps, so that a short one spends its time on learning."""
FRAMES_PER_FROZEN_FRAME = 50
"""Of frozen encoders, whose whole cost may be embedding frames: at most one probed frame for so many of the run's own."""

BATCH = 256
BATCH_PIXELS = 2**22
"""Largest batch, in stacks and in pixels: a large network on large frames must not need more memory than training does."""

READ_FEATURES = 2048
"""Features that are read out and ranked, evenly spaced where there are more: flattened maps are tens of thousands wide."""
MOST_BYTES = 2**29
"""Of frames that are kept between the points of a run: large frames in long stacks are fewer scenes."""

RANK_SCENES = 1000
"""The effective rank is that of the first scenes."""
DRIFT_SCENES, DRIFT_FEATURES = 256, 1024
"""Drift is measured on the first scenes, and on features evenly spaced where there are more: a checkpoint keeps them."""


@dataclass(frozen=True)
class Scenes:
    """Stacks of frames and where things are in the last frame of each.

    Attributes:
        frames: ``uint8 (n, F, 3, H, W)``.
        positions: ``"gripper_xyz"`` -> ``float64 (n, 3)`` and, on tasks with an object, ``"object_xy"`` -> ``(n, 2)``, metres.
        resets: ``int64 (n,)``, the number of the reset that each began with.
    """

    frames: NDArray[np.uint8]
    positions: dict[str, NDArray[np.float64]]
    resets: NDArray[np.int64]


def scene_count(request: RunRequest, frozen: bool) -> int:
    """Scenes to probe a run on: :data:`MOST_SCENES`, or as many as its budget can afford; a whole number of resets.

    Args:
        request: Its budget, evaluations and frame stack decide.
        frozen: Whether the encoder never learns. Such a run is probed once, and may do little but embed frames.
    """
    steps, evaluation = request.budget.steps, request.evaluation
    count = min(MOST_SCENES, steps // STEPS_PER_SCENE)
    if frozen:
        evaluated = math.ceil(steps / evaluation.every_steps) * evaluation.episodes * get_task(request.task).horizon
        stack = request.method.pixels.stack if request.method.pixels else 1
        count = min(count, (steps + evaluated) // (FRAMES_PER_FROZEN_FRAME * stack))
    return max(FEWEST_SCENES, count // SCENES_PER_RESET * SCENES_PER_RESET)


def draw_scenes(environment: VectorEnvironment, task: Task, stack: int, count: int) -> Scenes:
    """Draw scenes: a function of the task and of their number alone, however many environments draw them.

    In each scene the gripper and the object are scattered, and the gripper then moves on at a constant random action for the
    frames of a stack.

    Args:
        environment: Draws frames. Whatever it was doing is lost.
        task: Its task.
        stack: F, frames per scene.
        count: A multiple of :data:`SCENES_PER_RESET`; fewer scenes are the first of more.
    """
    n, resets = environment.count, count // SCENES_PER_RESET
    frames: NDArray[np.uint8] | None = None
    observation = np.empty((count, task.observation_dim))
    achieved = np.empty((count, task.goal_dim))
    for first in range(0, resets, n):
        plans = [_Plan(task, first + i) for i in range(n)]
        kept = min(n, resets - first)  # the last environments may be idle in the last round
        environment.reset([plan.reset for plan in plans])
        for scene in range(SCENES_PER_RESET):
            rows = (first + np.arange(kept)) * SCENES_PER_RESET + scene
            state = environment.scatter([plan.scatter[scene] for plan in plans])
            for f in range(stack):
                if f > 0:
                    state = environment.step(np.stack([plan.actions[scene] for plan in plans]))
                assert state.frames is not None  # a method with an encoder draws
                if frames is None:
                    frames = np.empty((count, stack, *state.frames.shape[1:]), np.uint8)
                frames[rows, f] = state.frames[:kept]
            observation[rows], achieved[rows] = state.observation[:kept], state.achieved[:kept]
    assert frames is not None
    positions = {"gripper_xyz": observation[:, :3]} | ({"object_xy": achieved[:, :2]} if task.has_object else {})
    return Scenes(frames, positions, np.arange(count) // SCENES_PER_RESET)


class _Plan:
    """The random numbers of one reset's scenes, from a stream that no run draws from."""

    def __init__(self, task: Task, reset: int) -> None:
        rng = np.random.default_rng(stream_seed(task.id, 0, "probe", reset))
        self.reset, *self.scatter = rng.integers(2**62, size=1 + SCENES_PER_RESET).tolist()
        self.actions = rng.uniform(-1, 1, (SCENES_PER_RESET, task.action_dim)).astype(np.float32)


def embed(learner: Learner, encoder: nn.Module, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features of stacks as they are when acting: ``uint8 (n, F, 3, H, W)`` -> ``float32 (n, dim)``.

    Raises:
        DivergedError: A feature is not finite.
    """
    size = max(1, min(BATCH, BATCH_PIXELS // (frames.shape[1] * frames.shape[3] * frames.shape[4])))
    parts = []
    for start in range(0, len(frames), size):
        batch = torch.from_numpy(frames[start : start + size]).to(learner.device)
        parts.append(learner.features(encoder, batch).float().cpu())
    z: NDArray[np.float32] = torch.cat(parts).numpy()
    if not np.isfinite(z).all():
        raise DivergedError(f"a feature of the encoder is not finite after {learner.updates} updates")
    return z


class Probes:
    """The probes of one run, at the points that are due.

    All that they depend on is a function of the request, of the networks and of :meth:`state_dict`, so a run that is killed
    and continued has the same. The scenes are drawn when they are first needed, and kept while more points follow.

    Args:
        request: The run.
        built: Its networks.
        environment: The run's own, between two rounds: episodes begin with a reset, so nothing of the scenes is left in it.

    Attributes:
        points: What was found so far, by rising step.
        spent_s: Seconds that it took.
    """

    def __init__(self, request: RunRequest, built: Built, environment: VectorEnvironment) -> None:
        self._request, self._built, self._environment = request, built, environment
        self._scenes: Scenes | None = None
        self._before: dict[str, Tensor] = {}
        self.points: list[Probe] = []
        self.spent_s = 0.0

    def take(self, steps: int) -> list[Probe]:
        """Probe every encoder, if a point was reached since the last time; returns what was found now.

        Args:
            steps: Environment steps of training so far.

        Raises:
            DivergedError: A feature is not finite.
        """
        encoders = self._built.learner.encoders
        if encoders is None or not self._due(steps, encoders.trainable):
            return []
        began = time.monotonic()
        scenes = self._scenes or self._draw(frozen=not encoders.trainable)
        found = [self._probe(name, encoder, scenes, steps) for name, encoder in encoders.named()]
        last = not encoders.trainable or self._interval(steps) == INTERVALS
        self._scenes = None if last else scenes
        if last:
            self._before.clear()
        self.points += found
        self.spent_s += time.monotonic() - began
        return found

    def _due(self, steps: int, trainable: bool) -> bool:
        if not self.points:
            return True
        return trainable and self._interval(steps) > self._interval(self.points[-1].steps)

    def _interval(self, steps: int) -> int:
        """How many of the budget's quarters are over; the last round may go beyond it."""
        return min(INTERVALS, INTERVALS * steps // self._request.budget.steps)

    def _draw(self, frozen: bool) -> Scenes:
        task, count = get_task(self._request.task), scene_count(self._request, frozen)
        rendered, stack = self._built.rendered, self._built.learner.stack
        assert rendered is not None  # a method with an encoder draws
        fitting = MOST_BYTES // (stack * 3 * rendered.size**2) // SCENES_PER_RESET * SCENES_PER_RESET
        count = max(FEWEST_SCENES, min(count, fitting))
        return draw_scenes(self._environment, task, self._built.learner.stack, count)

    def _probe(self, name: str, encoder: nn.Module, scenes: Scenes, steps: int) -> Probe:
        learner = self._built.learner
        z = embed(learner, encoder, scenes.frames)
        some = np.ascontiguousarray(z[:, _evenly(z.shape[1], READ_FEATURES)])
        read: dict[str, Readout] = read_out(some, scenes.positions, scenes.resets)
        sample = np.ascontiguousarray(z[:DRIFT_SCENES, _evenly(z.shape[1], DRIFT_FEATURES)])
        before = self._before.get(name)
        self._before[name] = torch.from_numpy(sample)
        # Rounded far beyond what the scenes can tell, and short of where linear algebra differs between machines.
        return Probe(
            steps=steps,
            updates=learner.updates,
            encoder=name,
            scenes=len(z),
            r2={key: round(value.r2, 4) for key, value in read.items()},
            error_cm={key: round(100 * value.error, 3) for key, value in read.items()},
            mean_error_cm={key: round(100 * value.mean_error, 3) for key, value in read.items()},
            effective_rank=round(effective_rank(some[:RANK_SCENES]), 2),
            dead_units=dead_units(z),
            drift=None if before is None else round(drift(before.numpy(), sample), 5),
        )

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs: the points so far, and the features that the next drift is measured from."""
        points = [point.model_dump() for point in self.points]
        return {"points": points, "before": dict(self._before), "spent_s": self.spent_s}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.points = [Probe(**point) for point in state["points"]]
        self._before, self.spent_s = dict(state["before"]), state["spent_s"]


def _evenly(width: int, most: int) -> NDArray[np.int64]:
    """At most so many columns of ``width``, evenly spaced: the first of a flattened map are but a few of its channels."""
    return np.arange(width) if width <= most else np.linspace(0, width - 1, most).astype(np.int64)
