"""What a suite still asks for, and what that will take: read from folders and past records, without loading a plugin.

The rule of prediction. A run takes what a past run took on the same processor (or GPU), in proportion to its steps or its
updates, whichever makes it more. The past run must have had the same encoder with the same options, pixels, batch size,
updates per step, heads, views and auxiliary loss; of those that had, the nearest is taken: the one that differs in fewest of
routing, augmentation, trunk, goal space, track, task, environments, share of evaluation and precision. Where there are several
runs of it, the median. A run that ended early tells nothing, unless it was censored beyond half of its budget. Memory is that
run's peak, its replay exchanged for one of this run's size. Where there is no such run the answer is ``None``, never a guess.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fetchbench.execution.jobs import RECORDED, read_request
from fetchbench.execution.local import usable_cores
from fetchbench.execution.status import RunStatus, run_status, statuses
from fetchbench.machine import bfloat16_instructions, gpu_name, minor_version, processor_name
from fetchbench.protocol import Budget, Evaluation, LearnerSettings
from fetchbench.records.schema import Component, Cost, Method, RunRequest, Status
from fetchbench.registry import bundled_folder
from fetchbench.statistics import binomial_variance
from fetchbench.suite import Suite, SuiteIndex, still_asked_for
from fetchbench.suite.runs import protocol_key

RULE = (
    "a run takes what the nearest past run took on this hardware, by steps or updates, whichever gives more; it must have had "
    "the same encoder, pixels, batch size, updates per step, heads, views and auxiliary loss; in what else it differs is said"
)
"""The rule above in a sentence."""

ASSUMED_DEVIATION = 0.1
"""Of a method's score over seeds, where past records do not tell."""

FEWEST_DEGREES = 4
"""Degrees of freedom from which on a deviation over seeds is taken from records."""


@dataclass(frozen=True)
class Hardware:
    """What runs would train on.

    Attributes:
        device: Where networks train.
        name: Of the processor, or of the GPU.
        cores: That may be used.
        precision: What ``fetchbench run`` would take for encoders here; ``None`` where that is not known without torch. Two
            processors of one name need not have the same instructions.
    """

    device: Literal["cpu", "cuda"]
    name: str
    cores: int
    precision: str | None = None

    @property
    def unit(self) -> str:
        """What is counted: time of one core, or of one GPU."""
        return "GPU-hours" if self.device == "cuda" else "core-hours"


def hardware(device: str = "auto") -> Hardware:
    """This machine, as far as it can be told without torch.

    Args:
        device: ``auto`` (a GPU where the driver knows one), ``cpu`` or ``cuda``.
    """
    gpu = gpu_name() if device != "cpu" else None
    if gpu is not None or device == "cuda":
        return Hardware("cuda", gpu or "no GPU found", usable_cores())
    return Hardware("cpu", processor_name(), usable_cores(), "bfloat16" if bfloat16_instructions() else "float32")


class _Outcome(BaseModel):
    status: Status
    steps: int
    updates: int
    score: float | None


class _Origin(BaseModel):
    processor: str
    gpu: str | None = None
    suite_sha256: str = ""


class Past(BaseModel):
    """What matters here of a record. Its digest is not checked: a prediction is no result.

    Attributes:
        request: What was run.
        result: How far it came, and what it scored.
        provenance: On which hardware.
        cost: What it took.
    """

    model_config = ConfigDict(extra="ignore")

    request: RunRequest
    result: _Outcome
    provenance: _Origin
    cost: Cost

    def ran_on(self, here: Hardware) -> bool:
        """Whether it was trained on this very kind of processor or GPU."""
        if self.request.execution.device != here.device:
            return False
        return here.name == (self.provenance.gpu if here.device == "cuda" else self.provenance.processor)

    def tells_of_a_whole_run(self) -> bool:
        """Whether it came so far that a whole run takes in proportion: what happens once would count many times."""
        run = self.result
        if run.steps < 1 or run.updates < 1:
            return False
        return run.status == "done" or (run.status == "censored" and run.steps > self.request.budget.steps / 2)


def read_past(runs: Path, published: Path) -> list[Past]:
    """Every record under the runs folder and among the published, each run once; files that are none are passed over.

    Args:
        runs: ``<task>/<method>/seed<k>-<key>/record.json`` beneath it.
        published: ``<suite>/<method>/<task>/seed<k>.json`` beneath it.
    """
    found: dict[str, Past] = {}
    for path in (*sorted(published.glob("*/*/*/seed*.json")), *sorted(runs.glob("*/*/seed*/record.json"))):
        try:
            past = Past.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        found[past.request.key or str(path)] = past
    return list(found.values())


