"""Slots: a few runs at a time are handed to a launcher, watched, interrupted, tried again and reported.

Ctrl-C reaches this process alone, which passes it on: once asks the runs to stop at their next episode end, twice to leave at
once (the checkpoint before stays), a third time kills them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from fetchbench.errors import FetchbenchError, StorageError
from fetchbench.execution.jobs import Job, Outcome, State, read_outcome
from fetchbench.execution.launching import Handle, Launcher
from fetchbench.execution.local import LocalProcesses
from fetchbench.execution.progress import MetricsFollower, Progress
from fetchbench.execution.status import held, inspect
from fetchbench.records.store import storage_errors
from fetchbench.run.interrupts import BUSY, INFRASTRUCTURE, INTERRUPTED

COMMAND = (sys.executable, "-P", "-m", "fetchbench.run")
"""What a child is. ``-P``: a file of the current folder, a plugin named after the package it wraps say, stands in for none."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries read that would else start a thread per core in every process: seven runs beside each other on sixteen cores
had not come through their first probe after three minutes. The request says how many there are, and with them the last bits."""

POLL_S = 0.2
RETRIES = 2
"""Further tries of a run that the machine failed: it was killed, a worker died or hung, memory ran out."""

_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGBUS)
"""Signals that the machine sends. Others are a plugin's own, native code that crashes, say, and would come again."""

_ELSEWHERE_S = 5.0
"""A run that another command is at is looked at so often."""
_LOG_BYTES = 65536


def execute(
    jobs: Sequence[Job],
    *,
    slots: int,
    plugins: Sequence[Path],
    suite_sha256: str,
    watch: Callable[[Sequence[Progress]], None],
    launcher: Launcher | None = None,
    command: Sequence[str] = COMMAND,
    poll_s: float = POLL_S,
    retries: int = RETRIES,
) -> list[Outcome]:
    """Run jobs to the end, or to an interrupt; those with a record are not started.

    A child that errors or crashes does not stop the others. One that the machine failed is tried again, behind those that
    wait. A job that another command is at, on this machine or over a shared folder, is left to it, and taken over where that
    command dies.

    Args:
        jobs: In the order in which they are started.
        slots: Children at a time, those that a scheduler has in its queue among them.
        plugins: Plugin files that the children load too.
        suite_sha256: Digest of the suite, for the records.
        watch: Called at every poll with the progress of all jobs, in their order.
        launcher: Who starts children, entered; processes of this machine by default.
        command: What a child is; a folder and options are added.
        poll_s: Seconds between polls.
        retries: Further tries of a run that the machine failed; counted anew once it has come to another checkpoint.

    Returns:
        One outcome per job, in the same order.
    """
    arguments = ["--suite-sha256", suite_sha256]
    for file in plugins:
        arguments += ["--plugin", str(file.absolute())]
    launcher = launcher or LocalProcesses()
    children = [_Child(job, retries) for job in jobs]
    with _interrupts() as asked:
        try:
            while True:
                for child in children:
                    child.poll(len(asked))
                running = [child for child in children if child.running]
                if not asked:
                    free = sorted(set(range(slots)) - {child.slot for child in running})
                    # A run that failed goes behind the others: what it lacked may be there by then.
                    ready = (child for child in sorted(children, key=lambda child: child.tries) if child.ready())
                    for child, slot in zip(itertools.islice(ready, len(free)), free, strict=False):
                        child.start([*command, str(child.job.directory), *arguments], slot, launcher)
                watch([child.progress() for child in children])
                if not any(child.running or (child.state in ("waiting", "elsewhere") and not asked) for child in children):
                    return [child.outcome for child in children]
                time.sleep(poll_s)
        except BaseException:
            # What is shown may fail (a closed terminal); the runs are still asked to keep what they have.
            for child in children:
                child.interrupt(1)
            for child in children:
                child.wait(asked)
            raise


def _drop_replay(directory: Path) -> None:
    """Remove the episodes that only resuming needs, where a run was killed between its record and doing so itself."""
    episodes = list((directory / "checkpoint").glob("replay-*.pt"))
    if episodes and not held(directory):
        for path in episodes:
            with contextlib.suppress(OSError):  # what cannot be removed takes space, and stops nobody
                path.unlink(missing_ok=True)


