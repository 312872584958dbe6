"""Updates: our learner against SB3's SAC with the same networks, batch and routing. Either side's sampling is counted in."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from fetchbench.bench.process import Side
from fetchbench.bench.sizes import BASELINE_ROUTING, ROUTINGS, Arithmetic, Sizes, UpdateSizes, arithmetics
from fetchbench.bench.timing import Line, Part, rate, take_turns
from fetchbench.machine import wait_briefly

if TYPE_CHECKING:
    from stable_baselines3 import SAC

    from fetchbench.learner.build import Built
    from fetchbench.protocol import LearnerSettings, Track
    from fetchbench.specs import PixelSpec

TARGETS = {"separate": 4.0, "actor": 4.0, "critic": 9.0}
DEFAULT = BASELINE_ROUTING["critic"]
"""SB3's default routing."""

TRACK: Track = "pixels"

BETWEEN_WAITS = 50
"""Updates between two waits for a GPU, which a run has at every environment step."""


def measure(sizes: Sizes, cores: Sequence[int], machine: Mapping[str, Any], say: Callable[[str], None]) -> Part:
    """Updates per second.

    Args:
        sizes: Its part ``updates``.
        cores: To use.
        machine: From :func:`fetchbench.bench.machine.describe`.
        say: Is told of progress.
    """
    u, part = sizes.updates, Part("updates", [], [])
    ways = arithmetics(machine, [u.compile])
    arguments: dict[str, Any] = {"sizes": dataclasses.asdict(u), "threads": len(cores)}
    contestants: dict[str, Callable[[], float]] = {}

    def enter(side: Side, name: str, key: str) -> None:
        contestants[key] = lambda: float(side.ask("updates_per_s", name=name))

    with ExitStack() as stack:
        cache = {"TORCHINDUCTOR_CACHE_DIR": stack.enter_context(tempfile.TemporaryDirectory(prefix="fetchbench-"))}
        sb3 = stack.enter_context(Side("updates:SB3", cores, **arguments))
        ours = stack.enter_context(Side("updates:Ours", cores, cache, **arguments))
        for theirs in sorted(set(BASELINE_ROUTING.values())):
            say(f"updates: building SB3, {theirs}")
            sb3.ask("build", name=theirs)
            enter(sb3, theirs, f"SB3 {theirs}")
        if u.tuned:
            tuned = stack.enter_context(Side("updates:SB3", cores, **arguments, tuned=True))
            tuned.ask("build", name=DEFAULT)
            enter(tuned, DEFAULT, "SB3 tuned")
        for routing in ROUTINGS:
            for a in ways:
                name = f"{routing} ({a.label})"
                say(f"updates: building ours, {name}")
                first_s = ours.ask("build", name=name, routing=routing, **dataclasses.asdict(a))
                if a.compile != "none" and not part.notes:
                    part.notes.append(f"{name}: its first update took {first_s:.0f} s, compiling with an empty cache included")
                enter(ours, name, name)
        say(f"updates: batches of {u.batch}, in {u.rounds} rounds")
        found = take_turns(u.rounds, contestants)

    def line(what: str, a: Arithmetic, theirs: str, other: str, at_least: float | None = None) -> Line:
        return Line(f"{what} ({a.label})", "updates/s", "higher", found[f"{what} ({a.label})"], found[theirs], other, at_least)

    for a in ways:
        judged = sizes.judged and a == ways[0]
        for routing in ROUTINGS:
            theirs = BASELINE_ROUTING[routing]
            target = TARGETS[routing] if judged else None
            part.lines.append(line(routing, a, f"SB3 {theirs}", f"SB3, {theirs}", target))
    if u.tuned:
        for routing in (r for r in ROUTINGS if BASELINE_ROUTING[r] == DEFAULT):
            part.lines.append(line(routing, ways[0], "SB3 tuned", f"SB3, {DEFAULT}, tuned"))
        part.notes.append(
            "SB3 is measured as it comes; tuned is SB3 with what our runs set in their process: glibc keeps freed memory, "
            "denormal numbers are flushed to zero"
        )
    return part


def settings(u: UpdateSizes) -> LearnerSettings:
    """The preset ``push`` at the batch that is measured."""
    from fetchbench.protocol import LEARNER_PRESETS

    return LEARNER_PRESETS["push"].model_copy(update={"batch_size": u.batch})


def pixels(u: UpdateSizes) -> PixelSpec:
    from fetchbench.specs import PixelSpec

    return PixelSpec(size=u.size, stack=u.stack)


