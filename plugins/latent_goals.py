"""Goals in the latent space of a variational autoencoder: RIG (Nair et al. 2018) and Skew-Fit (Pong et al. 2020).

arXiv:1807.04742 and 1903.03698, github.com/vitchyr/rlkit. A goal is a latent ``z``; an outcome earns minus the distance of its
latent from it. In training nobody asks the task for a goal: the policy pursues latents that it draws from the prior, and
transitions are relabelled with what their episode saw later, with fresh draws from the prior, and with the goal pursued. The
shares are rlkit's, of all transitions 0.3, 0.5 and 0.2: with four of five relabelled, 0.375 and 0.625 of those. Everything is
embedded when it is sampled, from its frame, so nothing grows stale while the encoder learns; of a goal drawn from the prior
the decoded frame is kept.

With ``power`` below 0 it is Skew-Fit: observations are weighted by their density to that power, for what the autoencoder
learns from and for the goals that stand in the prior's place, which are then frames of the replay. A density here is the
evidence lower bound with a unit-variance normal likelihood summed over pixels, as in rlkit.

Changed: the same networks and learner as every other method; the posterior's mean as embedding, in float32. rlkit's densities
differ between frames by tens of nats, so a power of -1 leaves all weight on a few of them: ``effective`` states the least
share of the observations that must stay in play (by the weights' effective sample size), and the power is brought towards 0
until it does.
"""

import math

import torch
from torch import Tensor

from fetchbench import GoalContext, GoalIndices, GoalSpaceSpec, Pursued, hookimpl

REWARDS = ("distance", "mahalanobis", "sparse")
CHUNK = 256
"""Frames per pass where all of a replay are looked at."""


