"""``python tests/run/faulty.py FAULT FOLDER``: a run to which something happens.

``full:PATTERN:N``: the disk is full from the Nth write on to a file whose path matches; half of that write still fits.
``clock:S``: after its first second by the clock, the clock is set back by S seconds.
``memory:N``: behind its Nth update the trainer asks for memory that is not there.
``hung:S``: an environment worker hangs for good; it is waited for S seconds.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from typing import Any


def full_disk(pattern: str, nth: int, folder: str) -> Callable[..., Any]:
    """An ``open``: from the Nth matching write on, whatever is written in the folder fails."""
    real, seen, full = io.open, 0, False

    def open_(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        nonlocal seen, full
        opened = real(file, mode, *arguments, **options)
        path = os.fspath(file) if isinstance(file, str | os.PathLike) else ""
        if not str(path).startswith(folder) or not set(mode) & set("wax+"):
            return opened
        if not full and re.search(pattern, str(path)):
            seen += 1
            full = seen >= nth
        if full:
            refuse(opened, opened.write)
        return opened

    return open_


def refuse(file: Any, write: Callable[[Any], int]) -> None:
    """Let half of what is written fit."""

    def half(data: Any) -> int:
        write(data[: len(data) // 2])
        file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file.write = half


def set_the_clock_back(by_s: float) -> None:
    real, began = time.time, time.time()
    time.time = lambda: real() - by_s if real() > began + 1 else real()


def take_memory(update: int) -> None:
    """What is asked for is more than any machine has; a limit on the process would strike libraries that just exit, too."""
    import torch

    from fetchbench.learner.sac import Learner

    real = Learner.update

    def starve(self: Any, *arguments: Any, **options: Any) -> Any:
        if self.updates == update:
            torch.empty(1 << 50)
        return real(self, *arguments, **options)

    Learner.update = starve  # type: ignore[method-assign]


def hang_a_worker(patience_s: float) -> None:
    from fetchbench.environment import vector

    real = vector.VectorEnvironment.__init__

    def start(self: Any, *arguments: Any, **options: Any) -> None:
        real(self, *arguments, **options)
        self._timeout_s = patience_s
        os.kill(self.processes[0], signal.SIGSTOP)

    vector.VectorEnvironment.__init__ = start  # type: ignore[method-assign]


def main(fault: str, folder: str) -> None:
    kind, _, rest = fault.partition(":")
    if kind == "full":
        pattern, _, nth = rest.rpartition(":")
        builtins.open = io.open = full_disk(pattern, int(nth), folder)
    elif kind == "clock":
        set_the_clock_back(float(rest))
    elif kind == "memory":
        take_memory(int(rest))
    elif kind == "hung":
        hang_a_worker(float(rest))
    from fetchbench.run.__main__ import main as run

    run([folder])


if __name__ == "__main__":
    main(*sys.argv[1:])