class Ours:
    """Our learners, over one replay."""

    def __init__(self, sizes: dict[str, Any], threads: int, device: str = "cpu") -> None:
        wait_briefly()  # as a run does
        import torch

        from fetchbench.bench.episodes import filled_replay, random_episodes
        from fetchbench.environment.tasks import get_task
        from fetchbench.run.plugins import load_plugins

        u, task = UpdateSizes(**sizes), get_task(sizes["task"])
        self._sizes, self._threads, self._device = u, threads, device
        self._registry = load_plugins()
        self._replay = filled_replay(task, random_episodes(task, u.size), u.transitions, device)
        self._generator = torch.Generator().manual_seed(0)
        self._updates: dict[str, Callable[[], object]] = {}

    def build(self, name: str, routing: str, precision: str, compile: str) -> float:
        """Make a learner and let it learn once, or until it is captured; returns what that took, seconds."""
        from fetchbench.bench.ours import make_request
        from fetchbench.run.arithmetic import configure
        from fetchbench.run.prepare import build_request

        u, arithmetic = self._sizes, Arithmetic(precision, compile)
        device = self._device
        request = make_request(u.task, TRACK, pixels(u), routing, settings(u), self._threads, arithmetic, device=device)
        configure(request)
        self._updates[name] = update = self._update(build_request(request, self._registry))
        began = time.perf_counter()
        for _ in range(self._first):
            update()
        self._settle()
        return time.perf_counter() - began

    def _update(self, built: Built) -> Callable[[], object]:
        import torch

        from fetchbench.learner.draws import draw
        from fetchbench.replay.hindsight import DRAWS

        s, g = built.learner.settings, self._generator
        sampler = built.sampler(self._replay)
        self._sampler = sampler  # all learners' take the same time

        def update() -> object:
            batch = sampler(torch.rand(s.batch_size, DRAWS, generator=g, dtype=torch.float64))
            return built.learner.update(batch, draw(built.draws, g, g, built.learner.device))

        return update

    def updates_per_s(self, name: str) -> float:
        if self._device == "cpu":
            return rate(self._updates[name], self._sizes.block_s)
        return self._settled_rate(self._updates[name])

    def samples_per_s(self) -> float:
        """Batches per second, by the sampler alone."""
        import torch

        from fetchbench.replay.hindsight import DRAWS

        sampler, batch, g = self._sampler, self._sizes.batch, self._generator
        return self._settled_rate(lambda: sampler(torch.rand(batch, DRAWS, generator=g, dtype=torch.float64)))

    def _settled_rate(self, do: Callable[[], object]) -> float:
        """Calls per second, the GPU waited for after every few."""

        def several() -> None:
            for _ in range(BETWEEN_WAITS):
                do()
            self._settle()

        return BETWEEN_WAITS * rate(several, self._sizes.block_s)

    @property
    def _first(self) -> int:
        from fetchbench.learner.graph import WARM_UP

        return 1 if self._device == "cpu" else WARM_UP + 1

    def _settle(self) -> None:
        """Wait for what the GPU still has to do."""
        if self._device != "cpu":
            import torch

            torch.cuda.synchronize()


class SB3:
    """SB3's SAC, by routing, over one HerReplayBuffer."""

    def __init__(self, sizes: dict[str, Any], threads: int, tuned: bool = False, device: str = "cpu") -> None:
        from fetchbench.bench import baseline
        from fetchbench.bench.episodes import random_episodes
        from fetchbench.environment.tasks import get_task

        baseline.prepare(threads, tuned)
        self._device = device
        u = self._sizes = UpdateSizes(**sizes)
        self._task = get_task(u.task)
        episodes = random_episodes(self._task, u.size)
        self._buffer = baseline.make_buffer(self._task, pixels(u).shape, settings(u), u.transitions, device)
        baseline.fill(self._buffer, self._task, episodes, u.transitions, u.stack)
        self._models: dict[str, SAC] = {}

    def build(self, name: str) -> None:
        """Make a learner of a routing."""
        from fetchbench.bench import baseline
        from fetchbench.bench.ours import make_encoder

        u, shape = self._sizes, pixels(self._sizes).shape
        environment = baseline.offline(self._task, shape, len(self._task.proprioception))
        model = baseline.build(
            environment,
            self._task,
            shape,
            settings(u),
            TRACK,
            make_encoder,
            shared=name == "actor",
            buffer_steps=self._task.horizon,
            device=self._device,
        )
        model.replay_buffer = self._buffer
        self._models[name] = model

    def updates_per_s(self, name: str) -> float:
        u, model = self._sizes, self._models[name]
        return rate(lambda: model.train(gradient_steps=1, batch_size=u.batch), u.block_s)
