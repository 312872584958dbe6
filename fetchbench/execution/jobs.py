"""A job is one run and its folder; preparing it writes what ``python -m fetchbench.run`` reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import ValidationError

from fetchbench.errors import RecordError
from fetchbench.records.schema import Record, RunRequest
from fetchbench.records.store import read_record, storage_errors, write_atomically
from fetchbench.suite import run_directory

State: TypeAlias = Literal[
    "waiting", "elsewhere", "running", "stopping", "done", "diverged", "failed", "censored", "stopped", "error"
]
"""``waiting``: not started, or to be tried again. ``elsewhere``: another command is at it. ``running``: a process is at work;
``stopping``: it was asked to stop at its next episode end.
``done``, ``diverged``, ``failed``, ``censored``: recorded with this status. ``stopped``: begun, not recorded, can go on.
``error``: its process ended with a message, or crashed."""

RECORDED: tuple[State, ...] = ("done", "diverged", "failed", "censored")
"""The states of runs that have a record."""


@dataclass(frozen=True)
class Job:
    """One run to be executed.

    Attributes:
        request: What to run, as ``request.json`` says it.
        directory: The run's folder, prepared.
    """

    request: RunRequest
    directory: Path

    @property
    def label(self) -> str:
        """``nature FetchReach-v4 seed 0``."""
        return f"{self.request.method.name} {self.request.task} seed {self.request.seed}"


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        job: The job.
        state: ``waiting`` if an interrupt kept it from being started, ``elsewhere`` if another command was at it then.
        message: Why it is not ``done``, in one line; empty otherwise.
        score: Of its record; ``None`` where there is none.
    """

    job: Job
    state: State
    message: str = ""
    score: float | None = None

    @property
    def recorded(self) -> bool:
        """Whether there is a record, whatever status it holds."""
        return self.state in RECORDED


def prepare(runs: Path, requests: Sequence[RunRequest]) -> list[Job]:
    """Make the run folders.

    A ``request.json`` with the same key is kept: it fixes device, threads and precision. A missing one is written, and so is a
    damaged one in a folder without a record.

    Args:
        runs: The runs folder.
        requests: With their keys.

    Returns:
        One job per request, in the same order, each with the request that its folder now holds.

    Raises:
        StorageError: A folder or file cannot be written.
    """
    jobs = []
    for request in requests:
        directory = runs / run_directory(request)
        kept = read_request(directory)
        if kept is None or kept.key != request.key:
            kept = request
            if not (directory / "record.json").exists():
                write_atomically(directory / "request.json", request.model_dump_json(indent=1) + "\n")
        jobs.append(Job(kept, directory))
    return jobs


def read_request(directory: Path) -> RunRequest | None:
    """The request of a run folder; ``None`` where it is missing or damaged."""
    path = directory / "request.json"
    with storage_errors("read", path):
        try:
            return RunRequest.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None


def read_outcome(job: Job) -> Outcome | None:
    """What the record of a job says; ``None`` without one. A damaged one, or another run's, is an ``error``."""
    path = job.directory / "record.json"
    if not path.exists():
        return None
    try:
        record = own_record(path, job.request.key)
    except RecordError as error:
        return Outcome(job, "error", str(error))
    return Outcome(job, record.result.status, record.result.reason, record.result.score)


def own_record(path: Path, key: str) -> Record:
    """Read the record of the run with this key.

    Raises:
        RecordError: It is damaged, or the record of another run.
    """
    record = read_record(path)
    if record.request.key != key:
        raise RecordError(
            f"{path}: the record of another run (key {record.request.key[:12]}, not {key[:12]}); "
            "delete its folder and run the suite again"
        )
    return record
