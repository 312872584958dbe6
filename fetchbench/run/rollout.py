"""One round of episodes, side by side, from reset to truncation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fetchbench.environment.tasks import Task
from fetchbench.environment.vector import Observations, VectorEnvironment
from fetchbench.errors import DivergedError
from fetchbench.learner.build import Built
from fetchbench.replay import EpisodeBatch
from fetchbench.specs import Pursued


class Rollout:
    """N episodes in progress.

    Args:
        environment: Steps and draws them.
        task: Horizon and dimensions.
        built: What the policy sees.
        seeds: One per episode.
        explore: Chooses other goals than the task's, which it is given; ``None`` pursues those.

    Attributes:
        desired: ``float64 (N, 3)``, the task's own goals, metres.
        frames: ``(N, T+1, *frame)``, what the replay keeps of each frame: pixels, or embeddings; ``None`` without either.
        goal_frames: ``(N, *frame)``, the same of images of the goals that are pursued; ``None`` where goals are not images.
    """

    def __init__(
        self,
        environment: VectorEnvironment,
        task: Task,
        built: Built,
        seeds: Sequence[int],
        explore: Callable[[Pursued], Pursued] | None = None,
    ) -> None:
        self._environment, self._built, self._task = environment, built, task
        self._device = built.learner.device
        n, steps = len(seeds), task.horizon
        self.observation = np.zeros((n, steps + 1, task.observation_dim), np.float32)
        self.achieved = np.zeros((n, steps + 1, task.goal_dim), np.float64)
        self.action = np.zeros((n, steps, task.action_dim), np.float32)
        self.frames: np.ndarray | None = None
        self.step = 0
        first = environment.reset(seeds)
        self.desired = first.desired
        self._pursue(first, explore)
        if built.frame is not None:
            kind = np.float32 if built.cached else np.uint8
            self.frames = np.zeros((n, steps + 1, *built.frame), kind)
        self._store(first)

    def _pursue(self, first: Observations, explore: Callable[[Pursued], Pursued] | None) -> None:
        built, images = self._built, None
        if built.goal_images:
            assert first.goal_frames is not None  # the environment was asked for them
            images = torch.from_numpy(built.stored(first.goal_frames)).to(self._device)
        desired = torch.from_numpy(first.desired).float().to(self._device)
        if built.reward == "latent":
            desired = torch.full_like(desired, torch.nan)  # where rewards are latent, no position is told
        if explore is None:
            pursued = Pursued(built.goals.from_task(desired, images), images)
        else:
            pursued = explore(Pursued(desired, images))
        self._pursued = pursued.goals
        self._goal_embedding = built.goals.embed(pursued.goals)
        # Seen by the encoder only where the heads are given its features of goals too.
        self._shown = pursued.frames if built.shows_goals else None
        self.goal_frames = None if pursued.frames is None else pursued.frames.cpu().numpy()

    def act(self, noise: Tensor | None = None) -> np.ndarray:
        """The policy's actions here and now: ``float32 (N, A)``; deterministic without noise.

        Raises:
            DivergedError: An action is not finite.
        """
        learner = self._built.learner
        frames = None
        if self.frames is not None:
            states = np.arange(self.step - learner.stack + 1, self.step + 1).clip(0)
            frames = torch.from_numpy(self.frames[:, states]).to(self._device)
        observation = torch.from_numpy(self.observation[:, self.step]).to(self._device)
        achieved = torch.from_numpy(self.achieved[:, self.step]).float().to(self._device)
        vectors = torch.cat([self._built.vectors(observation, achieved), self._goal_embedding], dim=-1)
        noise = None if noise is None else noise.to(self._device)
        action: np.ndarray = learner.act(frames, vectors, noise, self._shown).cpu().numpy()
        if not np.isfinite(action).all():
            raise DivergedError(f"the policy's action is not finite after {learner.updates} updates")
        return action

    def begin(self, action: np.ndarray) -> None:
        """Start one step; the environment works on it while the caller does something else."""
        self.action[:, self.step] = action
        self._environment.step_async(action)

    def finish(self) -> None:
        """Wait for the step and store what it led to."""
        self.step += 1
        self._store(self._environment.step_wait())

    @property
    def over(self) -> bool:
        return self.step == self._task.horizon

    def episodes(self) -> EpisodeBatch:
        """The finished episodes, for the replay. Where rewards are latent, it learns of no position: they are NaN."""
        # Latent goals change with the networks: of those the replay keeps the images alone.
        goals = self._pursued.cpu().numpy() if self._built.reward == "task" else self.desired.astype(np.float32)
        achieved = self.achieved.astype(np.float32)
        episodes = EpisodeBatch(self.observation, achieved, goals, self.action, self.frames, self.goal_frames)
        return self._built.told(episodes)

    def _store(self, state: Observations) -> None:
        self.observation[:, self.step] = state.observation
        self.achieved[:, self.step] = state.achieved
        if self.frames is not None and state.frames is not None:
            self.frames[:, self.step] = self._built.stored(state.frames)
