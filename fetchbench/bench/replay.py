"""Sampling: our replay against HerReplayBuffer, both with the same episodes, k and strategy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fetchbench.bench.process import Side, available_memory_mb, resident_memory_mb
from fetchbench.bench.sizes import PLAIN, ROUTINGS, ReplaySizes, Sizes
from fetchbench.bench.timing import Line, Part, rate, single, take_turns

if TYPE_CHECKING:
    from fetchbench.learner.batch import Sampler
    from fetchbench.protocol import LearnerSettings, Track
    from fetchbench.specs import PixelSpec

TRACK: Track = "pixels"
SPARE = 0.6
"""Share of the free memory that a measurement may take."""


def measure(sizes: Sizes, cores: Sequence[int], say: Callable[[str], None]) -> tuple[Part, Part]:
    """What one sample of a batch costs; returns the part, and the memory that the buffers took."""
    r, threads = sizes.replay, len(cores)
    part, memory = Part("replay", [], []), Part("memory", [], [])
    held = [r.transitions, *_affordable(r, part.notes)]
    arguments: dict[str, Any] = {"sizes": dataclasses.asdict(r), "threads": threads}
    with Side("replay:Ours", cores, **arguments) as ours, Side("replay:SB3", cores, **arguments) as sb3:
        say(f"replay: filling SB3's buffer with {r.transitions:,} transitions, ours with {_and(held)}")
        theirs = sb3.ask("fill", transitions=r.transitions)
        stores = {n: ours.ask("fill", transitions=n) for n in held}
        say(f"replay: sampling {r.batch} transitions, in {r.rounds} rounds")
        contestants: dict[str, Callable[[], float]] = {"sb3": lambda: float(sb3.ask("sample_ms"))}
        for n in held:
            contestants[f"{n}"] = lambda n=n: float(ours.ask("sample_ms", transitions=n))  # type: ignore[misc]
        found = take_turns(r.rounds, contestants)
    at, smallest = f"{r.transitions:,} transitions", found[f"{r.transitions}"]
    target = sizes.judged
    part.lines = [
        Line(
            "bytes per transition",
            "B",
            "lower",
            single(stores[r.transitions]["bytes"]),
            single(theirs["bytes"]),
            "SB3",
            at_most=22_600 if target else None,
        ),
        Line(f"sample, {at}", "ms", "lower", smallest, found["sb3"], "SB3", at_least=4.0 if target else None),
    ]
    for n in held[1:]:
        part.lines.append(Line(f"sample, {n:,} transitions", "ms", "lower", found[f"{n}"], smallest, f"ours at {at}"))
    memory.lines.append(
        Line(
            f"replay of {at}",
            "MB",
            "lower",
            single(stores[r.transitions]["memory_mb"]),
            single(theirs["memory_mb"]),
            "SB3",
        )
    )
    memory.notes.append("a replay's memory is what its process grew by while it was filled")
    return part, memory


def _affordable(r: ReplaySizes, notes: list[str]) -> list[int]:
    """The larger stores that fit beside the others."""
    frame = 3 * r.size**2
    left = SPARE * available_memory_mb() * 2**20 - r.transitions * frame * (2 * r.stack + 1)
    held = []
    for n in r.more:
        left -= n * frame * 1.1
        if left < 0:
            notes.append(f"ours at {n:,} transitions is left out: too little memory is free")
        else:
            held.append(n)
    return held


def _and(numbers: Sequence[int]) -> str:
    return " and ".join(f"{n:,}" for n in numbers)


def settings(r: ReplaySizes) -> LearnerSettings:
    from fetchbench.protocol import LearnerSettings

    return LearnerSettings(batch_size=r.batch, relabel_k=r.relabel_k, relabel_strategy="future")


def pixels(r: ReplaySizes) -> PixelSpec:
    from fetchbench.specs import PixelSpec

    return PixelSpec(size=r.size, stack=r.stack)


class Ours:
    """Our replay and sampler, as a run has them."""

    def __init__(self, sizes: dict[str, Any], threads: int) -> None:
        import torch

        from fetchbench.bench.episodes import random_episodes
        from fetchbench.bench.ours import make_request
        from fetchbench.environment.tasks import get_task
        from fetchbench.run.arithmetic import configure
        from fetchbench.run.plugins import load_plugins
        from fetchbench.run.prepare import build_request

        r = self._sizes = ReplaySizes(**sizes)
        self._task = get_task(r.task)
        request = make_request(r.task, TRACK, pixels(r), ROUTINGS[0], settings(r), threads, PLAIN)
        configure(request)
        self._episodes = random_episodes(self._task, r.size)
        self._built = build_request(request, load_plugins())
        self._generator = torch.Generator().manual_seed(0)
        self._samplers: dict[int, Sampler] = {}

    def fill(self, transitions: int) -> dict[str, float]:
        """Make a replay of so many transitions."""
        from fetchbench.bench.episodes import filled_replay

        before = resident_memory_mb()
        replay = filled_replay(self._task, self._episodes, transitions)
        self._samplers[transitions] = self._built.sampler(replay)
        return {"bytes": replay.bytes / replay.transitions, "memory_mb": resident_memory_mb() - before}

    def sample_ms(self, transitions: int) -> float:
        """Time of one sample, its random numbers included, milliseconds."""
        import torch

        from fetchbench.replay.hindsight import DRAWS

        sampler, r = self._samplers[transitions], self._sizes

        def sample() -> object:
            return sampler(torch.rand(r.batch, DRAWS, generator=self._generator, dtype=torch.float64))

        return 1000 / rate(sample, r.block_s)


class SB3:
    """HerReplayBuffer with the same observations."""

    def __init__(self, sizes: dict[str, Any], threads: int) -> None:
        from fetchbench.bench import baseline
        from fetchbench.bench.episodes import random_episodes
        from fetchbench.environment.tasks import get_task

        baseline.prepare(threads)
        r = self._sizes = ReplaySizes(**sizes)
        self._task = get_task(r.task)
        self._episodes = random_episodes(self._task, r.size)

    def fill(self, transitions: int) -> dict[str, float]:
        """Make a buffer of so many transitions."""
        from fetchbench.bench import baseline

        r, before = self._sizes, resident_memory_mb()
        self._buffer = baseline.make_buffer(self._task, pixels(r).shape, settings(r), transitions)
        baseline.fill(self._buffer, self._task, self._episodes, transitions, r.stack)
        return {"bytes": baseline.buffer_bytes(self._buffer) / transitions, "memory_mb": resident_memory_mb() - before}

    def sample_ms(self) -> float:
        """Time of one sample, milliseconds."""
        return 1000 / rate(lambda: self._buffer.sample(self._sizes.batch), self._sizes.block_s)
