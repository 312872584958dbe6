"""Being told to stop. Imports nothing that takes time, so that it listens from the first moment."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130


class Interrupts:
    """Turns SIGINT, SIGTERM and the death of the parent into a request to stop at the next episode end.

    A second SIGINT leaves at once: the checkpoint before stays.
    """

    def __init__(self) -> None:
        self._asked = False
        self._parent = os.getppid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        return self._asked or os.getppid() != self._parent

    def _ask(self, number: int, frame: object) -> None:
        if self._asked and number == signal.SIGINT:
            os._exit(INTERRUPTED)
        self._asked = True
