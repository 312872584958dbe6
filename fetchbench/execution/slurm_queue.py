"""SLURM's own commands, and what ``squeue`` says of this user's jobs: every cluster has it, and not every one accounting."""

from __future__ import annotations

import math
import os
import subprocess
import time

from fetchbench.errors import FetchbenchError

LOOK_S = 5.0
"""The queue is asked for so often at most, whatever the number of jobs."""

_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
_AT_WORK = ("RUNNING", "SUSPENDED", "STOPPED", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT")


def slurm(*command: str) -> str | None:
    """What one of SLURM's commands says; ``None`` where it fails, which it does while the controller is away.

    Raises:
        FetchbenchError: There is no such command.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except FileNotFoundError as error:
        raise FetchbenchError(f"--executor slurm: there is no {command[0]} here; run this where jobs are submitted") from error
    except subprocess.SubprocessError:
        return None


class Queue:
    """This user's jobs, those that ended in the last minutes too, as they were last seen."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[str, str]] = {}
        self._seen = self._tried = -math.inf

    def look(self) -> float:
        """Ask, unless that was done a moment ago.

        Returns:
            When the jobs were last seen, in seconds of the monotonic clock.

        Raises:
            FetchbenchError: There is no SLURM here.
        """
        now = time.monotonic()
        if now - self._tried >= LOOK_S:
            self._tried = now
            said = slurm("squeue", f"--user={os.getuid()}", "--noheader", "--states=all", "--format=%i %T %j")
            if said is not None:
                self._seen = now
                jobs = (line.split(" ", 2) for line in said.splitlines())
                self._jobs = {number: (state, name) for number, state, name in jobs}
        return self._seen

    def waiting(self, name: str) -> str | None:
        """The number of a job of this name that has not begun."""
        self.look()
        return next((job for job, (state, named) in self._jobs.items() if named == name and state in _WAITING), None)

    def over(self, number: str) -> str:
        """The state in which a job ended, in SLURM's word; empty where it has not."""
        state, _ = self._jobs.get(number, ("gone from the queue", ""))
        return "" if state in _WAITING + _AT_WORK else state
