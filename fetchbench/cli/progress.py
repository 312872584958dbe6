"""Live progress of a suite's runs on stderr: a table on a terminal, a few lines otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import click
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fetchbench.cli import text
from fetchbench.cli.console import console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fetchbench.execution import Progress

Watch: TypeAlias = "Callable[[Sequence[Progress]], None]"

AT_WORK = ("running", "stopping")
STOPPING = "Stopping each run at its next episode end; Ctrl-C again leaves at once, the checkpoints before stay."

_ORDER = {"stopping": 0, "running": 0, "error": 1, "elsewhere": 1, "waiting": 2}
_STYLES = {
    "running": "cyan",
    "elsewhere": "blue",
    "stopping": "yellow",
    "done": "green",
    "diverged": "red",
    "failed": "red",
    "censored": "yellow",
    "stopped": "yellow",
    "error": "bold red",
}


@contextmanager
def display() -> Iterator[Watch]:
    """What :func:`fetchbench.execution.execute` shows its progress to."""
    screen = console(stderr=True)
    if not screen.is_terminal or screen.is_dumb_terminal:
        yield Lines()
        return
    with Live(console=screen, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False) as live:
        yield lambda runs: live.update(overview(runs, screen), refresh=True)


def overview(runs: Sequence[Progress], screen: Console) -> RenderableType:
    """The table of runs, cut to the terminal's height (those at work stay), and how many are in which state."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("method", "task", "seed", "step", "steps/s", "success", "left", "state"):
        table.add_column(column, justify="left" if column in ("method", "task", "state") else "right", no_wrap=True)
    most = max(3, screen.height - 6)
    kept = set(sorted(range(len(runs)), key=lambda i: _ORDER.get(runs[i].state, 3))[:most])
    for i, run in enumerate(runs):
        if i in kept:
            *cells, state = _cells(run)
            table.add_row(*map(Text, cells), Text(state, style=_STYLES.get(run.state, "dim")))
    counts = Counter(run.state for run in runs)
    noun = "run" if len(runs) == 1 else "runs"
    lines = [f"{len(runs)} {noun}: " + ", ".join(f"{number} {state}" for state, number in counts.items())]
    if counts["stopping"]:
        lines.append(STOPPING)
    return Group(table, *map(Text, lines))


def _cells(run: Progress) -> list[str]:
    request, working = run.job.request, run.state in AT_WORK
    speed = "-" if run.steps_per_s is None else f"{run.steps_per_s:.1f}"
    starting = run.state == "running" and run.resumed_at is None
    return [
        request.method.name,
        request.task,
        str(request.seed),
        text.steps(run.steps, run.budget),
        speed if working else "",
        text.rate(run.success),
        text.duration(run.seconds_left) if working else "",
        "starting" if starting else _state(run),
    ]


def _state(run: Progress) -> str:
    return run.state if run.score is None else f"{run.state}, score {run.score:.2f}"


class Lines:
    """A line when a run starts, at each of its evaluations, and when it ends; runs that were recorded before have none."""

    def __init__(self) -> None:
        self._seen: list[_Seen] = []
        self._stopping = False

    def __call__(self, runs: Sequence[Progress]) -> None:
        if not self._seen:
            self._seen = [_Seen(ended=run.state not in (*AT_WORK, "waiting", "elsewhere")) for run in runs]
        for seen, run in zip(self._seen, runs, strict=True):
            for line in seen.news(run):
                click.echo(text.visible(f"{run.job.label}: {line}"), err=True)
        if not self._stopping and any(run.state == "stopping" for run in runs):
            self._stopping = True
            click.echo(STOPPING, err=True)


class _Seen:
    """What was said of one run."""

    def __init__(self, ended: bool) -> None:
        self.started = False
        self.evaluations = 0
        self.ended = ended
        self.held_up = ""

    def news(self, run: Progress) -> Iterator[str]:
        if self.ended:
            return
        working = run.state in AT_WORK
        if not self.started and run.resumed_at is not None:
            self.started = True
            begun = f"goes on from step {run.resumed_at:,}" if run.resumed_at else "started"
            yield f"{begun} ({run.message})" if run.message and working else begun
        for steps, success in run.evaluations[self.evaluations :]:
            parts = [f"step {text.steps(steps, run.budget)}", f"success {success:.2f}"]
            if working and run.steps_per_s is not None:
                parts.append(f"{run.steps_per_s:.1f} steps/s")
            if working and run.seconds_left:
                parts.append(f"{text.duration(run.seconds_left)} left")
            yield ", ".join(parts)
        self.evaluations = max(self.evaluations, len(run.evaluations))
        if run.state in ("waiting", "elsewhere"):
            why = run.message or ("left to the command that is at it" if run.state == "elsewhere" else "")
            if why and why != self.held_up:
                self.started, self.evaluations = False, 0  # what begins next begins anew
                yield why
            self.held_up = why
        elif working:
            self.held_up = ""
        else:
            self.ended = True
            at = f" at step {run.steps:,}" if run.state == "stopped" else ""
            yield _state(run) + at + (f": {run.message}" if run.message else "")
