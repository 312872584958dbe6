"""What runs of a suite take, measured: a short run of each method, in a folder that is thrown away.

The short run has one round of random actions (an episode in every environment) and a few of learning. What happens once
(compiling, pretraining) falls into the first round of learning and is told apart from the rounds after it; the last one is
followed by an evaluation. From these a whole run is put together. Representation probes and pictures are not in it.
"""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fetchbench.environment.tasks import get_task
from fetchbench.execution.forecast import Prediction, memory_of
from fetchbench.execution.jobs import own_record, prepare
from fetchbench.execution.planning import Plan
from fetchbench.execution.progress import Progress
from fetchbench.execution.scheduling import execute
from fetchbench.protocol import Budget, Evaluation
from fetchbench.records.schema import Record, RunRequest
from fetchbench.suite import run_key

LEARNING_ROUNDS = 4
"""The first holds what happens once, the last an evaluation; those between are the measure."""

POLL_S = 0.02


def shortened(request: RunRequest) -> RunRequest:
    """A run of a few hundred steps with the same arithmetic.

    One round of warm-up, so that learning begins at once: a batch costs the same however many episodes it is drawn from.
    """
    round_steps = get_task(request.task).horizon * request.learner.environments
    steps = round_steps * (1 + LEARNING_ROUNDS)
    short = request.model_copy(
        update={
            "learner": request.learner.model_copy(update={"warmup_steps": round_steps}),
            "budget": Budget(steps=max(100, steps), checkpoint_every_steps=max(100, steps)),
            "evaluation": Evaluation(every_steps=steps, episodes=request.learner.environments, last=1),
            "stop": None,
        }
    )
    return short.model_copy(update={"key": run_key(short)})


def measure(plan: Plan, say: Callable[[str], None]) -> dict[str, Prediction | str]:
    """Run a short run of each method that is to be executed, one after the other.

    Args:
        plan: Checked; its first request of each method is shortened.
        say: Told what is done, line by line.

    Returns:
        Method -> what a whole run of it takes on the first task that is to be executed, or why that is not known.
    """
    first: dict[str, RunRequest] = {}
    for request in plan.selected:
        first.setdefault(request.method.name, request)
    found: dict[str, Prediction | str] = dict(plan.lacking)
    with tempfile.TemporaryDirectory(prefix="fetchbench-measure-") as folder:
        for number, (name, request) in enumerate(first.items(), 1):
            say(f"measuring {name} ({number} of {len(first)})")
            found[name] = _measured(Path(folder), plan, request)
    return found


def _measured(folder: Path, plan: Plan, request: RunRequest) -> Prediction | str:
    [job] = prepare(folder, [shortened(request)])
    rounds = _Rounds()
    began = time.monotonic()
    [outcome] = execute([job], slots=1, plugins=plan.plugins, suite_sha256=plan.suite.sha256, watch=rounds.watch, poll_s=POLL_S)
    if outcome.state != "done":
        return outcome.message or f"the short run ended as {outcome.state!r}"
    record = own_record(job.directory / "record.json", job.request.key)
    return put_together(request, record, rounds.seconds(), time.monotonic() - began)


class _Rounds:
    """When each round of a job ended."""

    def __init__(self) -> None:
        self.ends: dict[int, float] = {}

    def watch(self, runs: Sequence[Progress]) -> None:
        """Called at every poll."""
        for run in runs:
            if run.steps:
                self.ends.setdefault(run.steps, time.monotonic())

    def seconds(self) -> list[float]:
        """From the end of each round to that of the next."""
        ends = [moment for _, moment in sorted(self.ends.items())]
        return [after - before for before, after in itertools.pairwise(ends)]


def put_together(request: RunRequest, record: Record, rounds_s: Sequence[float], whole_s: float) -> Prediction | str:
    """A whole run's cost from a short one's.

    Args:
        request: The whole run's.
        record: The short one's.
        rounds_s: Seconds of each of its rounds but the first, by the clock.
        whole_s: Seconds of the whole process, starting and ending included.
    """
    if len(rounds_s) < 3:
        return "the short run was over too soon to be measured"
    cost, short = record.cost, record.request
    round_steps = short.learner.warmup_steps
    learning_s = math.fsum(rounds_s[1:-1]) / (len(rounds_s) - 2)
    once_s = max(0.0, rounds_s[0] - learning_s)
    evaluated_s = max(0.0, rounds_s[-1] - learning_s) / record.result.evaluations[0].drawn
    warmup_s = max(0.0, cost.wall_s - math.fsum(rounds_s))
    started_s = max(0.0, whole_s - cost.wall_s)
    rounds = request.budget.steps / round_steps
    warmup_rounds = min(rounds, request.learner.warmup_steps / round_steps)
    evaluations = math.ceil(request.budget.steps / request.evaluation.every_steps)
    total_s = started_s + once_s + warmup_rounds * warmup_s + (rounds - warmup_rounds) * learning_s
    total_s += evaluations * request.evaluation.episodes * evaluated_s
    on_gpu = request.execution.device == "cuda"
    busy = 1.0 if on_gpu else cost.core_s / max(cost.wall_s, 1e-9)
    memory_mb, gpu_memory_mb = memory_of(cost, short, request.budget, request.learner)
    return Prediction(
        hours=total_s * busy / 3600,
        memory_mb=memory_mb,
        gpu_memory_mb=gpu_memory_mb,
        basis=f"measured: {record.result.steps} steps, {record.result.updates} updates on {request.task}",
    )
