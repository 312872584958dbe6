"""Says that its rewards are latent, and reads the gripper's place off the observation, of which such a run keeps nothing."""

from fetchbench import GoalSpaceSpec, Pursued, hookimpl


class Broken:
    def __init__(self, task) -> None:
        self.embedding_dim = 0

    def bind(self, context) -> None:
        self.context, self.embedding_dim = context, context.feature_dim

    def relabel(self, replay, indices):
        return self.context.encode(replay.frames_at(indices.episode, indices.goal_step))

    def embed(self, goals):
        return goals

    def reward(self, replay, indices, goals):
        places = replay.observation[..., :3]
        return -(places[indices.episode, indices.step + 1] - places[indices.episode, indices.goal_step]).norm(dim=-1)

    def from_task(self, desired, frames):
        return self.context.encode(frames)

    def sample_exploration(self, replay, task, draws):
        return Pursued(self.context.encode(task.frames), task.frames)


@hookimpl
def fetchbench_goal_spaces():
    yield GoalSpaceSpec(name="broken-reads-observations", build=Broken, tracks=("image-goal",), reward="latent")
