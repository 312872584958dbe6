"""An environment worker, started by :class:`fetchbench.environment.vector.VectorEnvironment`.

A command of its own, not a fork or a spawn of the caller: those bring the caller's modules along, torch among them, and
software OpenGL and Triton, each with an LLVM of its own, crash in one process.
"""

from __future__ import annotations

import signal
import socket
import sys

from fetchbench.environment.worker import serve


def main() -> None:
    """``python -m fetchbench.environment SOCKET MEMORY``: two inherited file descriptors."""
    if len(sys.argv) != 3 or not all(argument.isdigit() for argument in sys.argv[1:]):
        sys.exit("This is fetchbench's environment worker; `fetchbench run` starts it.")
    # An interrupt is for the trainer: it finishes the episode, and needs its workers for that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection, memory = (int(argument) for argument in sys.argv[1:])
    serve(socket.socket(fileno=connection), memory)


main()