# -- what is done -----------------------------------------------------------------------------------------------------


def states(runs: Path, suite: Suite, index: SuiteIndex | None) -> list[RunStatus]:
    """Every run that a suite's file asks for: as its index says, and where that says nothing, as another suite left it.

    A run whose plugin has changed since is ``waiting`` again, as far as files tell: installed packages are not looked into.

    Args:
        runs: The runs folder.
        suite: No plugin needs to be loaded for it.
        index: Of the suite; ``None`` where it was never run.
    """
    wanted = {(seed, method.name, task) for seed, method, task in suite.cells()}
    current = functools.partial(_current, _sources(), minor_version(importlib.metadata.version("mujoco")))
    found = []
    asked: dict[str, Any] = {}
    for run in statuses(runs, suite, index):
        if (run.seed, run.method, run.task) not in wanted:
            continue
        request = None if run.directory is None else read_request(run.directory)
        if request is not None and not run.message.startswith("the suite has changed") and current(request):
            found.append(run)
            continue
        changed = request is not None and run.state != "waiting" and not current(request)
        message = "a plugin has changed since it was run" if changed else run.message
        waiting = RunStatus(run.method, run.task, run.seed, "waiting", run.directory, message=message)
        found.append(_of_another_suite(runs, suite, run, current, asked) or waiting)
    return found


def _of_another_suite(
    runs: Path, suite: Suite, run: RunStatus, current: Callable[[RunRequest], bool], asked: dict[str, Any]
) -> RunStatus | None:
    """The run with what it declares, whatever suite asked for it: suites share their runs."""
    for folder in sorted((runs / run.task / run.method).glob(f"seed{run.seed}-*")):
        request = read_request(folder)
        if request is None or (request.seed, request.method.name, request.task) != (run.seed, run.method, run.task):
            continue
        if still_asked_for(request, suite, asked) and current(request):
            return run_status(request, folder)
    return None


def _sources() -> set[str]:
    """The digests of all plugin files that are found without being named, of the core's own components too."""
    files = [*bundled_folder("plugins").glob("[!_]*.py"), *Path("plugins").glob("[!_]*.py")]
    return {"built in", *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)}


def _current(sources: set[str], mujoco: str, request: RunRequest) -> bool:
    """Whether ``fetchbench run`` would still ask for exactly this, as far as files tell."""
    if minor_version(request.mujoco) != mujoco:
        return False
    ours = [component for _, component in request.method.components() if component.provider == "fetchbench"]
    return all(component.source_sha256 in sources for component in ours)


def in_records(published: Path, suite: Suite) -> set[tuple[int, str, str]]:
    """``(seed, method, task)`` of the suite's runs that are among its published records and are still asked for."""
    found = set()
    asked: dict[str, Any] = {}
    for seed, method, task in suite.cells():
        path = published / suite.name / method.name / task / f"seed{seed}.json"
        try:
            past = Past.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        if still_asked_for(past.request, suite, asked, indexed=past.provenance.suite_sha256 == suite.sha256):
            found.add((seed, method.name, task))
    return found


# -- what it takes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prediction:
    """What one run of a method takes.

    Attributes:
        hours: Of one core on the CPU, of one GPU on CUDA.
        memory_mb: Peak of the main memory.
        gpu_memory_mb: Peak of the GPU's; ``None`` on the CPU.
        basis: What it is predicted from, in words.
        near: Whether that was another method, or another task.
    """

    hours: float
    memory_mb: float
    gpu_memory_mb: float | None = None
    basis: str = ""
    near: bool = False


