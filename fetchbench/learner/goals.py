"""The built-in goal space: goals are positions, rewards follow the task's own rule."""

from __future__ import annotations

import torch
from torch import Tensor

from fetchbench.environment.tasks import Task
from fetchbench.replay import Replay
from fetchbench.specs import GoalIndices, GoalSpaceSpec


class VectorGoals:
    """Goals as the task states them, in metres (Plappert et al. 2018, arXiv:1802.09464).

    Args:
        task: Its threshold and the constants that centre and scale its goals.
        scaled: Whether the networks see centred and scaled goals, or raw ones.
        hindsight: Whether transitions are relabelled; without, every goal is the one that its episode pursued: a control.
    """

    def __init__(self, task: Task, scaled: bool = True, hindsight: bool = True) -> None:
        self.hindsight = hindsight
        self.threshold = task.threshold
        self.embedding_dim = task.goal_dim
        self._center = torch.tensor(task.goal_center if scaled else (0.0,) * task.goal_dim)
        self._scale = torch.as_tensor(task.goal_scale if scaled else 1.0)

    def relabel(self, replay: Replay, indices: GoalIndices) -> Tensor:
        """The achieved goal at ``goal_step`` where relabelled, else the episode's own: ``(B, 3)``."""
        pursued = replay.desired[indices.episode]
        if not self.hindsight:
            return pursued
        achieved = replay.achieved[indices.episode, indices.goal_step]
        return torch.where(indices.relabelled[:, None], achieved, pursued)

    def embed(self, goals: Tensor) -> Tensor:
        """``(B, 3)`` in metres -> ``(B, 3)``, centred and scaled."""
        if self._center.device != goals.device:
            self._center, self._scale = self._center.to(goals.device), self._scale.to(goals.device)
        return ((goals - self._center) * self._scale).float()

    def reward(self, replay: Replay, indices: GoalIndices, goals: Tensor) -> Tensor:
        """0 where the outcome lies within the task's threshold of the goal, else -1: ``(B,)``."""
        outcome = replay.achieved[indices.episode, indices.step + 1]
        distance: Tensor = torch.linalg.vector_norm(outcome - goals, dim=-1)
        return -(distance > self.threshold).float()

    def sample_exploration(self, desired: Tensor, draws: Tensor) -> Tensor:
        """The task's own goals."""
        return desired


VECTOR_GOALS = GoalSpaceSpec(
    name="vector",
    build=VectorGoals,
    tracks=("state", "blind", "pixels", "pixels-only", "pixels-privileged"),
    summary="positions in metres, the task's own reward",
    source="arXiv:1802.09464",
)
