"""Scenes to look at an encoder with, apart from what any policy does, and what the encoder makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fetchbench.environment.tasks import Task
from fetchbench.environment.vector import VectorEnvironment
from fetchbench.errors import DivergedError
from fetchbench.learner.sac import Learner
from fetchbench.run.streams import stream_seed

SCENES_PER_RESET = 10

BATCH = 256
BATCH_PIXELS = 2**22
"""Largest batch, in stacks and in pixels: a large network on large frames must not need more memory than training does."""


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
