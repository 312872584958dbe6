"""Soft actor-critic with twin critics under a declared gradient routing (Haarnoja et al. 2018, arXiv:1812.05905).

One update computes the features once, steps the critics, computes the auxiliary loss, steps the actor against the new
critics, then steps each encoder once on the weighted sum of the gradients that the routing lets reach it, and at last the
entropy coefficient and the averages. Heads work on detached copies of the features ("leaves"); what each loss wants of the
encoder is the gradient that arrives at its leaf, and the routing's weights decide how much of it goes on.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fetchbench.learner.batch import Batch, Sequences
from fetchbench.learner.draws import Draws
from fetchbench.learner.encoders import Encoders, polyak, tensor_digests
from fetchbench.learner.encoding import Passes
from fetchbench.learner.graph import Graphs
from fetchbench.learner.networks import Actor, TwinCritic
from fetchbench.protocol import LearnerSettings
from fetchbench.records.schema import Execution, sha256_of
from fetchbench.specs import Augmentation, AuxiliaryInputs, AuxiliaryLossSpec, GradientRoutingSpec

PLAIN = Execution()
"""Float32 on one CPU thread, nothing compiled: what every other way of doing the arithmetic is held to."""


class Observer(Protocol):
    """Watches an update: the routing audit."""

    def gradient(self, loss: str, encoder: str, norm: float | None) -> None:
        """A loss's weighted gradient norm in an encoder; ``None`` where there is no path."""

    def stepping(self) -> None:
        """An optimiser is about to step."""

    def stepped(self, optimiser: str) -> None:
        """It has stepped."""


@dataclass
class Auxiliary:
    """An auxiliary loss in use: its spec, module and weight, the momentum encoder where it has one, and its own numbers."""

    spec: AuxiliaryLossSpec
    module: nn.Module
    weight: float
    momentum: nn.Module | None
    horizon: int
    period: int
    pretraining_updates: int
    batch_size: int | None


@dataclass(frozen=True)
class Weights:
    """How much of each loss reaches the encoders in one update."""

    critic: float
    actor: float
    auxiliary: float