def predict(suite: Suite, method: Method, task: str, past: Iterable[Past], here: Hardware) -> Prediction | None:
    """What a whole run takes, by the rule of this module; ``None`` where no past run tells.

    Args:
        past: Records of any hardware.
    """
    wanted = _needed(method, suite.learner)
    groups: dict[tuple[tuple[str, ...], str, str], list[Past]] = defaultdict(list)
    for run in past:
        if not run.ran_on(here) or not run.tells_of_a_whole_run():
            continue
        # An encoder that needs a frame size of its own is recorded with that one.
        same = run.provenance.suite_sha256 == suite.sha256 and run.request.method.name == method.name
        if not same and _needed(run.request.method, run.request.learner) != wanted:
            continue
        differs = tuple(_differences(suite, method, task, run.request, same))
        if method.encoder is not None and here.precision not in (None, run.request.execution.precision):
            differs += ("precision",)
        groups[differs, run.request.method.name, run.request.suite].append(run)
    if not groups:
        return None
    key = min(groups, key=lambda k: (len(k[0]), -len(groups[k]), k))
    differs, name, of_suite = key
    found = [_scaled(suite, run, here) for run in groups[key]]
    gpu = [memory for _, _, memory in found if memory is not None]
    number = f"{len(found)} runs" if len(found) > 1 else "a run"
    basis = f"{number} of {name} ({of_suite})" + (f"; other {', '.join(differs)}" if differs else "")
    return Prediction(
        hours=statistics.median(hours for hours, _, _ in found),
        memory_mb=statistics.median(memory for _, memory, _ in found),
        gpu_memory_mb=statistics.median(gpu) if gpu else None,
        basis=basis,
        near=bool(differs),
    )


def _needed(method: Method, learner: LearnerSettings) -> dict[str, Any]:
    """What a past run must have had in common."""
    return {
        "encoder": method.encoder and method.encoder.declaration(),
        "pixels": method.pixels,
        "views": (method.views, method.target_views),
        "auxiliary loss": method.auxiliary_loss and method.auxiliary_loss.declaration(),
        "learner": (learner.batch_size, learner.updates_per_step, learner.hidden),
    }


def _differences(suite: Suite, method: Method, task: str, past: RunRequest, same: bool) -> Iterator[str]:
    """In what else a past run differs."""
    other = past.method
    pairs: dict[str, tuple[Any, Any]] = {
        "task": (task, past.task),
        "environments": (suite.learner.environments, past.learner.environments),
    }
    if not same:
        pairs |= {
            "routing": (_declared(method.routing), _declared(other.routing)),
            "augmentation": (_declared(method.augmentation), _declared(other.augmentation)),
            "goal space": (_declared(method.goal_space), _declared(other.goal_space)),
            "trunk": (method.trunk, other.trunk),
            "track": (method.track, other.track),
        }
    yield from (name for name, (ours, theirs) in pairs.items() if ours != theirs)
    if not 0.8 < _share(suite.evaluation) / _share(past.evaluation) < 1.25:
        yield "share of evaluation"


def _declared(component: Component | None) -> Any:
    return component and component.declaration()


def _share(evaluation: Evaluation) -> float:
    return evaluation.episodes / evaluation.every_steps


def _scaled(suite: Suite, run: Past, here: Hardware) -> tuple[float, float, float | None]:
    """Hours, main memory and GPU memory of a whole run, from a past one."""
    cost = run.cost
    ratio = max(suite.budget.steps / run.result.steps, updates_of(suite.budget, suite.learner) / run.result.updates)
    spent = cost.wall_s if here.device == "cuda" else cost.core_s
    return spent * ratio / 3600, *memory_of(cost, run.request, suite.budget, suite.learner)


def memory_of(cost: Cost, of: RunRequest, budget: Budget, learner: LearnerSettings) -> tuple[float, float | None]:
    """Main memory and GPU memory of a run, MB, from those of another whose replay is exchanged for one of this run's size.

    Args:
        cost: Of the other run.
        of: Its request.
        budget: Of the run that is asked about.
        learner: Likewise.
    """
    # A replay's room is taken whole when a run begins.
    grown = cost.replay_mb * (capacity(budget, learner) / capacity(of.budget, of.learner) - 1)
    gpu = cost.peak_gpu_memory_mb
    if gpu is not None and cost.frames_on == "cuda":
        return cost.peak_memory_mb, gpu + grown
    return cost.peak_memory_mb + grown, gpu


def updates_of(budget: Budget, learner: LearnerSettings) -> float:
    """How many updates a run makes."""
    return max(1.0, (budget.steps - learner.warmup_steps) * learner.updates_per_step)


def capacity(budget: Budget, learner: LearnerSettings) -> int:
    """Transitions that a run's replay has room for."""
    return min(learner.buffer_steps or budget.steps, budget.steps)


# -- what it can show -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Detection:
    """The smallest difference between two methods that a suite's seeds can tell from chance.

    Attributes:
        difference: Of mean success over the suite's tasks; ``None`` where the seeds can tell none.
        seeds: Of each method.
        deviation: Of a method's score over seeds, on one task.
        basis: Where the deviation comes from, in words.
    """

    difference: float | None
    seeds: int
    deviation: float
    basis: str


