"""What a SLURM job does on its node: it is the parent of a run, which dies with it, and passes signals on.

They go to this process alone: whom else of a job SLURM signals depends on how a site tracks processes, and a second SIGINT
means something else to a run than one.
"""

from __future__ import annotations

import platform
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fetchbench.execution.launching import UNHEARD, Process, say_lost
from fetchbench.run.interrupts import INFRASTRUCTURE, INTERRUPTED


def said_by(job: Any, what: str) -> Path:
    """The file in which a job of submitit's says a number of its run: its process, ``pid``, or its exit code, ``code``."""
    return Path(job.paths.folder) / f"{job.job_id}.{what}"


def attend(command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path) -> None:
    """Start a run and stay until it is over.

    SIGUSR1 is the user's: SIGINT for the run. SIGTERM and SIGUSR2 are SLURM's, which takes the node back: the run is to stop at
    its next episode end, and that it did was not its own doing.

    Args:
        command: The run.
        environment: Variables besides the job's.
        log: What its output is appended to.
        folder: Where it runs.
    """
    import submitit

    job = submitit.JobEnvironment()
    said_by(job, "code").unlink(missing_ok=True)
    try:
        code = _attended(job, command, environment, log, folder)
    except OSError as error:
        say_lost(log, f"{platform.node()} could not start it: {error}")
        code = INFRASTRUCTURE
    said_by(job, "code").write_text(str(code))


def _attended(job: Any, command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path) -> int:
    """Its exit code."""
    heard: list[int] = []
    for number in (*UNHEARD, signal.SIGTERM):
        signal.signal(number, lambda number, _: heard.append(number))
    process = Process(command, environment, log, folder, blocked=UNHEARD)
    said_by(job, "pid").write_text(str(process.pid))
    asked = False
    while (code := process.poll()) is None or heard:
        while heard:
            if heard.pop(0) == signal.SIGUSR1:
                asked = True
                process.interrupt(1)
            else:
                process.terminate()
        time.sleep(0.1)
    if code == INTERRUPTED and not asked:
        say_lost(log, "SLURM took the node back: the time was up, or another job came first, or somebody cancelled it")
        return INFRASTRUCTURE
    return code
