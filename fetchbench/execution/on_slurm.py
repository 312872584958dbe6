"""Runs as jobs of SLURM, handed over by submitit (https://github.com/facebookincubator/submitit), one job each.

What a job does on its node is :mod:`fetchbench.execution.on_node`; :mod:`fetchbench.execution.slurm_queue` knows its state.
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from fetchbench.errors import FetchbenchError, one_line
from fetchbench.execution.jobs import Job
from fetchbench.execution.launching import Options, known_options, say_lost
from fetchbench.execution.on_node import attend, said_by
from fetchbench.execution.slurm_queue import Queue, slurm
from fetchbench.records.schema import Execution
from fetchbench.run.interrupts import INFRASTRUCTURE, INTERRUPTED

GRACE_S = 60.0
"""A job that is over may have left an exit code that a shared folder shows later."""

_OURS = (
    "additional_parameters array_parallelism cpus_per_gpu cpus_per_task gpus_per_task job_name map_count nodes ntasks_per_node "
    "num_gpus setup srun_args stderr_to_stdout teardown use_srun"
)
"""Parameters of submitit's that a run decides, or that are no text."""


class OnSlurm:
    """Hands runs to SLURM, all at once by default.

    Args:
        options: submitit's parameters of SLURM: ``partition``, ``account``, ``time``, ``mem``, ...

    Raises:
        FetchbenchError: An unknown option.
        ImportError: submitit is not installed.
    """

    def __init__(self, options: Options) -> None:
        import submitit

        self._executor: Any = submitit.SlurmExecutor
        known_options("slurm", options, sorted(self._executor._valid_parameters() - {*_OURS.split()}))
        self._options = {name: True if value == "true" else value for name, value in options.items()}
        self._queue = Queue()

    def __enter__(self) -> Self:
        self._queue.look()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def slots(self, execution: Execution, runs: int) -> int:
        return max(1, runs)

    def start(self, command: Sequence[str], job: Job, environment: Mapping[str, str], log: Path, slot: int) -> _Submitted:
        folder, log = (job.directory / "slurm").absolute(), log.absolute()
        # A command that was killed leaves its jobs in the queue: this one goes on with them.
        name = f"fetchbench-{hashlib.sha256(str(job.directory.absolute()).encode()).hexdigest()[:16]}"
        if number := self._queue.waiting(name):
            left = self._executor.job_class(folder, number)
            for what in ("pid", "code"):
                said_by(left, what).unlink(missing_ok=True)  # SLURM had begun it before
            return _Submitted(self._queue, left, log)
        executor = self._executor(folder, python=f"{shlex.quote(sys.executable)} -P")
        threads = job.request.execution.threads
        gpu = {"gpus_per_node": 1} if job.request.execution.device == "cuda" and "gres" not in self._options else {}
        own = {"job_name": name, "cpus_per_task": threads, "srun_args": [f"--cpus-per-task={threads}"]}
        try:
            # What is None is left to SLURM; submitit would say five minutes, and a key that not every site knows.
            executor.update_parameters(**{"time": None, "wckey": None} | gpu | self._options | own)
            submitted = executor.submit(attend, list(command), dict(environment), log, Path.cwd())
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            said = [line for line in str(error).splitlines() if "sbatch: error" in line] or [str(error)]
            raise FetchbenchError(f"SLURM did not take it: {one_line(' '.join(said))}") from error
        return _Submitted(self._queue, submitted, log)


class _Submitted:
    """One run, as a job of SLURM."""

    def __init__(self, queue: Queue, job: Any, log: Path) -> None:
        self._queue, self._job, self._log = queue, job, log
        self._since = time.monotonic()
        self._over_since: float | None = None
        self._code: int | None = None
        self.queued = f"queued as SLURM job {job.job_id}"

    @property
    def pid(self) -> int | None:
        return self._said("pid")

    def _said(self, what: str) -> int | None:
        """What :func:`attend` has written, once it has."""
        with contextlib.suppress(OSError, ValueError):
            return int(said_by(self._job, what).read_text())
        return None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._said("code")
        if self._code is None and self._queue.look() > self._since and (state := self._queue.over(self._job.job_id)):
            self._over_since = self._over_since or time.monotonic()
            if time.monotonic() - self._over_since >= GRACE_S:
                say_lost(self._log, f"SLURM job {self._job.job_id} ended without it: {state}; see {self._job.paths.stderr}")
                self._code = INFRASTRUCTURE
        return self._code

    def interrupt(self, level: int) -> None:
        if self.pid is None or level > 2:
            slurm("scancel", *(["--signal=KILL"] if level > 2 else []), self._job.job_id)
            self._code = INTERRUPTED
        else:
            slurm("scancel", "--signal=USR1", self._job.job_id)