class LatentGoals:
    """Goals ``(N, dim)``: means of the posterior.

    Args:
        task: Not asked.
        reward: ``"distance"``: minus the Euclidean distance between the outcome's latent and the goal. ``"mahalanobis"``: each
            dimension's difference is divided by the standard deviation of the outcome's posterior, so that what the
            autoencoder knows well counts more. ``"sparse"``: 0 within ``threshold`` (Euclidean), else -1.
        threshold: Of ``"sparse"``.
        scale: Times the distances.
        hindsight: Share of relabelled goals that are later frames of the same episode.
        prior: Share that is drawn from the prior, or with ``power`` from the replay.
        rollout: Share that keeps the goal that was pursued, besides those that are not relabelled at all.
        power: Of the density, -1 to 0. 0 is RIG.
        effective: Least effective share of the observations under the weights.
        every: Rounds of episodes between two looks at the densities.
        samples: Of the posterior, per density.
    """

    metric = "euclidean"

    def __init__(
        self,
        task: object,
        reward: str = "distance",
        threshold: float = 1.0,
        scale: float = 1.0,
        hindsight: float = 0.375,
        prior: float = 0.625,
        rollout: float = 0.0,
        power: float = 0.0,
        effective: float = 0.1,
        every: int = 10,
        samples: int = 1,
    ) -> None:
        if reward not in REWARDS:
            raise ValueError(f"reward = {reward!r}: one of {', '.join(REWARDS)}")
        if min(hindsight, prior, rollout) < 0 or abs(hindsight + prior + rollout - 1) > 1e-6:
            raise ValueError(f"hindsight, prior, rollout = {hindsight}, {prior}, {rollout}: shares, which must sum to 1")
        for name, value, low, high in (("power", power, -1, 0), ("effective", effective, 0, 1)):
            if not low <= value <= high:
                raise ValueError(f"{name} = {value}: must be {low} to {high}")
        for name, value in (("threshold", threshold), ("scale", scale), ("every", every), ("samples", samples)):
            if value <= 0:
                raise ValueError(f"{name} = {value}: must be above 0")
        self.kind, self.threshold, self.scale = reward, threshold, scale
        self.hindsight, self.prior = hindsight, prior
        self.power, self.effective, self.every, self.samples = power, effective, every, samples
        self.embedding_dim = 0  # until it is bound
        self._cumulative: Tensor | None = None
        self._rounds = 0

    def bind(self, context: GoalContext) -> None:
        """Learn what it works with: an encoder's means and variances, and a decoder."""
        if context.moments is None or context.reconstruct is None:
            raise ValueError(
                "it needs an encoder that offers moments and an auxiliary loss that offers reconstruct, as vae does"
            )
        if self.power and (context.log_density is None or not context.own_batch):
            raise ValueError(
                f"power = {self.power} weights what the auxiliary loss learns from: it must offer log_density and draw a batch "
                'of its own, as in auxiliary_loss = { name = "vae", batch_size = 128 }'
            )
        self._context = context
        self.embedding_dim = context.feature_dim

    # -- what is a goal -----------------------------------------------------------------------------------------------

    def from_task(self, desired: Tensor, frames: Tensor) -> Tensor:
        """The image's latent; the position is not asked."""
        return self._context.encode(frames)

    def sample_exploration(self, replay, task: Pursued, draws: Tensor) -> Pursued:
        """Latents from the prior and what they decode to; with ``power``, frames of the replay and their latents."""
        if self._cumulative is None:
            latents = normal(draws)
            return Pursued(latents, self._context.reconstruct(latents))
        episode, step = self.training_states(replay, draws[:, 0])
        frames = replay.frames_at(episode, step)
        return Pursued(self._context.encode(frames), frames)

    def relabel(self, replay, indices: GoalIndices) -> Tensor:
        """By ``indices.source``: frames of the same episode, the prior or the replay, or the goal that was pursued."""
        u, r = indices.source, indices.relabelled
        later = r & (u < self.hindsight)
        drawn = r & ~later & (u < self.hindsight + self.prior)
        frames = choose(later, replay.frames_at(indices.episode, indices.goal_step), replay.goal_frames[indices.episode])
        if self._cumulative is None:
            return choose(drawn, normal(indices.draws), self._context.encode(frames))
        others = self.training_states(replay, indices.draws[:, 0])
        return self._context.encode(choose(drawn, replay.frames_at(*others), frames))

    def embed(self, goals: Tensor) -> Tensor:
        """As they are: near a standard normal."""
        return goals

    # -- what an outcome earns ----------------------------------------------------------------------------------------

    def reward(self, replay, indices: GoalIndices, goals: Tensor) -> Tensor:
        """Of the frame after each transition."""
        outcome = replay.frames_at(indices.episode, indices.step + 1)
        if self.kind == "mahalanobis":
            mean, log_variance = self._context.moments(outcome)
            return -self.scale * ((mean - goals) / (0.5 * log_variance).exp()).norm(dim=-1)
        distance = self.distance(self._context.encode(outcome), goals)
        return -(distance > self.threshold).float() if self.kind == "sparse" else -self.scale * distance

    def distance(self, z: Tensor, goals: Tensor) -> Tensor:
        """Euclidean: ``(N, dim)`` and ``(N, dim)`` -> ``(N,)``."""
        return (z - goals).norm(dim=-1)

    # -- Skew-Fit -----------------------------------------------------------------------------------------------------

    def refresh(self, replay, generator: torch.Generator) -> None:
        """Weigh the observations in the replay anew, every so many rounds."""
        self._rounds += 1
        if not self.power or (self._rounds - 1) % self.every:
            return
        states = torch.arange(len(replay) * replay.horizon)
        nats = [self._density(replay, part, generator) for part in states.split(CHUNK)]
        self._cumulative = skewed(torch.cat(nats).double(), self.power, self.effective).cumsum(0)

    def _density(self, replay, states: Tensor, generator: torch.Generator) -> Tensor:
        episode, step = states // replay.horizon, states % replay.horizon
        noise = torch.randn(len(states), self.samples, self.embedding_dim, generator=generator)
        return self._context.log_density(replay.frames_at(episode, step), noise.to(replay.device)).cpu()

    def training_states(self, replay, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Observations by their weights, as they were when last looked at; all alike before."""
        draws, count = draws.double().to(replay.device), len(replay) * replay.horizon
        if self._cumulative is None:
            states = (draws * count).long().clamp(max=count - 1)
        else:
            self._cumulative = self._cumulative.to(replay.device)
            states = torch.searchsorted(self._cumulative, draws * self._cumulative[-1], right=True)
            states = states.clamp(max=len(self._cumulative) - 1)
        return states // replay.horizon, states % replay.horizon

    def state_dict(self) -> dict:
        """The weights, and when they are due again."""
        return {"cumulative": self._cumulative, "rounds": self._rounds}

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`."""
        self._cumulative, self._rounds = state["cumulative"], state["rounds"]


def choose(mask: Tensor, where: Tensor, otherwise: Tensor) -> Tensor:
    """Row by row: ``bool (B,)`` and two tensors ``(B, ...)``."""
    return torch.where(mask.view(-1, *[1] * (where.dim() - 1)), where, otherwise)


def normal(draws: Tensor) -> Tensor:
    """Uniform numbers in [0, 1) -> standard normal ones of the same shape."""
    return math.sqrt(2) * torch.erfinv((2 * draws - 1).clamp(-1 + 1e-6, 1 - 1e-6))


def skewed(nats: Tensor, power: float, effective: float) -> Tensor:
    """Weights ``density ** power`` that sum to 1, with the power brought towards 0 until enough of them count.

    Args:
        nats: ``float64 (N,)``, log densities.
        power: -1 to 0.
        effective: Least share of N that the effective sample size, 1 / sum(weights ** 2), may be.
    """

    def weights(p: float) -> Tensor:
        return torch.softmax(p * nats, dim=0)

    def enough(p: float) -> bool:
        return 1 / float(weights(p).square().sum()) >= effective * len(nats)

    if enough(power):
        return weights(power)
    too_much, fine = power, 0.0
    for _ in range(30):
        middle = (too_much + fine) / 2
        too_much, fine = (too_much, middle) if enough(middle) else (middle, fine)
    return weights(fine)


@hookimpl
def fetchbench_goal_spaces():
    yield GoalSpaceSpec(
        name="latent",
        build=LatentGoals,
        tracks=("image-goal",),
        reward="latent",
        shares={"hindsight": 0.375, "prior": 0.625, "rollout": 0.0},
        draws="feature",
        summary="latents of an autoencoder, rewarded by distance: RIG, and Skew-Fit with a power below 0",
        source="arXiv:1807.04742, 1903.03698",
    )
