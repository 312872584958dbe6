"""``fetchbench run``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fetchbench.cli import text
from fetchbench.errors import FetchbenchError
from fetchbench.run.interrupts import INTERRUPTED

if TYPE_CHECKING:
    from fetchbench.execution import Job, Outcome, Plan

RUNS = Path("runs")


@click.command(short_help="Run what is missing of a suite; run it again to resume.")
@click.argument("suite")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Load this plugin file; its components become methods of the suite.",
)
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Run this method alone (may be repeated).")
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Run this task alone (may be repeated).")
@click.option(
    "--seed", "seeds", multiple=True, type=click.IntRange(min=0), metavar="N", help="Run this seed alone (may be repeated)."
)
@click.option(
    "--executor",
    type=click.Choice(["local", "ray", "slurm"]),
    default="local",
    show_default=True,
    help="Who starts runs: this machine, a Ray cluster, SLURM.",
)
@click.option(
    "--executor-option",
    "executor_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of Ray (address) or SLURM (partition, time, ...; may be repeated).",
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Runs at a time; as many as there is room for.")
@click.option(
    "--retries",
    type=click.IntRange(0, 100),
    default=2,
    show_default=True,
    metavar="N",
    help="Further tries of a run that the machine failed.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where networks train; auto is CUDA where there is one.",
)
@click.option("--threads", type=click.IntRange(1, 256), default=1, metavar="N", help="Threads per run; 1 by default.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Of encoders when learning; auto is bfloat16 where the hardware multiplies it.",
)
@click.option(
    "--compile",
    "compile_",
    type=click.Choice(["auto", "none", "inductor", "capture", "cuda-graph"]),
    default="auto",
    show_default=True,
    help="auto compiles encoders where runs are long enough to repay it.",
)
@click.pass_context
def run(
    context: click.Context,
    suite: str,
    plugins: tuple[Path, ...],
    methods: tuple[str, ...],
    tasks: tuple[str, ...],
    seeds: tuple[int, ...],
    executor: str,
    executor_options: tuple[str, ...],
    jobs: int | None,
    retries: int,
    device: str,
    threads: int,
    precision: str,
    compile_: str,
) -> None:
    """Run what is missing of SUITE, a name or a .toml file, then print its board.

    Run it again to resume: finished runs are skipped, stopped ones go on from their checkpoint.
    """
    from fetchbench.cli.progress import display
    from fetchbench.execution import begin, execute, launcher, plan

    chosen = launcher(executor, named_values(executor_options))
    planned = plan(
        suite,
        RUNS,
        plugins=plugins,
        methods=methods,
        tasks=tasks,
        seeds=seeds,
        device=device,
        threads=threads,
        precision=precision,
        compile_=compile_,
    )
    prepared = begin(planned, RUNS)
    missing = sum(not (job.directory / "record.json").exists() for job in prepared)
    if not missing:
        chosen = launcher("local", {})  # no scheduler has to be reached
    with chosen:
        slots = jobs or chosen.slots(planned.execution, missing)
        _print_start(planned, prepared, slots)
        with display() as watch:
            outcomes = execute(
                prepared,
                slots=slots,
                plugins=plugins,
                suite_sha256=planned.suite.sha256,
                watch=watch,
                launcher=chosen,
                retries=retries,
            )
    _print_board(planned)
    _print_end(planned, outcomes)
    context.exit(exit_code(outcomes, planned.lacking))


def named_values(options: Sequence[str]) -> dict[str, str]:
    """``["time=60"]`` -> ``{"time": "60"}``.

    Raises:
        FetchbenchError: One of them is not ``NAME=VALUE``.
    """
    for option in options:
        if not option.partition("=")[0] or "=" not in option:
            raise FetchbenchError(f"--executor-option {option!r}: write NAME=VALUE, partition=gpu say")
    return {name: value for name, _, value in (option.partition("=") for option in options)}


def exit_code(outcomes: Sequence[Outcome], lacking: Collection[str] = ()) -> int:
    """0 if every run has a record, 130 if one was interrupted or kept from starting, else 2.

    Args:
        outcomes: Of the runs.
        lacking: Methods that were left out.
    """
    if all(outcome.recorded for outcome in outcomes):
        return 2 if lacking else 0
    return INTERRUPTED if any(outcome.state in ("stopped", "waiting", "elsewhere") for outcome in outcomes) else 2


def _say(line: str) -> None:
    click.echo(text.visible(line), err=True)


def _print_start(planned: Plan, jobs: Sequence[Job], slots: int) -> None:
    from fetchbench.execution import inspect

    for method in planned.lacking:
        _say(f"{method}: its weights are not on this machine; the other methods run, and what it needs is said at the end")
    states = Counter(inspect(job).state for job in jobs)
    words = {"stopped": "to resume", "waiting": "to start", "running": "running in another process", "error": "damaged"}
    counts: Counter[str] = Counter()
    for state, number in states.items():
        counts[words.get(state, "done")] += number
    order = ["done", "damaged", "to resume", "running in another process", "to start"]
    found = ", ".join(f"{counts[word]} {word}" for word in order if counts[word]) or "nothing to run"
    unfinished = len(jobs) - counts["done"] - counts["damaged"]
    _say(f"{planned.suite.name}: {found}" + (f"; {min(slots, unfinished)} at a time" if unfinished > 1 else ""))
    others = [job for job in jobs if job.request.execution != planned.execution and inspect(job).state == "stopped"]
    if others:
        _say(f"{len(others)} of them keep the device, threads, precision and compile mode that they began with")


def _print_board(planned: Plan) -> None:
    from fetchbench.cli.console import console
    from fetchbench.execution import finished_records
    from fetchbench.leaderboard import console_table, rows
    from fetchbench.suite import read_index

    index = read_index(RUNS, planned.suite.name)
    if index is None:
        return
    records, problems = finished_records(RUNS, index)
    for problem in problems:
        _say(f"left out: {problem}")
    if records:
        console().print(console_table(rows(records)))


def _print_end(planned: Plan, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.state not in ("done", "waiting", "elsewhere"):
            _say(f"{outcome.state}: {outcome.job.label}" + (f": {outcome.message}" if outcome.message else ""))
    for method, why in planned.lacking.items():
        _say(f"left out: {method}: {why}")
    if missing := sum(not outcome.recorded for outcome in outcomes):
        _say(f"{missing} of {len(outcomes)} runs are not finished; the same command goes on with them")
    elif outcomes:
        _say(f"next: `fetchbench publish {planned.suite.name}` puts these results on the leaderboard")
