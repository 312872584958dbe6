"""A measuring process, started by :class:`fetchbench.bench.process.Side`."""

from __future__ import annotations

import signal
import socket
import sys

from fetchbench.bench.process import serve


def main() -> None:
    """``python -m fetchbench.bench SOCKET``: an inherited file descriptor."""
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        sys.exit("This is a measuring process; `fetchbench bench` starts it.")
    # An interrupt is for the process that directs, which then hangs up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
