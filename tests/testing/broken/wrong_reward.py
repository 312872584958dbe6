"""Goals as the task has them, and rewards that are not the task's: 1 where it gives 0."""

import torch

from fetchbench import GoalSpaceSpec, hookimpl


class Broken:
    embedding_dim = 3

    def __init__(self, task) -> None:
        self.threshold = task.threshold

    def relabel(self, replay, indices):
        achieved, pursued = replay.achieved[indices.episode, indices.goal_step], replay.desired[indices.episode]
        return torch.where(indices.relabelled[:, None], achieved, pursued)

    def embed(self, goals):
        return goals

    def reward(self, replay, indices, goals):
        outcome = replay.achieved[indices.episode, indices.step + 1]
        return (torch.linalg.vector_norm(outcome - goals, dim=-1) <= self.threshold).float()

    def from_task(self, desired, frames):
        return desired

    def sample_exploration(self, replay, task, draws):
        return task


@hookimpl
def fetchbench_goal_spaces():
    yield GoalSpaceSpec(name="broken-wrong-reward", build=Broken, tracks=("state", "pixels-only"))
