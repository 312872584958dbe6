"""``fetchbench status``."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fetchbench.execution import RunStatus

RUNS = Path("runs")


@click.command(short_help="What each run of a suite is doing, and what happens next.")
@click.argument("suite")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def status(suite: str, as_json: bool) -> None:
    """Show every run of SUITE: its state, attempts, owner, last sign of life, and what happens next.

    Reads what the runs have written; it starts, stops and changes nothing.
    """
    from fetchbench.cli import text
    from fetchbench.execution import statuses
    from fetchbench.suite import load_suite, read_index

    loaded = load_suite(suite)
    found, now = statuses(RUNS, loaded, read_index(RUNS, loaded.name)), time.time()
    counts = Counter(run.state for run in found)
    if as_json:
        return text.print_json({"suite": loaded.name, "counts": counts, "runs": [_as_json(run, now) for run in found]})
    header = ["run", "task", "seed", "state", "step", "attempts", "alive", "owner", "next", ""]
    rows = [_row(run, loaded.budget.steps, now) for run in found]
    click.echo(text.listing(header, rows, right=["seed", "step", "attempts", "alive"]))
    states = ", ".join(f"{number} {_named(state)}" for state, number in counts.items())
    return click.echo(f"\n{len(found)} runs: {states}")


def _named(state: str) -> str:
    return "not started" if state == "waiting" else state


def _row(run: RunStatus, budget: int, now: float) -> list[str]:
    from fetchbench.cli import text

    ago = "-" if run.alive is None else f"{text.duration(max(0.0, now - run.alive))} ago"
    state = _named(run.state) if run.score is None else f"{run.state}, score {run.score:.2f}"
    step = text.steps(run.steps, budget) if run.steps else "-"
    attempts = str(run.attempts) if run.attempts else "-"
    return [run.method, run.task, str(run.seed), state, step, attempts, ago, run.owner or "-", run.next(now), run.message]


def _as_json(run: RunStatus, now: float) -> dict[str, Any]:
    directory = None if run.directory is None else str(run.directory)
    return dataclasses.asdict(run) | {"directory": directory, "next": run.next(now)}
