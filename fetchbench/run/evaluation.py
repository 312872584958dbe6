"""Scoring the deterministic policy in the task's own terms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fetchbench.environment.tasks import Task
from fetchbench.environment.vector import VectorEnvironment
from fetchbench.learner.build import Built
from fetchbench.records.schema import EvaluationPoint
from fetchbench.run.rollout import Rollout

LAST_STEPS = 10


def evaluate(
    environment: VectorEnvironment,
    task: Task,
    built: Built,
    seed_of: Callable[[int], int],
    *,
    count: int,
    steps: int,
) -> EvaluationPoint:
    """Run episodes until ``count`` of them were unsolved at reset.

    An episode that starts solved says nothing (doing nothing solves it), so it counts for the raw rate only.

    Args:
        environment: Reset for every episode; nothing of it survives.
        task: Its own rule decides success.
        built: The policy.
        seed_of: Reset seed of the i-th episode.
        count: Episodes that count.
        steps: Environment steps of training so far.
    """
    solved: list[np.ndarray] = []  # per episode drawn: bool (T+1,)
    distance: list[float] = []
    counted = drawn = 0
    while counted < count:
        rollout = Rollout(environment, task, built, [seed_of(drawn + i) for i in range(environment.count)])
        while not rollout.over:
            rollout.begin(rollout.act())
            rollout.finish()
        goals = np.repeat(rollout.desired[:, None], task.horizon + 1, axis=1)
        success = task.success(rollout.achieved, goals)  # (N, T+1)
        final = np.linalg.norm(rollout.achieved[:, -1] - rollout.desired, axis=-1)
        for i in range(environment.count):
            if counted < count:
                solved.append(success[i])
                distance.append(float(final[i]))
                counted += not success[i, 0]
                drawn += 1
    raw = np.stack(solved)  # (drawn, T+1)
    kept = ~raw[:, 0]
    outcome = raw[kept][:, 1:]  # (count, T)
    return EvaluationPoint(
        steps=steps,
        updates=built.learner.updates,
        success=float(outcome[:, -1].mean()),
        success_any=float(outcome.any(axis=1).mean()),
        success_last_ten=float(outcome[:, -LAST_STEPS:].mean()),
        success_raw=float(raw[:, -1].mean()),
        episodes=counted,
        drawn=drawn,
        return_mean=float((outcome.sum(axis=1) - outcome.shape[1]).mean()),
        distance_m=round(float(np.asarray(distance)[kept].mean()), 6),
    )
