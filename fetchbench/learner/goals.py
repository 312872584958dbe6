"""The built-in goal spaces: goals are positions, seen as such or as images, and rewards follow the task's own rule."""

from __future__ import annotations

import torch
from torch import Tensor

from fetchbench.environment.tasks import Task
from fetchbench.replay import Replay
from fetchbench.specs import GoalIndices, GoalSpace, GoalSpaceSpec, Pursued


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

    def from_task(self, desired: Tensor, frames: Tensor | None) -> Tensor:
        """The positions, in metres."""
        return desired

    def sample_exploration(self, replay: Replay, task: Pursued, draws: Tensor) -> Pursued:
        """The task's own goals."""
        return task


class ImageGoals(VectorGoals):
    """The same goals and rewards; but the networks see images of the goals, through the encoder, in the place of positions.

    Args:
        task: Its threshold.
        hindsight: As for :class:`VectorGoals`.
    """

    metric = "euclidean"

    def __init__(self, task: Task, hindsight: bool = True) -> None:
        super().__init__(task, hindsight=hindsight)
        self.embedding_dim = 0

    def embed(self, goals: Tensor) -> Tensor:
        """Nothing: ``(B, 3)`` -> ``(B, 0)``."""
        return goals[:, :0]

    def goal_frames(self, replay: Replay, indices: GoalIndices) -> Tensor:
        """The frame at ``goal_step`` where relabelled, else the image of the episode's own goal: ``(B, *item)``."""
        assert replay.goal_frames is not None  # kept on every track that this space serves
        pursued = replay.goal_frames[indices.episode]
        if not self.hindsight:
            return pursued
        achieved = replay.frames_at(indices.episode, indices.goal_step)
        return torch.where(_as_column(indices.relabelled, achieved), achieved, pursued)

    def distance(self, z: Tensor, goals: Tensor) -> Tensor:
        """Between features, Euclidean. No reward: the heads make of it what they learn to."""
        distance: Tensor = torch.linalg.vector_norm(z - goals, dim=-1)
        return distance


class UnseenGoals:
    """Another space's goals, of which the networks see a constant: what ``blind`` is where goals are images.

    Args:
        goals: The space that chooses and rewards.
    """

    embedding_dim = 1

    def __init__(self, goals: GoalSpace) -> None:
        self.relabel, self.reward = goals.relabel, goals.reward
        self.from_task, self.sample_exploration = goals.from_task, goals.sample_exploration

    def embed(self, goals: Tensor) -> Tensor:
        """``(B, G)`` -> zeros ``(B, 1)``."""
        return goals.new_zeros(len(goals), 1)


def _as_column(mask: Tensor, like: Tensor) -> Tensor:
    """``(B,)`` -> ``(B, 1, ..., 1)``, to choose among tensors of a shape."""
    return mask.view(-1, *[1] * (like.dim() - 1))


VECTOR_GOALS = GoalSpaceSpec(
    name="vector",
    build=VectorGoals,
    tracks=("state", "blind", "pixels", "pixels-only", "pixels-privileged"),
    summary="positions in metres, the task's own reward",
    source="arXiv:1802.09464",
)

IMAGE_GOALS = GoalSpaceSpec(
    name="image",
    build=ImageGoals,
    tracks=("image-goal",),
    summary="images of the goals, the task's own reward",
    source="arXiv:1707.01495, on frames",
)
