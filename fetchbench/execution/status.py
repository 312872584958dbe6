"""The state of a suite's runs as their folders show it, without starting or importing anything of them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fetchbench.errors import RecordError, StorageError, one_line
from fetchbench.execution.jobs import Job, State, own_record, read_request
from fetchbench.execution.progress import Progress, read_progress
from fetchbench.records.schema import Record, RunRequest
from fetchbench.records.store import read_lines
from fetchbench.suite import IndexedRun, Suite, SuiteIndex, still_asked_for

SILENT_S = 900.0
"""A run that has written nothing for so long may hang. Episodes, evaluations and probes take minutes at most."""


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
        attempts: Processes that began it.
        owner: ``process 4711 on host``: who is at it, where somebody is.
        alive: When it last wrote something, seconds since the epoch; ``None`` where it never did.
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
    attempts: int = 0
    owner: str = ""
    alive: float | None = None

    def next(self, now: float | None = None) -> str:
        """What happens to it next, or has to.

        Args:
            now: Seconds since the epoch; the clock's by default.
        """
        if self.state == "running":
            silent = 0.0 if self.alive is None else (time.time() if now is None else now) - self.alive
            return f"silent for {silent / 60:.0f} min: if it hangs, stop it; `run` goes on" if silent > SILENT_S else "goes on"
        if self.state in ("diverged", "failed"):
            return "none: recorded, and not tried again"
        if self.state == "stopped":
            return "`run` goes on from its checkpoint"
        if self.state == "waiting":
            return "`run` starts it again" if self.attempts else "`run` starts it"
        return "its folder has to be deleted" if self.state == "error" else "none"


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
    if held(job.directory):
        return read_progress(job, "running")
    # Without a checkpoint a run starts again, whatever it had done.
    begun = (job.directory / "checkpoint" / "manifest.json").exists()
    return read_progress(job, "stopped") if begun else Progress(job, "waiting")


def statuses(runs: Path, suite: Suite, index: SuiteIndex | None) -> list[RunStatus]:
    """Every run of a suite: by seed, method and task, then those that only the index names.

    Those are of methods of plugin files, or were begun when the suite still asked for them.

    Args:
        runs: The runs folder.
        suite: No plugin needs to be loaded for it.
        index: Of the suite; ``None`` where it was never run.
    """
    listed = {(run.seed, run.method, run.task): run for run in (index.runs if index else [])}
    wanted = [(seed, method.name, task) for seed, method, task in suite.cells()]
    asked_for = set(wanted)
    found = []
    asked: dict[str, Any] = {}
    indexed = index is not None and index.suite_sha256 == suite.sha256
    declared = {method.name for method in suite.methods}
    for seed, method, task in dict.fromkeys([*wanted, *listed]):
        run = listed.get((seed, method, task))
        waiting = RunStatus(method, task, seed, "waiting")
        one = waiting if run is None else _status(runs, suite, run, asked, indexed=indexed)
        if (seed, method, task) in asked_for or method not in declared or one.state != "waiting":
            found.append(one)
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


def _status(runs: Path, suite: Suite, run: IndexedRun, asked: dict[str, Any], *, indexed: bool) -> RunStatus:
    """One run; ``asked`` holds what the suite asks of all of them, once the first has been looked at."""
    directory = runs / run.directory
    request = read_request(directory)
    named = (run.method, run.task, run.seed)
    if request is None or request.key != run.key:
        return RunStatus(*named, "waiting", directory)
    if not still_asked_for(request, suite, asked, indexed=indexed):
        return RunStatus(*named, "waiting", directory, message="the suite has changed since it was run")
    return run_status(request, directory)


def run_status(request: RunRequest, directory: Path) -> RunStatus:
    """The run of a request, as its folder shows it."""
    found = inspect(Job(request, directory))
    return RunStatus(
        request.method.name,
        request.task,
        request.seed,
        found.state,
        directory,
        found.steps,
        found.success,
        found.score,
        found.message,
        attempts=_attempts(directory),
        owner=_owner(directory) if found.state == "running" else "",
        alive=_alive(directory),
    )


def _attempts(directory: Path) -> int:
    with contextlib.suppress(StorageError):
        return len(read_lines(directory / "attempts.jsonl"))
    return 0


def _alive(directory: Path) -> float | None:
    """When the run last wrote a line, or was begun."""
    times = []
    for name in ("metrics.jsonl", "attempts.jsonl", "lock"):
        with contextlib.suppress(OSError):
            times.append((directory / name).stat().st_mtime)
    return max(times, default=None)


def _owner(directory: Path) -> str:
    """Who says that it holds the lock."""
    try:
        said = json.loads((directory / "lock").read_bytes())
        return f"process {int(said['pid'])} on {one_line(said['host'])}"
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "a process that has not said which"


def held(directory: Path) -> bool:
    """Whether some process holds the run's lock."""
    try:
        with (directory / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
