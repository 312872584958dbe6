"""What can go wrong, by who can mend it.

::

    FetchbenchError             a user's mistake or a machine's lack: one clear message, exit code 2
    ├── UnknownNameError        a suite, method, plugin, task, ... that does not exist
    ├── SuiteError              a suite file: every problem at once, each with its place
    ├── PluginError             a plugin that does not load, clashes, or breaks its contract
    │   └── WeightsError        pretrained weights that are not on this machine; what else a suite holds can still run
    ├── RenderingError          no usable OpenGL, or a frame that could not be drawn
    ├── WorkerError             an environment worker that died, hung or answered nonsense
    ├── BusyError               something that another process holds at this moment
    ├── StorageError            a file that could not be written or read (a full disk, say)
    ├── RecordError             a record that is damaged, edited by hand, or of another protocol
    └── RunFailedError          a run that ended by its own fault; recorded, never retried silently
        ├── DivergedError       a loss or a weight that is no longer finite
        └── RoutingError        a loss that reached an encoder it must not reach
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_MOST_LISTED = 100
"""Names in a message."""


def one_line(text: object) -> str:
    """Text without line breaks, nor any other character that a terminal obeys or nobody sees: messages are one line."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())


class FetchbenchError(Exception):
    """A problem that the message explains: what is wrong, where, and what to do."""


class UnknownNameError(FetchbenchError):
    """A name that nothing carries.

    Args:
        kind: What the name should have named, in the singular: ``"suite"``.
        name: What was asked for.
        known: Every name there is; the closest is suggested and all are listed, or the first of very many.
        hint: One more sentence on what to do.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(map(one_line, known))
        text = f"unknown {kind} {name!r}"
        if close := difflib.get_close_matches(name, known, n=1):
            text += f"; did you mean {close[0]!r}?"
        else:
            text += "."
        more = f" and {len(known) - _MOST_LISTED:,} more" if len(known) > _MOST_LISTED else ""
        text += f" Known: {', '.join(known[:_MOST_LISTED])}{more}." if known else f" No {kind} is known."
        super().__init__(text + (f" {hint}" if hint else ""))
        self.kind = kind
        self.name = name


class SuiteError(FetchbenchError):
    """A suite that cannot be run, with every problem found.

    Args:
        where: The suite's name or file.
        problems: One line per problem, each ``place: what is wrong``.
    """

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{where}: {count}\n" + "\n".join(f"  {problem}" for problem in problems))


class PluginError(FetchbenchError):
    """A plugin that does not load, clashes with another, or breaks its contract."""


class WeightsError(PluginError):
    """Pretrained weights that are not on this machine. The message says where to get them and where to put them.

    A file that is there but damaged, or not the one that it should be, is a plain :class:`PluginError`.
    """


class RenderingError(FetchbenchError):
    """No frame can be drawn on this machine, or this one could not."""


class WorkerError(FetchbenchError):
    """An environment worker died, hung or failed."""


class BusyError(FetchbenchError):
    """Something that another process holds at this moment."""


class StorageError(FetchbenchError):
    """A file could not be written or read."""


class RecordError(FetchbenchError):
    """A record that cannot be trusted: damaged, edited, or of another protocol."""


class RunFailedError(FetchbenchError):
    """A run that ended by its own fault. ``status`` is what the record says."""

    status = "failed"


class DivergedError(RunFailedError):
    """A loss, a feature or a weight is no longer finite. Scores 0."""

    status = "diverged"


class RoutingError(RunFailedError):
    """A loss reached an encoder that the declared gradient routing keeps it from."""