def detection(suite: Suite, past: Iterable[Past]) -> Detection:
    """What the suite's seeds can show, at 80 % power and the 5 % level.

    Args:
        past: Records; those of the suite's tasks tell the deviation over seeds, pooled within suite, method and task. Where
            the suite has methods that see frames, records of such methods alone. It is at least the error of the suite's own
            evaluation: seeds that happen to agree do not make a method exact.
    """
    from fetchbench.statistics.comparison import detectable
    from fetchbench.statistics.permutation import smallest_p

    seeds, tasks = len(suite.seeds), len(suite.tasks)
    deviation, basis = _deviation(suite, past)
    if seeds < 2 or smallest_p(seeds, seeds, tasks) >= 0.05:
        return Detection(None, seeds, deviation, basis)
    found = detectable(deviation, seeds, tasks)
    return Detection(found if found <= 1 else None, seeds, deviation, basis)


def _deviation(suite: Suite, past: Iterable[Past]) -> tuple[float, str]:
    seeing = any(method.encoder is not None for method in suite.methods)
    groups: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for run in past:
        request, score = run.request, run.result.score
        if request.task in suite.tasks and score is not None and (request.method.encoder is not None) == seeing:
            # Two forms of a suite share a runs folder: their scores differ by more than their seeds.
            groups[request.suite, protocol_key(request), request.method.name, request.task].append(score)
    degrees: Mapping[str, int] = {
        task: sum(len(scores) - 1 for (*_, t), scores in groups.items() if t == task) for task in suite.tasks
    }
    if min(degrees.values()) < FEWEST_DEGREES:
        return ASSUMED_DEVIATION, "assumed: too few records of these tasks"
    episodes = suite.evaluation.episodes * min(
        suite.evaluation.last, math.ceil(suite.budget.steps / suite.evaluation.every_steps)
    )
    squares: dict[str, float] = dict.fromkeys(suite.tasks, 0.0)
    errors: dict[str, list[float]] = defaultdict(list)
    for (*_, task), scores in groups.items():
        mean = statistics.fmean(scores)
        squares[task] += math.fsum((score - mean) ** 2 for score in scores)
        errors[task] += [binomial_variance(score, episodes) for score in scores]
    variance = statistics.fmean(max(squares[task] / degrees[task], statistics.fmean(errors[task])) for task in suite.tasks)
    runs = sum(len(scores) for scores in groups.values() if len(scores) > 1)
    methods = len({method for (_, _, method, _), scores in groups.items() if len(scores) > 1})
    where = "tasks" if len(suite.tasks) > 1 else "task"
    of = f"{methods} methods" if methods > 1 else "1 method"
    return math.sqrt(variance), f"of {runs} past runs of {of} on the same {where}"


# -- all of it --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """The runs of one method on one task.

    Attributes:
        method: Its name.
        task: Its task.
        runs: One per seed.
        published: How many of them are among the published records.
        prediction: Of one whole run; ``None`` where nothing is known.
    """

    method: str
    task: str
    runs: tuple[RunStatus, ...]
    published: int
    prediction: Prediction | None

    @property
    def missing(self) -> list[RunStatus]:
        """Those without a record here."""
        return [run for run in self.runs if run.state not in RECORDED]

    def hours_left(self, budget_steps: int) -> list[float]:
        """What each missing one takes, of one that has begun what is left of it; empty where nothing is known."""
        if self.prediction is None:
            return []
        return [self.prediction.hours * (1 - min(1.0, run.steps / budget_steps)) for run in self.missing]


def rows(
    suite: Suite,
    found: Sequence[RunStatus],
    published: set[tuple[int, str, str]],
    prediction: Callable[[Method, str], Prediction | None],
) -> list[Row]:
    """The runs by method and task, each with its prediction.

    Args:
        found: What :func:`states` gave.
        published: What :func:`in_records` gave.
        prediction: Of a method on a task.
    """
    runs: dict[tuple[str, str], list[RunStatus]] = defaultdict(list)
    for run in found:
        runs[run.method, run.task].append(run)
    made = []
    for method in suite.methods:
        for task in suite.tasks:
            own = tuple(runs[method.name, task])
            there = sum((run.seed, run.method, run.task) in published for run in own)
            made.append(Row(method.name, task, own, there, prediction(method, task)))
    return made
