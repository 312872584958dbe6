"""From replay indices to the tensors of one update."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from fetchbench.environment.tracks import VectorLayout
from fetchbench.replay import Replay, sample_indices
from fetchbench.specs import GoalIndices, GoalSpace


@dataclass(frozen=True)
class Sequences:
    """What an auxiliary loss is given.

    Attributes:
        frames: ``uint8 (B', F+K, 3, H, W)``.
        actions: ``float32 (B', K, A)``.
        mask: ``bool (B', K)``, whether step k+1 still belongs to the episode.
    """

    frames: Tensor
    actions: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Batch:
    """One update's transitions.

    Attributes:
        frames: ``uint8 (B, F+1, 3, H, W)``; ``None`` without pixels.
        vectors: ``float32 (B, V)``: the track's vectors and the embedded goal, centred and scaled.
        next_vectors: The same after the step.
        action: ``float32 (B, A)``.
        reward: ``float32 (B,)``.
        goal_frames: ``(B, *item)``, the images of goals that the encoder sees; ``None`` where it sees none.
        sequences: For the auxiliary loss; ``None`` without one.
    """

    frames: Tensor | None
    vectors: Tensor
    next_vectors: Tensor
    action: Tensor
    reward: Tensor
    goal_frames: Tensor | None = None
    sequences: Sequences | None = None


class Vectors:
    """The vector inputs of a track, as data (:class:`~fetchbench.environment.tracks.VectorLayout`), on a device."""

    def __init__(self, layout: VectorLayout, device: torch.device | str = "cpu") -> None:
        self.indices = layout.indices
        """Which numbers of the observation the networks see."""
        self._indices = torch.tensor(layout.indices, dtype=torch.int64, device=device)
        self._achieved = layout.includes_achieved
        self._center = torch.as_tensor(layout.center, dtype=torch.float32, device=device)
        self._scale = torch.as_tensor(layout.scale, dtype=torch.float32, device=device)
        self.dim = len(layout.indices) + (3 if layout.includes_achieved else 0)

    def __call__(self, observation: Tensor, achieved: Tensor) -> Tensor:
        """``observation (B, D)``, ``achieved (B, 3)`` -> ``float32 (B, dim)``."""
        x = observation.index_select(-1, self._indices)
        if self._achieved:
            x = torch.cat([x, achieved], dim=-1)
        return (x.float() - self._center) * self._scale


@dataclass(frozen=True)
class Sampler:
    """Turns uniform numbers into batches.

    Args:
        replay: Where transitions come from.
        goals: The goal space.
        vectors: The track's vector inputs.
        k: Relabelled goals per original one.
        strategy: Relabelling strategy.
        stack: F, frames per observation.
        horizon: K, the auxiliary loss's horizon; 0 without one.
        own_batch: Whether the auxiliary loss draws its own batch.
        shows_goals: Whether the encoder sees images of goals.
    """

    replay: Replay
    goals: GoalSpace
    vectors: Vectors
    k: int
    strategy: str
    stack: int = 1
    horizon: int = 0
    own_batch: bool = False
    shows_goals: bool = False

    def __call__(self, draws: Tensor, auxiliary_draws: Tensor | None = None) -> Batch:
        """One batch.

        Args:
            draws: ``float64 (B, 4 + n)``, uniform in [0, 1), n for the goal space, in host memory. So is the arithmetic
                on them, whose results are then sent to the device: neither side ever waits for the other.
            auxiliary_draws: ``float64 (B', 4)``, for an auxiliary loss with a batch of its own.
        """
        replay, horizon = self.replay, self.replay.horizon
        chosen = sample_indices(draws, len(replay), horizon, k=self.k, strategy=self.strategy)
        indices = sent(chosen, replay.device)
        e, t = indices.episode, indices.step
        goals = self.goals.relabel(replay, indices)
        embedded = self.goals.embed(goals)
        following = max(1, 0 if self.own_batch else self.horizon)
        frames = self._stacks(chosen, indices, following) if replay.has_frames else None
        images = getattr(self.goals, "goal_frames", None) if self.shows_goals else None
        sequences = None
        if self.horizon and frames is not None:
            sequences = self.own_sequences(auxiliary_draws) if self.own_batch else self._sequences(frames, e, t)
        return Batch(
            frames=None if frames is None else frames[:, : self.stack + 1],
            vectors=self._join(e, t, embedded),
            next_vectors=self._join(e, t + 1, embedded),
            action=replay.action[e, t],
            reward=self.goals.reward(replay, indices, goals),
            goal_frames=None if images is None else images(replay, indices),
            sequences=sequences,
        )

    def _join(self, episode: Tensor, state: Tensor, embedded: Tensor) -> Tensor:
        replay = self.replay
        own = self.vectors(replay.observation[episode, state], replay.achieved[episode, state])
        return torch.cat([own, embedded], dim=-1)

    def own_sequences(self, draws: Tensor | None) -> Sequences:
        """The batch of an auxiliary loss that draws its own: from ``float64 (B', 4)``, uniform in [0, 1), in host memory."""
        if draws is None:
            raise ValueError("the auxiliary loss has a batch of its own and needs draws of its own")
        replay = self.replay
        chosen = sample_indices(draws, len(replay), replay.horizon, k=0, strategy="final")
        own = sent(chosen, replay.device)
        if states := getattr(self.goals, "training_states", None):
            episode, step = states(replay, draws[:, 0].to(replay.device, non_blocking=True))
            own = replace(own, episode=episode, step=step)
            # Frames that are kept elsewhere are asked for there, which waits.
            chosen = own if replay.frames_device == replay.device else sent(own, replay.frames_device)
        return self._sequences(self._stacks(chosen, own, self.horizon), own.episode, own.step)

    def _stacks(self, chosen: GoalIndices, indices: GoalIndices, following: int) -> Tensor:
        there = indices if self.replay.frames_device == self.replay.device else chosen
        return self.replay.stacks(there.episode, there.step, self.stack, following)

    def _sequences(self, frames: Tensor, episode: Tensor, step: Tensor) -> Sequences:
        steps = step[:, None] + torch.arange(self.horizon, device=step.device)  # (B, K)
        mask = steps < self.replay.horizon
        actions = self.replay.action[episode[:, None], steps.clamp(max=self.replay.horizon - 1)]
        return Sequences(frames, actions * mask[..., None], mask)


def sent(indices: GoalIndices, device: torch.device) -> GoalIndices:
    """Indices on a device."""
    return GoalIndices(**{f.name: getattr(indices, f.name).to(device, non_blocking=True) for f in fields(indices)})
