"""Stepping and drawing: our vector environment against gymnasium's own render path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from fetchbench.bench.process import Side, drawing_variables
from fetchbench.bench.sizes import RenderSizes, Sizes
from fetchbench.bench.timing import Line, Part, rate, take_turns
from fetchbench.environment.tasks import get_task
from fetchbench.environment.vector import VectorEnvironment
from fetchbench.protocol import Scene
from fetchbench.specs import PixelSpec

MULTISAMPLED = 4
"""Samples per pixel of MuJoCo's models, unless they say otherwise."""


def measure(sizes: Sizes, cores: Sequence[int], machine: Mapping[str, Any], say: Callable[[str], None]) -> Part:
    """Environment steps per second, each with a frame, whole episodes with their resets.

    Args:
        sizes: Its part ``render``.
        cores: To use.
        machine: From :func:`fetchbench.bench.machine.describe`.
        say: Is told of progress.
    """
    r, part = sizes.render, Part("render", [], [])
    threads, values = len(cores), dataclasses.asdict(r)
    counts = [n for n in (2**i for i in range(16)) if n < threads] + [threads]
    contestants: dict[str, tuple[str, dict[str, Any]]] = {
        **{f"ours {n}": ("Ours", {"workers": n}) for n in counts},
        "multisampled": ("Ours", {"workers": 1, "offsamples": MULTISAMPLED}),
        **{f"stock {n}": ("Gymnasium", {"workers": n}) for n in counts},
        "our picture": ("Gymnasium", {"workers": 1, "like_ours": True}),
        "large": ("Gymnasium", {"workers": 1, "large": True}),
    }
    say(f"render: starting environments of {r.task}")
    with ExitStack() as stack:
        variables = drawing_variables(machine["renderer"])
        sides = {
            name: stack.enter_context(Side(f"render:{side}", cores, variables, sizes=values, **own))
            for name, (side, own) in contestants.items()
        }
        for side in sides.values():
            side.ready()
        say(f"render: stepping and drawing, in {r.rounds} rounds")
        found = take_turns(
            r.rounds,
            {name: lambda side=side: float(side.ask("steps_per_s")) for name, side in sides.items()},  # type: ignore[misc]
        )

    def line(what: str, ours: str, theirs: str, other: str, at_least: float | None = None) -> Line:
        return Line(f"{r.size}x{r.size}, {what}", "steps/s", "higher", found[ours], found[theirs], other, at_least)

    part.lines = [line("1 worker", "ours 1", "stock 1", "gymnasium, native", 3.0 if sizes.judged else None)]
    part.lines += [line(f"{n} workers", f"ours {n}", f"stock {n}", f"gymnasium, native, {n} workers") for n in counts[1:]]
    part.lines += [
        line("1 worker", "ours 1", "our picture", "gymnasium, our picture"),
        line("multisampled, 1 worker", "multisampled", "stock 1", "gymnasium, native"),
        line("1 worker", "ours 1", "large", f"gymnasium, {r.large} resized"),
    ]
    part.notes.append("our picture: our camera, neither marker nor shadows nor multisampling; gymnasium's own has all of them")
    return part


class Ours:
    """Our vector environment, one environment per worker."""

    def __init__(self, sizes: dict[str, Any], workers: int, offsamples: int = 0) -> None:
        r = RenderSizes(**sizes)
        self._task, self._block_s = get_task(r.task), r.block_s
        pixels = PixelSpec(size=r.size, offsamples=offsamples)
        self._environment = VectorEnvironment(self._task, Scene(), pixels, workers, workers)
        self._actions = actions(r.task, workers)
        self._seed = 0

    def steps_per_s(self) -> float:
        return rate(self._episode, self._block_s) * self._task.horizon * self._environment.count

    def _episode(self) -> None:
        n = self._environment.count
        self._environment.reset(range(self._seed, self._seed + n))
        self._seed += n
        for action in self._actions:
            self._environment.step(action)

    def close(self) -> None:
        self._environment.close()


class Gymnasium:
    """``gymnasium.make`` and its ``render()``; several of them in an ``AsyncVectorEnv``."""

    def __init__(self, sizes: dict[str, Any], workers: int, like_ours: bool = False, large: bool = False) -> None:
        from gymnasium.vector import AsyncVectorEnv

        from fetchbench.bench import stock

        r = RenderSizes(**sizes)
        self._horizon, self._block_s, self._workers = get_task(r.task).horizon, r.block_s, workers
        make = stock.maker(r.task, r.size, r.large if large else None, like_ours)
        self._environment: Any = make() if workers == 1 else AsyncVectorEnv([make] * workers, context="fork")
        each = actions(r.task, workers)
        self._actions = each[:, 0] if workers == 1 else each
        self._seed = 0

    def steps_per_s(self) -> float:
        return rate(self._episode, self._block_s) * self._horizon * self._workers

    def _episode(self) -> None:
        self._environment.reset(seed=self._seed)
        self._seed += self._workers
        for action in self._actions:
            self._environment.step(action)

    def close(self) -> None:
        self._environment.close()


def actions(task: str, count: int) -> np.ndarray:
    """An episode's random actions, the same for both sides: ``float32 (T, count, A)``."""
    t = get_task(task)
    return np.random.default_rng(0).uniform(-1, 1, (t.horizon, count, t.action_dim)).astype(np.float32)
