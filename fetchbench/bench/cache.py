"""The embedding cache: updates of a frozen encoder that has embedded each frame once, against the same run without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fetchbench.bench.process import Side
from fetchbench.bench.sizes import CacheSizes, Sizes
from fetchbench.bench.timing import Line, Part, rate, take_turns
from fetchbench.machine import wait_briefly

if TYPE_CHECKING:
    from fetchbench.specs import PixelSpec

TARGET = 200.0


def measure(sizes: Sizes, cores: Sequence[int], say: Callable[[str], None]) -> Part:
    """Updates per second, with and without the cache.

    Args:
        sizes: Its part ``cache``.
        cores: To use.
        say: Is told of progress.
    """
    c = sizes.cache
    say(f"cache: {c.encoder} with random weights, batches of {c.batch}, in {c.rounds} rounds")
    with Side("cache:Frozen", cores, sizes=dataclasses.asdict(c), threads=len(cores)) as side:

        def contestant(on: str) -> Callable[[], float]:
            return lambda: float(side.ask("updates_per_s", on=on))

        found = take_turns(c.rounds, {on: contestant(on) for on in ("cached", "plain")})
        frame_ms = float(side.ask("frame_ms"))
    line = Line(
        f"{c.encoder}, frozen, {c.size}x{c.size}x{c.stack}, batch {c.batch}",
        "updates/s",
        "higher",
        found["cached"],
        found["plain"],
        "ours, uncached",
        TARGET if sizes.judged else None,
    )
    return Part("cache", [line], [f"embedding a frame, once, takes {frame_ms:.1f} ms"])


class Frozen:
    """One method, built with the cache and without it, each over a replay of its own."""

    def __init__(self, sizes: dict[str, Any], threads: int) -> None:
        wait_briefly()  # as a run does
        import numpy as np
        import torch

        from fetchbench.bench.episodes import random_episodes
        from fetchbench.bench.ours import make_request
        from fetchbench.bench.sizes import PLAIN
        from fetchbench.environment.tasks import get_task
        from fetchbench.protocol import LEARNER_PRESETS
        from fetchbench.run.arithmetic import configure
        from fetchbench.run.plugins import load_plugins
        from fetchbench.run.prepare import build_request

        c = self._sizes = CacheSizes(**sizes)
        settings = LEARNER_PRESETS["push"].model_copy(update={"batch_size": c.batch})
        request = make_request(
            c.task,
            "pixels",
            _pixels(c),
            "frozen",
            settings,
            threads,
            PLAIN,
            encoder=c.encoder,
            options={"weights": "random"},
        )
        configure(request)
        registry, task = load_plugins(), get_task(c.task)
        episodes = random_episodes(task, c.size, count=1)
        assert episodes.frames is not None
        self._frames = episodes.frames[0]  # (T+1, 3, H, W)
        self._updates: dict[str, Callable[[], object]] = {}
        for name, cache in (("cached", True), ("plain", False)):
            built = build_request(request, registry, cache=cache)
            if cache:
                self._built = built
            stored = dataclasses.replace(episodes, frames=built.stored(self._frames)[None])
            self._updates[name] = self._update(built, task, stored)
        self._generator = torch.Generator().manual_seed(0)
        self._one = np.ascontiguousarray(self._frames[:1])

    def _update(self, built: Any, task: Any, episodes: Any) -> Callable[[], object]:
        import torch

        from fetchbench.learner.draws import draw
        from fetchbench.replay import Replay
        from fetchbench.replay.hindsight import DRAWS

        replay = Replay(
            capacity=1,
            horizon=task.horizon,
            observation_dim=task.observation_dim,
            action_dim=task.action_dim,
            frame=built.frame,
            frame_dtype=built.frame_dtype,
        )
        replay.add(episodes)
        sampler, batch_size = built.sampler(replay), built.learner.settings.batch_size

        def update() -> object:
            g = self._generator
            batch = sampler(torch.rand(batch_size, DRAWS, generator=g, dtype=torch.float64))
            return built.learner.update(batch, draw(built.draws, g, g, built.learner.device))

        return update

    def updates_per_s(self, on: str) -> float:
        """Updates per second, ``on`` = ``"cached"`` or ``"plain"``."""
        return rate(self._updates[on], self._sizes.block_s)

    def frame_ms(self) -> float:
        """Time to embed one frame, milliseconds."""
        return 1000 / rate(lambda: self._built.stored(self._one), self._sizes.block_s)


def _pixels(c: CacheSizes) -> PixelSpec:
    from fetchbench.specs import PixelSpec

    return PixelSpec(size=c.size, stack=c.stack)
