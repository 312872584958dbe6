"""Side by side: what this package costs, against what a user would take instead.

Every figure is measured on this machine, now, in turns with its counterpart. Each side of each comparison works in a process of
its own (:mod:`fetchbench.bench.process`). Importing this costs nothing.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fetchbench.bench.sizes import FULL, PARTS, QUICK, WITH_SB3, Sizes
from fetchbench.errors import FetchbenchError

if TYPE_CHECKING:
    from fetchbench.bench.report import Report
    from fetchbench.bench.timing import Part

__all__ = ["FULL", "PARTS", "QUICK", "Sizes", "bench"]

DRAWING = ("render", "training", "memory")
"""The parts that need OpenGL."""


def bench(
    parts: Collection[str] = PARTS,
    sizes: Sizes = FULL,
    threads: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure.

    Args:
        parts: Of :data:`PARTS`.
        sizes: How much.
        threads: Cores that every process is bound to, and threads of its arithmetic; by default all that this one may use.
        say: Is told of progress, a line at a time.

    Returns:
        What was found. A part that failed says why, and the others stand.

    Raises:
        FetchbenchError: stable-baselines3 is missing, there is no OpenGL, or there are fewer cores.
    """
    check_sb3(parts)
    allowed = sorted(os.sched_getaffinity(0))
    if threads is not None and threads > len(allowed):
        raise FetchbenchError(f"--threads {threads}: this process may use {len(allowed)} cores; ask for at most that many")
    cores = allowed[:threads]

    from fetchbench.bench import machine
    from fetchbench.bench.report import Report
    from fetchbench.environment import probe

    say("looking at the machine")
    renderer = probe() if any(part in DRAWING for part in parts) else {}
    found = machine.describe(cores, renderer)
    measured: dict[str, Part] = {}
    for measure in _measures(parts, sizes, cores, found, say):
        for part in measure():
            _join(measured, part)
    shown = (measured[name] for name in PARTS if name in measured)
    return Report(sizes, found, [part for part in shown if part.name in parts or part.problem])


def check_sb3(parts: Collection[str]) -> None:
    """Raises:
    FetchbenchError: A part needs stable-baselines3, and it is not installed.
    """
    if any(part in WITH_SB3 for part in parts) and importlib.util.find_spec("stable_baselines3") is None:
        raise FetchbenchError(
            "`fetchbench bench` measures against stable-baselines3, which is not installed: "
            "`pip install 'stable-baselines3>=2.9'`, or measure what needs none of it with --only render"
        )


def _measures(
    parts: Collection[str],
    sizes: Sizes,
    cores: Sequence[int],
    found: Mapping[str, Any],
    say: Callable[[str], None],
) -> list[Callable[[], Sequence[Part]]]:
    """One function per part that is wanted, each with its imports; ``memory`` is a by-product of two others."""

    def guarded(name: str, measure: Callable[[], Sequence[Part]]) -> Callable[[], Sequence[Part]]:
        def run() -> Sequence[Part]:
            from fetchbench.bench.timing import Part

            began = time.monotonic()
            try:
                return measure()
            except FetchbenchError as error:
                return [Part(name, [], [], str(error))]
            finally:
                say(f"{name}: done after {time.monotonic() - began:.0f} s")

        return run

    def render() -> Sequence[Part]:
        from fetchbench.bench import render

        return [render.measure(sizes, cores, found, say)]

    def replay() -> Sequence[Part]:
        from fetchbench.bench import replay

        return replay.measure(sizes, cores, say)

    def updates() -> Sequence[Part]:
        from fetchbench.bench import updates

        return [updates.measure(sizes, cores, found, say)]

    def training() -> Sequence[Part]:
        from fetchbench.bench import training

        return training.measure(sizes, cores, found, say)

    def cache() -> Sequence[Part]:
        from fetchbench.bench import cache

        return [cache.measure(sizes, cores, say)]

    def gpu() -> Sequence[Part]:
        from fetchbench.bench import gpu

        return [gpu.measure(sizes, cores, found, say)]

    by_name = {"render": render, "replay": replay, "updates": updates, "training": training, "cache": cache, "gpu": gpu}
    wanted = set(parts) | ({"replay", "training"} if "memory" in parts else set())
    return [guarded(name, measure) for name, measure in by_name.items() if name in wanted]


def _join(measured: dict[str, Part], part: Part) -> None:
    if part.name in measured:
        before = measured[part.name]
        before.lines += part.lines
        before.notes += part.notes
    else:
        measured[part.name] = part
