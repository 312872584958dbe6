"""The state of a suite's runs as their folders show it, without starting or importing anything of them."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fetchbench.errors import RecordError
from fetchbench.execution.jobs import Job, State, own_record, read_request
from fetchbench.execution.progress import Progress, read_progress
from fetchbench.protocol import LEARNER_VERSION, PROTOCOL_VERSION
from fetchbench.records.schema import Record, RunRequest
from fetchbench.suite import IndexedRun, Suite, SuiteIndex


@dataclass(frozen=True)
class RunStatus:
    """One run of a suite.

    Attributes:
        method: Its method's name.
        task: Its task.
        seed: Its seed.
        state: ``waiting`` is not started.
        directory: Its folder; ``None`` where the suite's index does not name one.
        steps: Environment steps so far.
        success: Of its last evaluation.
        score: Of its record.
        message: Why it is not ``done``.
    """

    method: str
    task: str
    seed: int
    state: State
    directory: Path | None = None
    steps: int = 0
    success: float | None = None
    score: float | None = None
    message: str = ""


def inspect(job: Job) -> Progress:
    """What a job's folder says: recorded, running in some process, stopped on the way, or not started."""
    path = job.directory / "record.json"
    if path.exists():
        try:
            result = own_record(path, job.request.key).result
        except RecordError as error:
            return Progress(job, "error", message=str(error))
        # A finished run's metrics may be long, and its record says it all.
        success = result.evaluations[-1].success if result.evaluations else None
        return Progress(job, result.status, result.steps, success=success, score=result.score, message=result.reason)
    if _locked(job.directory):
        return read_progress(job, "running")
    # Without a checkpoint a run starts again, whatever it had done.
    begun = (job.directory / "checkpoint" / "manifest.json").exists()
    return read_progress(job, "stopped") if begun else Progress(job, "waiting")


def statuses(runs: Path, suite: Suite, index: SuiteIndex | None) -> list[RunStatus]:
    """Every run of a suite: by seed, method and task, then those that only the index names (methods of plugin files).

    Args:
        runs: The runs folder.
        suite: No plugin needs to be loaded for it.
        index: Of the suite; ``None`` where it was never run.
    """
    listed = {(run.seed, run.method, run.task): run for run in (index.runs if index else [])}
    wanted = [(s, method.name, task) for s in suite.seeds for method in suite.methods for task in suite.tasks]
    found = []
    for seed, method, task in dict.fromkeys([*wanted, *listed]):
        run = listed.get((seed, method, task))
        found.append(RunStatus(method, task, seed, "waiting") if run is None else _status(runs, suite, run))
    return found


def finished_records(runs: Path, index: SuiteIndex) -> tuple[list[Record], list[str]]:
    """The records of a suite's finished runs, and one line for each that cannot be read."""
    records, problems = [], []
    for run in index.runs:
        path = runs / run.directory / "record.json"
        if not path.exists():
            continue
        try:
            records.append(own_record(path, run.key))
        except RecordError as error:
            problems.append(str(error))
    return records, problems


def _status(runs: Path, suite: Suite, run: IndexedRun) -> RunStatus:
    directory = runs / run.directory
    request = read_request(directory)
    named = (run.method, run.task, run.seed)
    if request is None or request.key != run.key:
        return RunStatus(*named, "waiting", directory)
    if not _still_asked_for(request, suite):
        return RunStatus(*named, "waiting", directory, message="the suite has changed since it was run")
    found = inspect(Job(request, directory))
    return RunStatus(*named, found.state, directory, found.steps, found.success, found.score, found.message)


def _still_asked_for(request: RunRequest, suite: Suite) -> bool:
    """Whether a suite still asks for this run, as far as one can tell without loading its plugins."""
    asked = {"scene": suite.scene, "pixel_track": suite.track, "learner": suite.learner, "budget": suite.budget}
    if request.protocol() != request.model_copy(update={**asked, "evaluation": suite.evaluation}).protocol():
        return False
    if (request.protocol_version, request.learner_version) != (PROTOCOL_VERSION, LEARNER_VERSION):
        return False
    methods = {method.name: method for method in suite.methods}
    method = methods.get(request.method.name)
    return method is None or _declared(method.model_dump(mode="json")) == _declared(request.method.model_dump(mode="json"))


def _declared(value: Any) -> Any:
    """A method as a suite declares it: without what resolving its components added."""
    if isinstance(value, dict):
        added = ("provider", "version", "source_sha256")
        return {key: _declared(inner) for key, inner in value.items() if key not in added}
    return value


def _locked(directory: Path) -> bool:
    """Whether some process holds the run's lock."""
    try:
        with (directory / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
