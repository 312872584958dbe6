"""Episodes of random numbers in a task's shapes, for both sides' replay: what is in them costs neither side anything."""

from __future__ import annotations

import numpy as np

from fetchbench.environment.tasks import Task
from fetchbench.replay import EpisodeBatch, Replay

BLOCK = 20
"""Distinct episodes; larger replays hold them many times over, each time in memory of its own."""


def random_episodes(task: Task, size: int, count: int = BLOCK, seed: int = 0) -> EpisodeBatch:
    """``count`` episodes with frames ``uint8 (count, T+1, 3, size, size)``."""
    rng = np.random.default_rng(seed)
    states = (count, task.horizon + 1)
    center = np.array(task.goal_center)
    return EpisodeBatch(
        observation=rng.normal(size=(*states, task.observation_dim)).astype(np.float32),
        achieved=rng.normal(center, 0.1, (*states, task.goal_dim)).astype(np.float32),
        desired=rng.normal(center, 0.1, (count, task.goal_dim)).astype(np.float32),
        action=rng.uniform(-1, 1, (count, task.horizon, task.action_dim)).astype(np.float32),
        frames=rng.integers(0, 256, (*states, 3, size, size), dtype=np.uint8),
    )


def filled_replay(task: Task, episodes: EpisodeBatch, transitions: int, device: str = "cpu") -> Replay:
    """Our replay on a device, full of the given episodes, over and over: every page of its memory has been written."""
    assert episodes.frames is not None
    replay = Replay(
        capacity=transitions // task.horizon,
        horizon=task.horizon,
        observation_dim=task.observation_dim,
        action_dim=task.action_dim,
        frame=episodes.frames.shape[2:],
        device=device,
    )
    while left := replay.capacity - len(replay):
        replay.add(EpisodeBatch(**{name: array[:left] for name, array in episodes.arrays().items()}))
    return replay
