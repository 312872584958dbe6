"""What starts the processes of runs, on this machine or through a cluster's scheduler, and what is known of one meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from fetchbench.errors import FetchbenchError, UnknownNameError, one_line
from fetchbench.execution.jobs import Job
from fetchbench.records.schema import Execution
from fetchbench.run.interrupts import PARENT

Options: TypeAlias = Mapping[str, str]
"""Of a scheduler, by name."""

UNHEARD = frozenset({signal.SIGUSR1, signal.SIGUSR2})
"""Signals that a scheduler sends to whoever started a run, some of them to all that he started; the run knows none of them."""

_LONGEST = 400
"""Characters of an error: Ray tells stories."""


class Handle(Protocol):
    """One run that was handed over."""

    @property
    def pid(self) -> int | None:
        """Of its process, on its own machine; ``None`` before there is one."""

    @property
    def queued(self) -> str:
        """Where it waits for its turn, in words, while it has no process."""

    def poll(self) -> int | None:
        """Its exit code as :mod:`fetchbench.run` means it, negative for a signal; ``None`` while it is not over.

        Where the scheduler lost it, that is :data:`~fetchbench.run.interrupts.INFRASTRUCTURE`, and the run's log says why.
        """

    def interrupt(self, level: int) -> None:
        """Pass on that the user asked it to stop.

        Args:
            level: 1: at its next episode end. 2: at once, the checkpoint before stays. 3: it is killed.
        """


class Launcher(Protocol):
    """Starts runs. It is entered before the first and left after the last."""

    def __enter__(self) -> Self:
        """Reach the scheduler.

        Raises:
            FetchbenchError: There is none.
        """

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def slots(self, execution: Execution, runs: int) -> int:
        """How many runs at a time where the user does not say; at least 1.

        Args:
            execution: Device and threads of each.
            runs: How many there are.

        Raises:
            FetchbenchError: Not even one.
        """

    def start(self, command: Sequence[str], job: Job, environment: Mapping[str, str], log: Path, slot: int) -> Handle:
        """Hand one run over.

        Args:
            command: The same wherever it runs, to be started in the current folder.
            job: Whose device and threads are those it needs.
            environment: Variables that it gets besides those of the machine where it runs.
            log: What its output is appended to.
            slot: A number that no other run has meanwhile.

        Raises:
            FetchbenchError: It could not be handed over.
            OSError: It could not be started.
        """


def launcher(executor: str, options: Options) -> Launcher:
    """The launcher of an executor; the scheduler's package is imported here, and nothing is started yet.

    Args:
        executor: ``local``, ``ray`` or ``slurm``.
        options: Of its scheduler.

    Raises:
        FetchbenchError: The package is not installed, or it knows no such option.
    """
    if executor == "local":
        from fetchbench.execution.local import LocalProcesses

        known_options(executor, options, ())
        return LocalProcesses()
    try:
        if executor == "ray":
            from fetchbench.execution.on_ray import OnRay

            return OnRay(options)
        from fetchbench.execution.on_slurm import OnSlurm

        return OnSlurm(options)
    except ImportError as error:
        raise FetchbenchError(f"--executor {executor} needs a package ({one_line(error)}): {INSTALL[executor]}") from error


INSTALL = {"ray": "pip install 'fetchbench[ray]'", "slurm": "pip install 'fetchbench[slurm]'"}


def known_options(executor: str, options: Options, known: Collection[str]) -> None:
    """Check the names of options.

    Raises:
        FetchbenchError: There is no option of one of these names.
    """
    for name in options:
        if not known:
            raise FetchbenchError(f"--executor-option {name}: --executor {executor} has no options")
        if name not in known:
            raise UnknownNameError(f"option of --executor {executor}", name, known)


class Process:
    """A run's process on this machine, in a session of its own: Ctrl-C in a terminal does not reach it.

    Whoever starts it is its parent, by :data:`~fetchbench.run.interrupts.PARENT`: it dies with him.

    Args:
        command: What to start.
        environment: Variables besides those of this process.
        log: What its output is appended to.
        folder: Where; the current folder by default.
        blocked: Signals that it will not hear.

    Raises:
        OSError: It could not be started.
    """

    queued = ""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        folder: Path | None = None,
        blocked: Collection[signal.Signals] | None = None,
    ) -> None:
        with log.open("ab") as out, _blocked(blocked):
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=os.environ | environment | {PARENT: str(os.getpid())},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def interrupt(self, level: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if level < 3:
                self._process.send_signal(signal.SIGINT)
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to stop at its next episode end; asking again changes nothing."""
        self._process.terminate()


@contextlib.contextmanager
def _blocked(signals: Collection[signal.Signals] | None) -> Iterator[None]:
    """Exactly these signals are blocked, for this thread and what it starts; ``None`` leaves them as they are."""
    if signals is None:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_SETMASK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def say_lost(log: Path, why: str) -> None:
    """Write into a run's log, as its own errors are, why it was lost; where that cannot be done it is left unsaid."""
    with contextlib.suppress(OSError), log.open("a") as file:
        file.write(f"error: {one_line(why)[:_LONGEST]}\n")
