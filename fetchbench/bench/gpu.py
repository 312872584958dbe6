"""Updates on a GPU: the whole update as a graph, and launched kernel by kernel, against SB3's SAC on the same GPU."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from fetchbench.bench.process import Side
from fetchbench.bench.sizes import BASELINE_ROUTING, PLAIN, ROUTINGS, Arithmetic, Sizes
from fetchbench.bench.timing import Line, Part, take_turns

TARGET = 1_000.0
"""Updates per second with the routing ``critic``, on a GPU of the class of an H100."""


def measure(sizes: Sizes, cores: Sequence[int], machine: Mapping[str, Any], say: Callable[[str], None]) -> Part:
    """Updates and batches per second. Without a GPU a note alone.

    Args:
        sizes: Its part ``gpu``.
        cores: To use.
        machine: From :func:`fetchbench.bench.machine.describe`.
        say: Is told of progress.
    """
    g, part = sizes.gpu, Part("gpu", [], [])
    arguments: dict[str, Any] = {"sizes": dataclasses.asdict(g), "threads": len(cores)}
    with Side("gpu:Found", cores) as side:
        name = side.ask("name")
    if not name:
        part.notes.append("no GPU is seen here: nothing was measured on one")
        return part
    part.notes.append(f"measured on {name}")
    fast = Arithmetic("bfloat16", g.compile if machine["compiler"] else "none")
    captured = [] if g.compile == "none" else [Arithmetic("bfloat16", "capture")]
    ways = list(dict.fromkeys([fast, *captured, Arithmetic("bfloat16"), PLAIN]))
    ours = [(routing, a) for routing in reversed(ROUTINGS) for a in (ways if routing == ROUTINGS[-1] else ways[:1])]
    contestants: dict[str, Callable[[], float]] = {}

    def label(routing: str, a: Arithmetic) -> str:
        return f"{routing} ({a.label})"

    def enter(side: Side, name: str, key: str) -> None:
        contestants[key] = lambda: float(side.ask("updates_per_s", name=name))

    with ExitStack() as stack:
        cache = {"TORCHINDUCTOR_CACHE_DIR": stack.enter_context(tempfile.TemporaryDirectory(prefix="fetchbench-"))}
        sb3 = stack.enter_context(Side("updates:SB3", cores, **arguments, device="cuda"))
        own = stack.enter_context(Side("updates:Ours", cores, cache, **arguments, device="cuda"))
        for theirs in sorted({BASELINE_ROUTING[routing] for routing, _ in ours}):
            say(f"gpu: building SB3, {theirs}")
            sb3.ask("build", name=theirs)
            enter(sb3, theirs, f"SB3 {theirs}")
        for routing, a in ours:
            say(f"gpu: building ours, {label(routing, a)}")
            first_s = own.ask("build", name=label(routing, a), routing=routing, **dataclasses.asdict(a))
            part.notes.append(f"{label(routing, a)}: {first_s:.0f} s until its updates were compiled and captured")
            enter(own, label(routing, a), label(routing, a))
        contestants["batches"] = lambda: float(own.ask("samples_per_s"))
        say(f"gpu: batches of {g.batch}, in {g.rounds} rounds")
        found = take_turns(g.rounds, contestants)
    for routing, a in ours:
        theirs = BASELINE_ROUTING[routing]
        target = TARGET if sizes.judged and (routing, a) == ours[0] else None
        values = (found[label(routing, a)], found[f"SB3 {theirs}"])
        line = Line(label(routing, a), "updates/s", "higher", *values, f"SB3, {theirs}", own_at_least=target)
        part.lines.append(line)
    part.lines.append(Line(f"sampling from {g.transitions:,} transitions", "batches/s", "higher", found["batches"]))
    return part


class Found:
    """Looks for a GPU, in a process of its own."""

    def name(self) -> str:
        """Model, driver's CUDA version and torch's; empty without one."""
        import torch

        if not torch.cuda.is_available():
            return ""
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, torch {torch.__version__}"
