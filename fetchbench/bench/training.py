"""Training from pixels, end to end: our trainer against SB3's ``learn``, equally many steps and updates."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetchbench.bench.process import Side, drawing_variables
from fetchbench.bench.sizes import ROUTINGS, Arithmetic, Sizes, TrainingSizes, arithmetics
from fetchbench.bench.timing import Line, Part, Spread, single, take_turns
from fetchbench.environment.tasks import get_task
from fetchbench.errors import FetchbenchError
from fetchbench.machine import wait_briefly

if TYPE_CHECKING:
    from fetchbench.protocol import LearnerSettings, Track
    from fetchbench.specs import PixelSpec

ROUTING = ROUTINGS[-1]
TRACK: Track = "pixels-only"


def measure(sizes: Sizes, cores: Sequence[int], machine: Mapping[str, Any], say: Callable[[str], None]) -> tuple[Part, Part]:
    """Time of the same training on both sides, without evaluation; returns the part, and the memory that it took.

    Args:
        sizes: Its part ``training``.
        cores: To use.
        machine: From :func:`fetchbench.bench.machine.describe`.
        say: Is told of progress.

    Raises:
        FetchbenchError: A side failed, or made other numbers of steps or updates than the others.
    """
    t, part, memory = sizes.training, Part("training", [], []), Part("memory", [], [])
    ways = arithmetics(machine, t.compiles, t.plain)
    others: dict[str, dict[str, Any]] = {"SB3": {}}
    if t.others:
        others |= {"SB3, tuned": {"tuned": True}, f"SB3, {t.large} resized": {"large": t.large}}
    pairs = [(a, "SB3") for a in ways] + [(ways[0], other) for other in others if other != "SB3"]
    arguments: dict[str, Any] = {"sizes": dataclasses.asdict(t), "threads": len(cores)}
    sides: dict[str, Side] = {}
    with ExitStack() as stack:

        def start(label: str, side: str, variables: Mapping[str, str], **own: Any) -> None:
            say(f"training: starting {label}")
            sides[label] = stack.enter_context(Side(f"training:{side}", cores, variables, **arguments, **own))
            part.notes.append(f"{label}: {sides[label].ready():.1f} s from the start of its process to its first step")

        for other, own in others.items():
            start(other, "SB3", drawing_variables(machine["renderer"]), **own)
        for a in ways:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fetchbench-"))
            cache = {"TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
            start(f"ours ({a.label})", "Ours", cache, folder=folder, **dataclasses.asdict(a))
        warmup_s, steps_per_s, first_s = _train(sides, t, say)
        counts = {label: side.ask("counts") for label, side in sides.items()}
        peak_mb = {label: single(side.peak_memory_mb()) for label, side in sides.items()}
    if len(set(map(tuple, counts.values()))) > 1:
        raise FetchbenchError(f"training: the sides differ in steps and updates: {counts}")

    n = t.segments * t.segment_steps
    whole_s = {
        label: single(warmup_s[label] + sum(t.segment_steps / rate for rate in steps_per_s[label].values)) for label in sides
    }
    for a, other in pairs:
        ours, target = f"ours ({a.label})", 4.0 if sizes.judged and (a, other) == pairs[0] else None
        what = f"{t.warmup_steps + n:,} steps, {n:,} updates ({a.label})"
        part.lines.append(Line(what, "s", "lower", whole_s[ours], whole_s[other], other, at_least=target))
        what = f"steps, an update each ({a.label})"
        part.lines.append(Line(what, "steps/s", "higher", steps_per_s[ours], steps_per_s[other], other))
        memory.lines.append(Line(f"training ({a.label})", "MB", "lower", peak_mb[ours], peak_mb[other], other))
    part.notes += [
        f"{label}: its first {t.segment_steps} steps with updates took {first_s[label]:.1f} s and are not counted"
        for label in sides
    ]
    if any(a.compile != "none" for a in ways):
        part.notes.append("what inductor compiles, it compiles in these first steps, with an empty cache")
    memory.notes.append("training's memory is the sum of its processes' peaks; what they share counts for each")
    return part, memory


def _train(
    sides: Mapping[str, Side], t: TrainingSizes, say: Callable[[str], None]
) -> tuple[dict[str, float], dict[str, Spread], dict[str, float]]:
    """Train all sides in turns: seconds of warm-up, steps per second of each segment, and seconds of the one before them."""
    say(f"training: {t.warmup_steps} steps of warm-up on each side")
    warmup_s, first_s = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, 0.0)
    episode = get_task(t.task).horizon  # our trainer stops at its end
    for _ in range(t.warmup_steps // episode):
        for label, side in sides.items():
            warmup_s[label] += side.ask("advance_s", steps=episode)

    def segment(label: str) -> float:
        seconds = float(sides[label].ask("advance_s", steps=t.segment_steps))
        first_s[label] = first_s[label] or seconds
        return t.segment_steps / seconds

    say(f"training: {t.segments} segments of {t.segment_steps} steps and updates on each side")
    found = take_turns(t.segments, {label: lambda label=label: segment(label) for label in sides})  # type: ignore[misc]
    return warmup_s, found, first_s


def settings(t: TrainingSizes) -> LearnerSettings:
    """The preset ``reach-cpu`` at the sizes that are measured."""
    from fetchbench.protocol import LEARNER_PRESETS

    changed = {"batch_size": t.batch, "warmup_steps": t.warmup_steps}
    return LEARNER_PRESETS["reach-cpu"].model_copy(update=changed)


def pixels(t: TrainingSizes) -> PixelSpec:
    from fetchbench.specs import PixelSpec

    return PixelSpec(size=t.size, stack=1)


class Ours:
    """Our trainer, as a run has it: it audits and checkpoints, in a folder. It never comes to an evaluation."""

    def __init__(self, sizes: dict[str, Any], threads: int, folder: str, precision: str, compile: str) -> None:
        wait_briefly()  # as a run does
        from fetchbench.bench.ours import make_request
        from fetchbench.environment.vector import VectorEnvironment
        from fetchbench.run.arithmetic import configure
        from fetchbench.run.plugins import load_plugins
        from fetchbench.run.prepare import build_request
        from fetchbench.run.trainer import Trainer

        t = TrainingSizes(**sizes)
        task, arithmetic = get_task(t.task), Arithmetic(precision, compile)
        request = make_request(
            t.task,
            TRACK,
            pixels(t),
            ROUTING,
            settings(t),
            threads,
            arithmetic,
            options=t.options,
            # Where the budget ends there is an evaluation: a round more than will be asked for.
            steps=t.steps + task.horizon,
        )
        configure(request)
        built = build_request(request, load_plugins())
        self._environment = VectorEnvironment(task, request.scene, built.rendered, request.learner.environments)
        self._trainer = Trainer(request, built, self._environment, Path(folder))

    def advance_s(self, steps: int) -> float:
        """Train for so many steps more, whole episodes; returns the seconds that it took, those of probes left out."""
        trainer, ended = self._trainer, 0.0
        until, probed_s = trainer.steps + steps, trainer.probes.spent_s

        def over() -> bool:
            nonlocal ended
            ended = time.perf_counter()
            return trainer.steps >= until

        began = time.perf_counter()
        # It is asked at every episode's end, and writes a checkpoint when the answer is yes; `ended` is before that.
        trainer.train(over)
        return ended - began - (trainer.probes.spent_s - probed_s)

    def counts(self) -> list[int]:
        """Steps and updates so far."""
        return [self._trainer.steps, self._trainer.learner.updates]

    def close(self) -> None:
        self._environment.close()


class SB3:
    """SB3's SAC + HerReplayBuffer in one environment, which draws by gymnasium."""

    def __init__(self, sizes: dict[str, Any], threads: int, large: int | None = None, tuned: bool = False) -> None:
        from stable_baselines3.common.vec_env import DummyVecEnv

        from fetchbench.bench import baseline, stock
        from fetchbench.bench.ours import make_encoder

        t = TrainingSizes(**sizes)
        baseline.prepare(threads, tuned)
        environment = DummyVecEnv([stock.maker(t.task, t.size, large, like_ours=large is None)])
        self._model = baseline.build(
            environment,
            get_task(t.task),
            pixels(t).shape,
            settings(t),
            TRACK,
            lambda shape: make_encoder(shape, t.options),
            buffer_steps=t.steps,
        )

    def advance_s(self, steps: int) -> float:
        """Train for so many steps more; returns the seconds that it took."""
        began = time.perf_counter()
        self._model.learn(steps, log_interval=None, reset_num_timesteps=False)  # type: ignore[arg-type]
        return time.perf_counter() - began

    def counts(self) -> list[int]:
        """Steps and updates so far."""
        return [self._model.num_timesteps, self._model._n_updates]
