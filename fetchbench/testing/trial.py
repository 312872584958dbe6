"""A small method on FetchReach with a filled replay: everything that an update needs, without an environment."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fetchbench.environment import get_task
from fetchbench.errors import PluginError
from fetchbench.learner.batch import Batch
from fetchbench.learner.build import Built, InitialisationSeeds, build
from fetchbench.learner.draws import Draws, draw
from fetchbench.learner.goals import IMAGE_GOALS, VECTOR_GOALS
from fetchbench.learner.graph import WARM_UP
from fetchbench.learner.sac import PLAIN
from fetchbench.protocol import LearnerSettings, Track
from fetchbench.records.schema import Component, Execution, Method
from fetchbench.registry import Registry
from fetchbench.replay import EpisodeBatch, Replay
from fetchbench.replay.hindsight import DRAWS
from fetchbench.run.audit import Audit, FrozenCheck
from fetchbench.specs import GradientRoutingSpec, PixelSpec, PluginSpec, Schedule
from fetchbench.suite.model import usual_goals
from fetchbench.testing.report import Outcome, ok, skipped
from fetchbench.testing.stand_ins import registry_of

LOSSES = ("critic", "actor", "auxiliary")
EPISODES, HORIZON = 2, 12
"""Shorter than the task's: a frozen encoder embeds every frame of it."""


class Trial:
    """A built method and its replay.

    Args:
        specs: ``(kind, spec)`` of its components, at most one of each kind. The goal space is the
            track's usual one unless one is given.
        size: Of the frames that its encoder sees.
        stack: Frames per observation.
        batch: Transitions per update.
        views: Augmented views, where there is an augmentation.
        track: What the networks see.
        execution: How the arithmetic is done.
    """

    def __init__(
        self,
        *specs: tuple[str, PluginSpec],
        size: int = 64,
        stack: int = 2,
        batch: int = 8,
        views: int = 1,
        track: Track = "pixels-only",
        execution: Execution = PLAIN,
    ) -> None:
        registry: Registry = registry_of(("goal-space", VECTOR_GOALS), ("goal-space", IMAGE_GOALS), *specs)
        chosen = {kind: Component(name=spec.name) for kind, spec in specs}
        pixels = track not in ("state", "blind")
        method = Method(
            name="trial",
            track=track,
            pixels=PixelSpec(size=size, stack=stack) if pixels else None,
            encoder=chosen.get("encoder"),
            augmentation=chosen.get("augmentation"),
            views=views,
            auxiliary_loss=chosen.get("auxiliary-loss"),
            routing=chosen.get("gradient-routing"),
            goal_space=chosen.get("goal-space", usual_goals(track)),
        )
        settings = LearnerSettings(batch_size=batch, hidden=(32, 32))
        task, seeds = get_task("FetchReach-v4"), InitialisationSeeds(encoder=1, actor=2, critic=3, auxiliary=4)
        self.built: Built = build(method, task, track if pixels else "pixels-only", settings, registry, seeds, execution)
        self.learner = self.built.learner
        self.batch_size = batch
        self.replay = filled(self.built)
        self._sampler = self.built.sampler(self.replay)
        self._noise, self._uniform = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)

    def batch(self) -> Batch:
        own = self.built.own_batch
        return self._sampler(self._draw(self.batch_size, self.built.goal_draws), self._draw(own) if own else None)

    def draws(self) -> Draws:
        return draw(self.built.draws, self._noise, self._uniform, self.learner.device)

    def update(self, audit: Audit | None = None) -> dict[str, Tensor]:
        """One update.

        Raises:
            PluginError: What it measured is not finite.
        """
        metrics = self.learner.update(self.batch(), self.draws(), audit)
        bad = [name for name, value in metrics.items() if not bool(value.isfinite().all())]
        if bad:
            raise PluginError(f"{', '.join(bad)} not finite in an update")
        return metrics

    def _draw(self, count: int, more: int = 0) -> Tensor:
        return torch.rand(count, DRAWS + more, dtype=torch.float64, generator=self._uniform)


def filled(built: Built) -> Replay:
    """A replay of this method over two episodes of noise."""
    episodes = _episodes(built.rendered.size if built.rendered else None)
    frames = episodes.frames
    goal_frames = None
    if frames is not None:
        goal_frames = built.stored(frames[::-1, 0].copy()) if built.goal_images else None
        frames = np.stack([built.stored(each) for each in frames])
    replay = Replay(
        capacity=EPISODES,
        horizon=HORIZON,
        observation_dim=episodes.observation.shape[-1],
        action_dim=episodes.action.shape[-1],
        frame=built.frame,
        frame_dtype=built.frame_dtype,
        goal_frames=built.goal_images,
        device=built.learner.device,
    )
    replay.add(built.told(replace(episodes, frames=frames, goal_frames=goal_frames)))
    return replay


@functools.lru_cache(maxsize=2)
def _episodes(size: int | None) -> EpisodeBatch:
    task, rng = get_task("FetchReach-v4"), np.random.default_rng(0)
    shape, center = (EPISODES, HORIZON + 1), np.array(task.goal_center)
    return EpisodeBatch(
        observation=rng.normal(size=(*shape, task.observation_dim)).astype(np.float32),
        achieved=(center + rng.normal(scale=0.05, size=(*shape, 3))).astype(np.float32),
        desired=(center + rng.normal(scale=0.05, size=(EPISODES, 3))).astype(np.float32),
        action=rng.uniform(-1, 1, size=(EPISODES, HORIZON, task.action_dim)).astype(np.float32),
        frames=None if size is None else rng.integers(0, 256, size=(*shape, 3, size, size), dtype=np.uint8),
    )


def audited(trial: Trial) -> Iterator[Audit]:
    """An update at each stage of the trial's routing, audited.

    Raises:
        RoutingError: What happened is not what the routing declares, or a frozen encoder moved.
        PluginError: What an update measured is not finite.
    """
    frozen = FrozenCheck(trial.learner)
    for start in stages(trial.learner.routing):
        trial.learner.updates = start
        audit = Audit(trial.learner)
        trial.update(audit)
        audit.verify()
        yield audit
    frozen.verify()


def captured(make: Callable[[Execution], Trial]) -> Iterator[Outcome]:
    """Whole updates as CUDA graphs, where there is a GPU.

    Raises:
        PluginError: They cannot be captured.
    """
    if not torch.cuda.is_available():
        yield skipped("not captured: that needs a GPU. No value is read in Python")
        return
    trial = make(Execution(device="cuda", compile="cuda-graph"))
    for _ in range(WARM_UP + 2):
        trial.update()
    yield ok("whole updates, captured and replayed")


def stages(routing: GradientRoutingSpec) -> list[int]:
    """The updates at which a routing's weights change, 0 first."""
    weights = (routing.critic, routing.actor, routing.auxiliary)
    return sorted({0} | {start for w in weights if isinstance(w, Schedule) for _, start, _ in w.stages})


def pattern(routing: GradientRoutingSpec) -> set[tuple[bool | int, ...]]:
    """How many encoders there are, and which losses reach them, at each stage: what an update depends on."""
    return {(routing.encoders, *(routing.at(loss, start) > 0 for loss in LOSSES)) for start in stages(routing)}