class Learner:
    """Networks, optimisers and the update.

    Args:
        encoders: The method's encoders; ``None`` on the tracks without frames.
        actor: The policy head.
        critic: The twin critics' head.
        routing: How much of each loss reaches the encoders.
        settings: The suite's learner settings.
        stack: F, frames per observation.
        augmentation: Applied to every stack that the critic and actor learn from.
        views: K, views of the observation. The actor learns from the first.
        target_views: M, views of the next observation.
        auxiliary: The auxiliary loss.
        execution: Where all of it lives, and how its arithmetic is done.
    """

    def __init__(
        self,
        *,
        encoders: Encoders | None,
        actor: Actor,
        critic: TwinCritic,
        routing: GradientRoutingSpec,
        settings: LearnerSettings,
        stack: int = 1,
        augmentation: Augmentation | None = None,
        views: int = 1,
        target_views: int = 1,
        auxiliary: Auxiliary | None = None,
        execution: Execution = PLAIN,
    ) -> None:
        self.routing, self.settings, self.stack = routing, settings, stack
        self.augmentation, self.views, self.target_views = augmentation, views, target_views
        self.auxiliary = auxiliary
        device = self.device = torch.device(execution.device)
        self.updates = 0
        self._encode = Passes(execution)
        self._graphs = Graphs() if execution.captures else None
        self.encoders = encoders.to(device) if encoders is not None else None
        if self.encoders is not None:
            self._encode.place(self.encoders)
        self.actor, self.critic = actor.to(device), critic.to(device)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        if auxiliary is not None:
            auxiliary.module.to(device)
            if auxiliary.momentum is not None:
                self._encode.place(auxiliary.momentum.to(device))
        start = torch.tensor(math.log(settings.entropy_coefficient), device=device)
        self.log_alpha = nn.Parameter(start, requires_grad=settings.entropy == "learned")
        self.optimisers = self._optimisers()

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        rate = self.settings.learning_rate
        capturable = self.device.type == "cuda"

        def adam(module: nn.Module, lr: float) -> torch.optim.Optimizer:
            return torch.optim.Adam(module.parameters(), lr=lr, fused=True, capturable=capturable)

        optimisers = {"critic": adam(self.critic, rate), "actor": adam(self.actor, rate)}
        if self.encoders is not None and self.encoders.trainable:
            for name, encoder in self.encoders.named():
                if any(True for _ in encoder.parameters()):
                    optimisers[name] = adam(encoder, rate * self.settings.encoder_learning_rate_multiplier)
        if self.auxiliary is not None:
            module, own = self.auxiliary.module, self.auxiliary.spec.learning_rate
            if any(True for _ in module.parameters()):
                optimisers["auxiliary"] = adam(module, own or rate)
        if self.log_alpha.requires_grad:
            optimisers["entropy"] = torch.optim.Adam([self.log_alpha], lr=rate, fused=True, capturable=capturable)
        return optimisers

    # -- acting -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def act(
        self, frames: Tensor | None, vectors: Tensor, noise: Tensor | None = None, goal_frames: Tensor | None = None
    ) -> Tensor:
        """Choose actions.

        Args:
            frames: ``uint8 (N, F, 3, H, W)``; ``None`` without an encoder.
            vectors: ``float32 (N, V)``, the embedded goal included.
            noise: Standard normal ``(N, A)`` to explore; ``None`` for the deterministic policy.
            goal_frames: ``uint8 (N, 3, H, W)``, where the encoder sees goals.

        Returns:
            ``float32 (N, A)`` in [-1, 1].
        """
        z = None
        if self.encoders is not None and frames is not None:
            z = self.features(self.encoders.actor, frames)
            if goal_frames is not None:
                z = torch.cat([z, self.features(self.encoders.actor, self.stacked(goal_frames))], dim=1)
        action: Tensor = self.actor(z, vectors, noise)[0]
        return action

    def stacked(self, frames: Tensor) -> Tensor:
        """Single frames, each repeated to fill a stack: ``(N, *item)`` -> ``(N, F, *item)``."""
        return frames[:, None].expand(-1, self.stack, *[-1] * (frames.dim() - 1)).contiguous()

    def seen(self, frames: Tensor) -> Tensor:
        """What acting sees of frames ``uint8 (N, F, 3, H_in, W_in)``: ``(N, F, 3, H, W)``, nothing random."""
        return frames if self.augmentation is None else self.augmentation.evaluate(frames)

    def features(self, encoder: nn.Module, frames: Tensor) -> Tensor:
        """What one of the encoders says of frames when it acts: ``uint8 (N, F, 3, H, W)`` -> ``float32 (N, dim)``."""
        with self.evaluating():
            z: Tensor = encoder(self.seen(frames))
        return z

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Encoders and auxiliary loss in evaluation mode and without gradient, as when acting."""
        parts = [*([self.encoders] if self.encoders else []), *([self.auxiliary.module] if self.auxiliary else [])]
        learning = [module for part in parts for module in part.modules() if module.training]
        for part in parts:
            part.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            # Not `train()`, which reaches all within: a part that an author keeps in evaluation mode stays there.
            for module in learning:
                module.training = True

    # -- learning -----------------------------------------------------------------------------------------------------

    def update(self, batch: Batch, draws: Draws, observer: Observer | None = None) -> dict[str, Tensor]:
        """One update of everything that learns.

        Args:
            batch: The transitions.
            draws: Every random number that the update uses.
            observer: Told of each loss's gradient in each encoder and of each optimiser's step.

        Returns:
            Scalars for the metrics, on the device; of a captured graph, until the next update.
        """
        weights = Weights(**{loss: self.routing.at(loss, self.updates) for loss in ("critic", "actor", "auxiliary")})
        due = self.auxiliary is not None and self.updates % self.auxiliary.period == 0
        if self._graphs is None or observer is not None:
            metrics = self._update(batch, draws, weights, due, observer)
        else:
            metrics = self._graphs((weights, due), lambda b, d: self._update(b, d, weights, due), batch, draws)
        self.updates += 1
        return metrics

    def _update(
        self, batch: Batch, draws: Draws, weights: Weights, due: bool, observer: Observer | None = None
    ) -> dict[str, Tensor]:
        """The update itself: nothing in it depends on anything but its arguments and the state of networks and optimisers."""
        size = len(batch.action)
        self._zero_encoder_gradients()
        z, z_actor, z_next_actor, z_next_target = self._features(batch, draws, weights)
        critic_leaf, actor_leaf = leaf(z, weights.critic), leaf(first(z_actor, size), weights.actor)
        metrics = self._critic_step(batch, draws, critic_leaf, z_next_actor, z_next_target, observer)
        if due:
            metrics |= self._auxiliary_step(batch.sequences, draws, weights.auxiliary, observer)
        metrics |= self._actor_step(batch, draws, actor_leaf, first(z, size), observer)
        self._encoder_step(z, z_actor, critic_leaf, actor_leaf, weights, observer)
        self._averages()
        return metrics

    def pretrain(self, sequences: Sequences, draws: Draws) -> dict[str, Tensor]:
        """One step of the auxiliary loss and the encoder alone, before the learner's first update."""
        self._zero_encoder_gradients()
        metrics = self._auxiliary_step(sequences, draws, self.routing.at("auxiliary", 0), None)
        for name in self._encoder_optimisers():
            self.optimisers[name].step()
        self._averages(critics=False)
        return metrics

    def _features(
        self, batch: Batch, draws: Draws, weights: Weights
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        """z of the K views for critic and actor, and of the M next views for the actor and the target."""
        if self.encoders is None or batch.frames is None:
            return None, None, None, None
        e, f, goals = self.encoders, self.stack, None if batch.goal_frames is None else self.stacked(batch.goal_frames)
        # A goal is augmented as the observation beside it is: where things are to go, seen from where they are, stands.
        frames = self._views(batch.frames[:, :f], goals, draws.views)
        following = self._views(batch.frames[:, 1 : f + 1], goals, draws.next_views)

        def encode(encoder: nn.Module, parts: list[Tensor]) -> Tensor:
            """z of the observations, and of the goals beside them where they are images; one pass for both."""
            if len(parts) == 1:
                return self._encode(encoder, parts[0])
            return torch.cat(self._encode(encoder, torch.cat(parts)).chunk(len(parts)), dim=1)

        with torch.set_grad_enabled(weights.critic > 0 or (weights.actor > 0 and not e.separate)):
            z = encode(e.critic, frames)
        z_actor = z
        if e.separate:
            with torch.set_grad_enabled(weights.actor > 0):
                z_actor = encode(e.actor, [each[: len(batch.action)] for each in frames])
        with torch.no_grad():
            z_next_actor = encode(e.actor, following)
            target = e.target if e.target is not None else e.critic
            z_next_target = z_next_actor if target is e.actor else encode(target, following)
        return z, z_actor, z_next_actor, z_next_target

    def _views(self, observations: Tensor, goals: Tensor | None, draws: Tensor) -> list[Tensor]:
        """Augmented observations and, where goals are images, goals."""
        return [self._augmented(frames, draws) for frames in (observations, goals) if frames is not None]

    def _augmented(self, frames: Tensor, draws: Tensor) -> Tensor:
        """``(B, F, 3, H, W)`` -> its views one behind the other, ``(views * B, F, 3, H, W)``."""
        if self.augmentation is None:
            return frames if len(draws) == 1 else frames.repeat(len(draws), 1, 1, 1, 1)
        return torch.cat([self.augmentation(frames, view) for view in draws])

    def _critic_step(
        self,
        batch: Batch,
        draws: Draws,
        z: Tensor | None,
        z_next_actor: Tensor | None,
        z_next_target: Tensor | None,
        observer: Observer | None,
    ) -> dict[str, Tensor]:
        s, m = self.settings, self.target_views
        with torch.no_grad():
            # Every episode ends by truncation alone, so every target bootstraps.
            next_vectors = batch.next_vectors.repeat(m, 1)
            next_action, next_log_prob = self.actor(z_next_actor, next_vectors, draws.next_noise.flatten(0, 1))
            next_q = self.target_critic(z_next_target, next_vectors, next_action).min(dim=0).values
            value = next_q - self.log_alpha.exp() * next_log_prob
            target = batch.reward + s.discount * value.unflatten(0, (m, -1)).mean(dim=0)  # (B,)
        k = self.views
        q = self.critic(z, batch.vectors.repeat(k, 1), batch.action.repeat(k, 1))  # (2, K * B)
        factor = 1.0 if s.critic_loss == "sum" else 0.5
        loss = factor * (q - target.repeat(k)).square().mean(dim=1).sum()
        self._step("critic", loss, observer)
        return {"critic_loss": loss.detach(), "q": q.detach().mean(), "target": target.mean()}

    def _actor_step(
        self, batch: Batch, draws: Draws, z: Tensor | None, z_critic: Tensor | None, observer: Observer | None
    ) -> dict[str, Tensor]:
        alpha = self.log_alpha.detach().exp()
        action, log_prob = self.actor(z, batch.vectors, draws.noise)
        # The actor loss reaches an encoder through the policy's input only: the z that Q reads is detached.
        self.critic.requires_grad_(False)
        q = self.critic(None if z_critic is None else z_critic.detach(), batch.vectors, action).min(dim=0).values
        loss = (alpha * log_prob - q).mean()
        self._step("actor", loss, observer)
        self.critic.requires_grad_(True)
        entropy = -log_prob.detach().mean()
        if "entropy" in self.optimisers:
            self._step("entropy", self.log_alpha * (entropy - self.settings.target_entropy), observer)
        return {"actor_loss": loss.detach(), "alpha": alpha, "entropy": entropy}

    def _auxiliary_step(
        self, sequences: Sequences | None, draws: Draws, weight: float, observer: Observer | None
    ) -> dict[str, Tensor]:
        a, e = self.auxiliary, self.encoders
        if a is None or e is None or sequences is None:
            return {}

        momentum = a.momentum if a.momentum is not None else e.critic

        def encode(frames: Tensor) -> Tensor:
            with torch.set_grad_enabled(weight > 0):
                return self._encode(e.critic, frames)

        @torch.no_grad()
        def encode_momentum(frames: Tensor) -> Tensor:
            return self._encode(momentum, frames)

        raw, augmentation = sequences.frames, self.augmentation
        inputs = AuxiliaryInputs(
            # Where crops are cut from larger frames, the unaugmented ones are those that acting sees.
            frames=self.seen(raw),
            views=tuple(raw if augmentation is None else augmentation(raw, view) for view in draws.auxiliary_views),
            actions=sequences.actions,
            mask=sequences.mask,
            uniform=draws.auxiliary_uniform,
            normal=draws.auxiliary_normal,
            encode=encode,
            encode_momentum=encode_momentum,
            encoder=e.critic,
        )
        loss, metrics = a.module(inputs)
        if loss.requires_grad:  # not so where a loss without parameters of its own meets an encoder that it must not reach
            torch.autograd.backward(a.weight * loss)
        # The encoder holds this loss's gradient alone so far, whether it came by `encode` or by `encoder.moments`.
        for parameter in e.critic.parameters():
            if parameter.grad is not None:
                parameter.grad = parameter.grad * weight if weight > 0 else None
        if observer is not None:
            name, encoder = next(e.named())
            reached = any(parameter.grad is not None for parameter in encoder.parameters())
            observer.gradient("auxiliary", name, gradient_norm(encoder) if reached else None)
        if "auxiliary" in self.optimisers:
            self._apply("auxiliary", observer)
        return {"auxiliary_loss": loss.detach()} | {f"auxiliary_{k}": torch.as_tensor(v).detach() for k, v in metrics.items()}

    def _encoder_step(
        self,
        z: Tensor | None,
        z_actor: Tensor | None,
        critic_leaf: Tensor | None,
        actor_leaf: Tensor | None,
        weights: Weights,
        observer: Observer | None,
    ) -> None:
        """Send each loss's share of the gradient through its encoder, then step each encoder once."""
        e = self.encoders
        if e is None or z is None or z_actor is None:
            return
        names = [name for name, _ in e.named()]
        paths = [
            ("critic", weights.critic, names[0], z, critic_leaf),
            ("actor", weights.actor, names[-1], z_actor, actor_leaf),
        ]
        pending: dict[str, tuple[Tensor, Tensor]] = {}  # encoder -> its z and the gradient that arrives there
        for loss, weight, name, output, at in paths:
            if at is None or at.grad is None or weight == 0:
                if observer is not None:
                    observer.gradient(loss, name, None)
                continue
            arriving = torch.zeros_like(output)
            arriving[: len(at)] = weight * at.grad
            if observer is not None:
                observer.gradient(loss, name, path_norm(output, dict(e.named())[name], arriving))
            pending[name] = (output, pending[name][1] + arriving if name in pending else arriving)
        for output, arriving in pending.values():
            if output.requires_grad:
                torch.autograd.backward(output, arriving)
        for name in self._encoder_optimisers():
            self._apply(name, observer)

    def _step(self, name: str, loss: Tensor, observer: Observer | None) -> None:
        self.optimisers[name].zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._apply(name, observer)

    def _apply(self, name: str, observer: Observer | None) -> None:
        if observer is not None:
            observer.stepping()
        self.optimisers[name].step()
        if name == "auxiliary":
            self.optimisers[name].zero_grad(set_to_none=True)
        if observer is not None:
            observer.stepped(name)

    def _averages(self, critics: bool = True) -> None:
        rate = self.settings.target_rate
        if critics:
            polyak(self.target_critic, self.critic, rate)
        if self.encoders is not None:
            self.encoders.average(rate)
            a = self.auxiliary
            if a is not None and a.momentum is not None and a.spec.momentum is not None:
                polyak(a.momentum, self.encoders.critic, a.spec.momentum)

    def _encoder_optimisers(self) -> list[str]:
        return [name for name in self.optimisers if name.endswith("encoder")]

    def _zero_encoder_gradients(self) -> None:
        for name in self._encoder_optimisers():
            self.optimisers[name].zero_grad(set_to_none=True)

    # -- state --------------------------------------------------------------------------------------------------------

    def modules(self) -> dict[str, nn.Module]:
        """Every network by name; the averaged copies included."""
        named: dict[str, nn.Module] = {"actor": self.actor, "critic": self.critic, "target critic": self.target_critic}
        if self.encoders is not None:
            named |= dict(self.encoders.named())
            if self.encoders.target is not None:
                named["target encoder"] = self.encoders.target
        if self.auxiliary is not None:
            named["auxiliary"] = self.auxiliary.module
            if self.auxiliary.momentum is not None:
                named["momentum encoder"] = self.auxiliary.momentum
        return named

    def state_dict(self) -> dict[str, Any]:
        """All that an update changes, as tensors and plain values; of a frozen encoder, which may be large, a digest."""
        learning = {name: module for name, module in self.modules().items() if name not in self._frozen}
        return {
            "updates": self.updates,
            "log_alpha": self.log_alpha.detach(),
            "unchanging": self._frozen_digest,
            "modules": {name: module.state_dict() for name, module in learning.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`.

        Raises:
            KeyError, RuntimeError: The state belongs to other networks.
        """
        if state.get("unchanging", self._frozen_digest) != self._frozen_digest:
            raise RuntimeError("the frozen encoder is not the one that the run began with: other weights, or another network")
        self.updates = state["updates"]
        if self._graphs is not None:
            self._graphs = Graphs()  # those captured so far work on the optimisers' former state
        with torch.no_grad():
            self.log_alpha.copy_(state["log_alpha"])
        for name, module in self.modules().items():
            if name not in self._frozen:
                module.load_state_dict(state["modules"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])

    @property
    def _frozen(self) -> frozenset[str]:
        """The modules that nothing ever changes: they are built again from the request, not read from a checkpoint."""
        if self.encoders is None or self.encoders.trainable:
            return frozenset()
        return frozenset(name for name, _ in self.encoders.named())

    @functools.cached_property
    def _frozen_digest(self) -> str:
        """Of the frozen encoders' weights; empty where all learn. Computed once: that they stay so is checked elsewhere."""
        found = {name: tensor_digests(module) for name, module in self.modules().items() if name in self._frozen}
        return sha256_of(found) if found else ""


def first(z: Tensor | None, size: int) -> Tensor | None:
    """The first of the views that are stacked along the batch."""
    return None if z is None else z[:size]


def leaf(z: Tensor | None, weight: float) -> Tensor | None:
    """A detached copy of ``z`` that collects the gradient arriving there, unless nothing of it may go on."""
    return None if z is None else z.detach().requires_grad_(weight > 0)


def gradient_norm(module: nn.Module) -> float:
    """Norm of all gradients that lie in a module's parameters."""
    squares = [p.grad.detach().double().square().sum() for p in module.parameters() if p.grad is not None]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def path_norm(output: Tensor, module: nn.Module, arriving: Tensor) -> float | None:
    """Norm of the gradient that one loss alone sends into a module's parameters; ``None`` where none of them is reached."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not output.requires_grad or not parameters:
        return None
    gradients = torch.autograd.grad(output, parameters, arriving, retain_graph=True, allow_unused=True)
    reached = [float(g.double().square().sum()) for g in gradients if g is not None]
    return math.sqrt(sum(reached)) if reached else None