class _Child:
    """One job and, while it runs, its process."""

    def __init__(self, job: Job, retries: int) -> None:
        self.job = job
        self.slot = 0
        self.tries = 0
        self._retries = retries
        self._reached = b""
        self._failed = False
        self._looked = -math.inf
        self.outcome = read_outcome(job) or Outcome(job, "waiting")
        if self.outcome.recorded:
            _drop_replay(job.directory)
        self._follower = MetricsFollower(job)
        self._handle: Handle | None = None
        self._pid: int | None = None
        self._log_start = 0
        self._signalled = 0
        self._last = dataclasses.replace(inspect(job), state=self.outcome.state)

    @property
    def state(self) -> State:
        return self.outcome.state

    @property
    def running(self) -> bool:
        """Whether it is handed over and not over, be it that it waits in a scheduler's queue."""
        return self._handle is not None

    @property
    def _log(self) -> Path:
        return self.job.directory / "stderr.log"

    def ready(self) -> bool:
        """Whether it can be started. What another process holds can not, until that has ended without a record."""
        if self.running or self.state not in ("waiting", "elsewhere"):
            return False
        if self._failed:
            # Only behind the next look at all runs, so that whoever watches is told.
            self._failed = False
            return False
        if self.state == "elsewhere":
            if time.monotonic() < self._looked + _ELSEWHERE_S:
                return False
            if recorded := read_outcome(self.job):
                self._end(recorded)
                return False
        self._looked = time.monotonic()
        taken = held(self.job.directory)
        self.outcome = Outcome(self.job, "elsewhere" if taken else "waiting", self.outcome.message)
        return not taken

    def start(self, command: Sequence[str], slot: int, launcher: Launcher) -> None:
        """Hand it over."""
        self.slot = slot
        threads = dict.fromkeys(THREADS, str(self.job.request.execution.threads))
        try:
            with storage_errors("write", self._log), self._log.open("ab") as log:
                self._log_start = log.tell()
            self._handle = launcher.start(command, self.job, threads, self._log, slot)
        except FetchbenchError as error:
            self._end(Outcome(self.job, "error", str(error)))
        except OSError as error:
            self._end(Outcome(self.job, "error", f"could not be started: {error.strerror or error}"))
        else:
            self._pid = None
            self._begun(self._handle)

    def poll(self, asked: int) -> None:
        """Pass interrupts on, take in what is new, and notice the end."""
        if self._handle is None:
            return
        self.interrupt(asked)
        code = self._handle.poll()
        self._begun(self._handle)
        with contextlib.suppress(StorageError):
            self._follower.read()
        if code is not None:
            self._handle = None
            self._end(self._ended(code))

    def _begun(self, handle: Handle) -> None:
        """Tell what has a process from what waits for its turn."""
        self._pid = handle.pid
        if not self._signalled:
            waiting = Outcome(self.job, "waiting", handle.queued)
            self.outcome = waiting if self._pid is None else Outcome(self.job, "running")

    def interrupt(self, asked: int) -> None:
        """Signal it once for each time that the user asked."""
        if self._handle is None or self._handle.poll() is not None:
            return
        while self._signalled < asked:
            self._signalled += 1
            self.outcome = Outcome(self.job, "stopping")
            self._handle.interrupt(self._signalled)

    def wait(self, asked: Sequence[int]) -> None:
        """Wait for the end, passing further interrupts on."""
        while self._handle is not None and self._handle.poll() is None:
            self.interrupt(max(1, len(asked)))
            time.sleep(0.1)

    def progress(self) -> Progress:
        """What is known now."""
        if self._handle is not None:
            self._last = self._follower.progress(self.outcome.state, self._pid, self.outcome.message)
        elif self.state == "elsewhere":
            with contextlib.suppress(StorageError):
                self._follower.read()
            self._last = self._follower.progress("elsewhere", message=self.outcome.message)
        return self._last

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._last = self._follower.progress(outcome.state, self._pid, outcome.message, outcome.score)

    def _ended(self, code: int) -> Outcome:
        """What an exit code means: see :mod:`fetchbench.run`."""
        if recorded := read_outcome(self.job):
            # It is written last: whatever happened to the process then took nothing away.
            return recorded
        if self._signalled and self._pid is None:
            return Outcome(self.job, "waiting")
        if code in (INTERRUPTED, -signal.SIGINT) or (self._signalled and code != 2):
            return Outcome(self.job, "stopped", "" if self._signalled else "it was told to stop from outside")
        if code == BUSY:
            self._looked = time.monotonic()
            return Outcome(self.job, "elsewhere", "another command was faster")
        text = self._last_words()
        if code == 0:
            text = f"ended without a record; see {self._log}"
        elif code < 0:
            text = f"killed by {_signal_name(-code)}; {_ADVICE.get(-code, f'see {self._log}')}"
        elif code not in (2, INFRASTRUCTURE):
            text = f"crashed with exit code {code}: {text or 'no message'}; see {self._log}"
        found = Outcome(self.job, "error", text or self._speechless(code))
        return self._again(found) if code == INFRASTRUCTURE or -code in _FROM_OUTSIDE else found

    def _again(self, found: Outcome) -> Outcome:
        """What to make of a run that the machine failed: wait for another try, while there is one left."""
        with contextlib.suppress(OSError):
            reached = (self.job.directory / "checkpoint" / "manifest.json").read_bytes()
            if reached != self._reached:
                self._reached, self.tries = reached, 0
        self.tries += 1
        if self.tries > self._retries:
            tried = f"; tried {self.tries} times" if self.tries > 1 else ""
            return dataclasses.replace(found, message=found.message + tried)
        self._failed = True
        return Outcome(self.job, "waiting", f"to be tried again ({self.tries} of {self._retries}): {found.message}")

    def _speechless(self, code: int) -> str:
        """For a process that could not even say what was wrong."""
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self.job.directory).free < _LOG_BYTES:
                return f"no space left on the disk of {self.job.directory}; free some, {_GO_ON} (nothing finished is lost)"
        return f"ended with exit code {code}; see {self._log}"

    def _last_words(self) -> str:
        """The last line of this attempt's log that begins with ``error:``, else the last line."""
        try:
            with self._log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, size - _LOG_BYTES))
                lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
        except OSError:
            return ""
        errors = [line for line in lines if line.startswith("error:")]
        last = (errors or [line for line in lines if line] or [""])[-1]
        return "".join(c if c.isprintable() else " " for c in last.removeprefix("error:")).strip()


_GO_ON = "run the same command to go on"
_ADVICE: Mapping[int, str] = {
    signal.SIGKILL: f"the system does that when memory runs out (try fewer --jobs); {_GO_ON}",
    signal.SIGTERM: _GO_ON,
}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """SIGINT and SIGTERM are collected, in the list that this yields, while the block runs.

    A SIGINT that is ignored (the shell does so for background commands) stays ignored.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
