"""Being told to stop. Imports nothing that takes time, so that it listens from the first moment."""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130
BUSY = 75
"""Exit code of a run that another process is at."""
INFRASTRUCTURE = 71
"""Exit code where the machine failed the run: nothing is recorded, and trying again may well do."""
PARENT = "FETCHBENCH_PARENT"
"""Environment variable by which a parent gives its process id to the run that it starts."""

_PR_SET_PDEATHSIG = 1


class Interrupts:
    """Turns SIGINT and SIGTERM into a request to stop at the next episode end.

    A second SIGINT leaves at once: the checkpoint before stays. A run that a command started is killed when the command is:
    an episode can take minutes, and the lock would keep the same command from going on.
    """

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)
        if parent := os.environ.get(PARENT):
            import ctypes  # the command line imports this module for its exit code

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            # It may have died before the kernel was asked.
            if os.getppid() != int(parent):
                sys.exit(INTERRUPTED)

    def __call__(self) -> bool:
        return self._asked

    def _ask(self, number: int, frame: object) -> None:
        if self._asked and number == signal.SIGINT:
            os._exit(INTERRUPTED)
        self._asked = True
