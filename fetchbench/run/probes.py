"""What the encoders' features hold, measured along a run on scenes that have nothing to do with what the policy does.

On random play the object moves in one episode of six, and what a policy visits changes as it learns. So the scenes are drawn
apart: gripper and object are scattered, and each stack is of real, consecutive frames from there on. They are the same for
every method and seed of a task.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fetchbench.environment.tasks import get_task
from fetchbench.environment.vector import VectorEnvironment
from fetchbench.learner.build import Built
from fetchbench.records.schema import GoalDistance, Probe, RunRequest
from fetchbench.run.goal_distance import measure
from fetchbench.run.scenes import SCENES_PER_RESET, Scenes, draw_scenes, embed
from fetchbench.statistics.probing import FOLDS, Readout, dead_units, drift, effective_rank, read_out

INTERVALS = 4
"""Encoders that learn are probed before training and after each quarter of the budget."""

MOST_SCENES = 2000
FEWEST_SCENES = FOLDS * SCENES_PER_RESET
STEPS_PER_SCENE = 10
"""A run draws at most one scene for so many of its own steps, so that a short one spends its time on learning."""
FRAMES_PER_FROZEN_FRAME = 50
"""Of frozen encoders, whose whole cost may be embedding frames: at most one probed frame for so many of the run's own."""

READ_FEATURES = 2048
"""Features that are read out and ranked, evenly spaced where there are more: flattened maps are tens of thousands wide."""
MOST_BYTES = 2**29
"""Of frames that are kept between the points of a run: large frames in long stacks are fewer scenes."""

RANK_SCENES = 1000
"""The effective rank is that of the first scenes."""
DRIFT_SCENES, DRIFT_FEATURES = 256, 1024
"""Drift is measured on the first scenes, and on features evenly spaced where there are more: a checkpoint keeps them."""


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
        goal_distance: How well the method's distance between images follows the true one, at the last point; ``None`` before,
            and where it has none.
        spent_s: Seconds that it took.
    """

    def __init__(self, request: RunRequest, built: Built, environment: VectorEnvironment) -> None:
        self._request, self._built, self._environment = request, built, environment
        self._scenes: Scenes | None = None
        self._before: dict[str, Tensor] = {}
        self.points: list[Probe] = []
        self.goal_distance: GoalDistance | None = None
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
            pairs = measure(self._built, scenes)
            self.goal_distance = None if pairs is None else pairs.summary()
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
        distance = None if self.goal_distance is None else self.goal_distance.model_dump()
        return {"points": points, "before": dict(self._before), "goal_distance": distance, "spent_s": self.spent_s}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.points = [Probe(**point) for point in state["points"]]
        self._before, self.spent_s = dict(state["before"]), state["spent_s"]
        distance = state.get("goal_distance")
        self.goal_distance = None if distance is None else GoalDistance(**distance)


def _evenly(width: int, most: int) -> NDArray[np.int64]:
    """At most so many columns of ``width``, evenly spaced: the first of a flattened map are but a few of its channels."""
    return np.arange(width) if width <= most else np.linspace(0, width - 1, most).astype(np.int64)
