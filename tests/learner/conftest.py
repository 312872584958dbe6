"""A small method on FetchReach, without an environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fetchbench.environment.tasks import get_task
from fetchbench.learner.batch import Batch
from fetchbench.learner.build import Built, InitialisationSeeds, build
from fetchbench.learner.draws import Draws, draw
from fetchbench.learner.sac import PLAIN
from fetchbench.protocol import LearnerSettings
from fetchbench.records.schema import Component, Execution, Method
from fetchbench.registry import Registry
from fetchbench.replay import EpisodeBatch, Replay
from fetchbench.run.plugins import load_plugins
from fetchbench.specs import PixelSpec

SIZE, STACK, BATCH = 32, 2, 8


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_plugins()


class Rig:
    """A built method with a filled replay: everything an update needs."""

    def __init__(self, built: Built, settings: LearnerSettings, seed: int = 0) -> None:
        self.built, self.learner = built, built.learner
        task = get_task("FetchReach-v4")
        rng = np.random.default_rng(seed)
        # What is learned from: pixels of the size that the method renders, or their embeddings.
        kept, size = {"frame": built.frame, "frame_dtype": built.frame_dtype}, built.rendered.size
        self.device = built.learner.device
        self.replay = Replay(capacity=3, horizon=50, observation_dim=10, action_dim=4, device=self.device, **kept)
        shape = (3, 51)
        self.replay.add(
            EpisodeBatch(
                observation=rng.normal(size=(*shape, 10)).astype(np.float32),
                achieved=(np.array(task.goal_center) + rng.normal(scale=0.05, size=(*shape, 3))).astype(np.float32),
                desired=(np.array(task.goal_center) + rng.normal(scale=0.05, size=(3, 3))).astype(np.float32),
                action=rng.uniform(-1, 1, size=(3, 50, 4)).astype(np.float32),
                frames=np.stack([built.stored(f) for f in rng.integers(0, 256, size=(*shape, 3, size, size), dtype=np.uint8)]),
            )
        )
        self.sampler = built.sampler(self.replay)
        self._noise, self._uniform = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)

    def batch(self) -> Batch:
        uniform = torch.rand(BATCH, 4, dtype=torch.float64, generator=self._uniform)
        own = self.built.own_batch
        return self.sampler(uniform, torch.rand(own, 4, dtype=torch.float64, generator=self._uniform) if own else None)

    def draws(self) -> Draws:
        return draw(self.built.draws, self._noise, self._uniform, self.device)

    def update(self, observer: Any = None) -> dict[str, torch.Tensor]:
        return self.learner.update(self.batch(), self.draws(), observer)

    def parameters(self) -> dict[str, list[torch.Tensor]]:
        return {n: [p.detach().cpu().clone() for p in m.parameters()] for n, m in self.learner.modules().items()}


@pytest.fixture
def rig(registry: Registry) -> Callable[..., Rig]:
    """``rig(routing="critic", encoder="nature", settings={...}, **method fields)``."""

    def make(
        routing: str = "critic",
        encoder: str | Component = "manipulation",
        settings: dict[str, Any] | None = None,
        extra: Registry | None = None,
        seed: int = 0,
        execution: Execution = PLAIN,
        stack: int = STACK,
        size: int = SIZE,
        **fields: Any,
    ) -> Rig:
        learner = LearnerSettings(**{"batch_size": BATCH, "hidden": (16, 16), **(settings or {})})
        known = Registry({**registry.components, **(extra.components if extra else {})})
        method = Method(
            name="m",
            track="pixels-only",
            pixels=PixelSpec(size=size, stack=stack),
            encoder=Component(name=encoder) if isinstance(encoder, str) else encoder,
            routing=Component(name=routing),
            **fields,
        )
        seeds = InitialisationSeeds(encoder=1, actor=2, critic=3, auxiliary=4)
        task = get_task("FetchReach-v4")
        return Rig(build(method, task, "pixels-only", learner, known, seeds, execution), learner, seed)

    return make
