"""How far a run is, read from the lines that it appends to ``metrics.jsonl``."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fetchbench.errors import StorageError, one_line
from fetchbench.execution.jobs import Job, State
from fetchbench.protocol import LARGEST_NUMBER
from fetchbench.records.store import storage_errors

RECENT_S = 120.0
"""The recent speed is taken over this many seconds."""

_TAIL_BYTES = 256
_LAST_BYTES = 8_192


@dataclass(frozen=True)
class Progress:
    """One job at one moment.

    Attributes:
        job: The job.
        state: What it is doing.
        steps: Environment steps so far.
        steps_per_s: Recent speed, environment steps per second; ``None`` before there is one.
        evaluations: ``(steps, success)`` of every evaluation since its process began, in order.
        success: Of the last evaluation, of earlier attempts too.
        score: Of its record.
        seconds_left: Until the budget is spent at the recent speed; ``None`` before the speed of learning is known.
        resumed_at: The step at which its process began, 0 for a fresh run; ``None`` until it has said so.
        message: Its last notice, or why it ended as it did.
    """

    job: Job
    state: State
    steps: int = 0
    steps_per_s: float | None = None
    evaluations: tuple[tuple[int, float], ...] = ()
    success: float | None = None
    score: float | None = None
    seconds_left: float | None = None
    resumed_at: int | None = None
    message: str = ""

    @property
    def budget(self) -> int:
        """Environment steps in all."""
        return self.job.request.budget.steps


class MetricsFollower:
    """Follows the ``metrics.jsonl`` of one job: each :meth:`read` costs what was written since the last.

    A resuming run cuts the file back to its checkpoint before it goes on; then everything is read again.

    Args:
        job: The job.
        clock: Seconds from any origin; for the recent speed.
    """

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        self.job = job
        self._path = job.directory / "metrics.jsonl"
        self._clock = clock
        self._forget()

    def _forget(self) -> None:
        self._offset = 0
        self._tail = b""
        self.pid: int | None = None
        self.resumed_at: int | None = None
        self.steps = 0
        self.evaluations: tuple[tuple[int, float], ...] = ()
        self.success: float | None = None
        self.notice = ""
        self._next_notice = ""
        self._reported: float | None = None
        self._seen: deque[tuple[float, int]] = deque()

    def read(self) -> None:
        """Take in the lines that are new; torn and foreign ones are passed over.

        Raises:
            StorageError: The file is there and cannot be read.
        """
        before = self.steps
        for line in self._new_lines():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):  # torn, or nested beyond what anybody writes
                continue
            if isinstance(value, dict):
                self._take(value)
        # Warm-up says nothing about how long learning takes.
        if self.steps != before and self.steps >= self.job.request.learner.warmup_steps:
            self._seen.append((self._clock(), self.steps))
            while len(self._seen) > 2 and self._seen[-1][0] - self._seen[1][0] >= RECENT_S:
                self._seen.popleft()

    def skip_to_the_end(self) -> None:
        """Leave out all but the last lines, where there are many: enough for where the run is now.

        Raises:
            StorageError: The file is there and cannot be read.
        """
        with storage_errors("read", self._path), contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            if length > _LAST_BYTES:
                file.seek(length - _LAST_BYTES)
                self._tail = file.readline()[-_TAIL_BYTES:]
                self._offset = file.tell()

    def _new_lines(self) -> list[bytes]:
        """The whole lines behind the offset; a last one without its line break waits for the next call."""
        with storage_errors("read", self._path):
            try:
                file = self._path.open("rb")
            except FileNotFoundError:
                self._forget()
                return []
            with file:
                file.seek(self._offset - len(self._tail))
                data = file.read()
                if not data.startswith(self._tail):
                    self._forget()
                    file.seek(0)
                    data = file.read()
        new = data[len(self._tail) :]
        end = new.rfind(b"\n") + 1
        self._offset += end
        self._tail = (self._tail + new[:end])[-_TAIL_BYTES:]
        return new[:end].splitlines()

    def _take(self, line: dict[str, Any]) -> None:
        kind, steps = line.get("kind"), _number(line.get("steps"))
        if kind == "start":
            pid = _number(line.get("pid"))
            self.pid = None if pid is None else int(pid)
            self.resumed_at = self.steps = int(_number(line.get("resumed_at")) or 0)
            self.evaluations = ()
            # What resuming had to say stands before the line that says it began.
            self.notice, self._next_notice = self._next_notice, ""
            self._reported = None
            self._seen.clear()
        elif kind == "progress" and steps is not None:
            self.steps = int(steps)
            self._reported = _number(line.get("steps_per_s"))
        elif kind == "evaluation" and steps is not None:
            self.success = _number(line.get("success"))
            if self.success is not None:
                self.evaluations += ((int(steps), self.success),)
        elif kind == "notice":
            self.notice = self._next_notice = one_line(line.get("text", ""))

    @property
    def steps_per_s(self) -> float | None:
        """Recent speed; before two observations of learning, the speed that the run reports, warm-up included."""
        return self._recent() or self._reported

    @property
    def seconds_left(self) -> float | None:
        """Until the budget is spent at the recent speed."""
        speed = self._recent()
        return None if speed is None else max(0, self.job.request.budget.steps - self.steps) / speed

    def _recent(self) -> float | None:
        if len(self._seen) < 2:
            return None
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began) if last > first and ended > began else None

    def progress(self, state: State, pid: int | None = None, message: str = "", score: float | None = None) -> Progress:
        """What was read, as of a job in this state.

        Args:
            state: What the job is doing.
            pid: Its process; what an earlier one wrote is history and has no speed.
            message: Instead of the last notice.
            score: Of its record.
        """
        mine = pid is not None and pid == self.pid
        return Progress(
            job=self.job,
            state=state,
            steps=self.steps,
            steps_per_s=self.steps_per_s if mine else None,
            evaluations=self.evaluations if mine else (),
            success=self.success,
            score=score,
            seconds_left=self.seconds_left if mine else None,
            resumed_at=self.resumed_at if mine else None,
            message=message or (self.notice if mine else ""),
        )


def read_progress(job: Job, state: State) -> Progress:
    """What the metrics of a job say now; nothing where they cannot be read."""
    follower = MetricsFollower(job)
    try:
        follower.skip_to_the_end()
        follower.read()
    except StorageError as error:
        return follower.progress(state, message=str(error))
    return follower.progress(state)


def _number(value: object) -> float | None:
    """What can be counted with; JSON has numbers that no float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        return None
    return float(value)
