"""Jobs whose child is a stand-in."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leaderboard.factory import make_record

from fetchbench.execution import Job, Outcome, Progress, execute, prepare
from fetchbench.records.schema import Record
from fetchbench.records.store import record_text

COMMAND = (sys.executable, "-S", "-E", str(Path(__file__).with_name("child.py")))


def make_jobs(runs: Path, *modes: str) -> list[Job]:
    """One job per mode, prepared; a child in mode ``done`` finds its record ready."""
    records = [make_record("nature", seed=seed) for seed in range(len(modes))]
    jobs = prepare(runs, [record.request for record in records])
    for job, record, mode in zip(jobs, records, modes, strict=True):
        set_mode(job, mode, record)
    return jobs


def set_mode(job: Job, mode: str, record: Record | None = None) -> None:
    (job.directory / "mode").write_text(mode)
    if record is not None:
        (job.directory / "finished.json").write_text(record_text(record))


def run(
    jobs: Sequence[Job], watch: Any = lambda runs: None, slots: int = 2, plugins: Sequence[Path] = (), **options: Any
) -> list[Outcome]:
    return execute(
        jobs, slots=slots, plugins=plugins, suite_sha256="f" * 64, watch=watch, command=COMMAND, poll_s=0.02, **options
    )


def starts(job: Job) -> int:
    """How often a child was started for a job."""
    return (job.directory / "metrics.jsonl").read_text().count('"start"')


class Watcher:
    """Keeps every progress, and calls ``then``, one at a poll, from when so many ``runs`` and all at work have said that they
    began."""

    def __init__(self, *then: Any, runs: int = 1) -> None:
        self.seen: list[list[Progress]] = []
        self._then = list(then)
        self._runs = runs
        self._most = 0

    def __call__(self, runs: Sequence[Progress]) -> None:
        self.seen.append(list(runs))
        at_work = [run for run in runs if run.state in ("running", "stopping")]
        self._most = max(self._most, len(at_work))
        if self._then and at_work and self._most >= self._runs and all(run.success is not None for run in at_work):
            self._then.pop(0)()

    def states(self, index: int) -> list[str]:
        """The states that one job went through."""
        states = [runs[index].state for runs in self.seen]
        return [state for n, state in enumerate(states) if n == 0 or state != states[n - 1]]
