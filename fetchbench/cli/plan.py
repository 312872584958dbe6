"""``fetchbench plan``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fetchbench.execution.forecast import Detection, Hardware, Prediction, Row
    from fetchbench.suite import Suite

RUNS = Path("runs")


@click.command(short_help="Say what a suite still needs, takes and can show.")
@click.argument("suite")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("--seeds", type=click.IntRange(1, 1000), metavar="N", help="As if the suite had the seeds 0 to N - 1.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where it would run; auto is CUDA where there is one.",
)
@click.option("--measure", "measured", is_flag=True, help="Run a few hundred steps of each method, and predict from those.")
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Measure this method alone (may be repeated).")
def plan(suite: str, as_json: bool, seeds: int | None, device: str, measured: bool, methods: tuple[str, ...]) -> None:
    """Say of SUITE which runs are done and which are missing, what these will take, and what its seeds can tell apart.

    Predictions come from past records of the same processor or GPU, in ./runs and ./leaderboard; what nothing is known of is
    unknown. Nothing is written.
    """
    from fetchbench.cli import text
    from fetchbench.execution import forecast
    from fetchbench.leaderboard.collection import RECORDS
    from fetchbench.suite import load_suite, read_index

    if methods and not measured:
        raise click.UsageError("--method says what to measure: add --measure, or leave it out")
    loaded = load_suite(suite)
    if seeds is not None:
        loaded = replace(loaded, seeds=tuple(range(seeds)))
        loaded = replace(loaded, baseline_seeds=tuple(seed for seed in loaded.baseline_seeds if seed not in loaded.seeds))
    here = forecast.hardware(device)
    past = forecast.read_past(RUNS, RECORDS)
    found: dict[str, Prediction | str] = _measured(suite, device, methods) if measured else {}

    def prediction(method: Any, task: str) -> Prediction | None:
        known = found.get(method.name)
        if known is None or isinstance(known, str):
            return forecast.predict(loaded, method, task, past, here)
        if task == loaded.tasks[0]:
            return known
        # A method is measured on the first task alone.
        return replace(known, near=True, basis=f"{known.basis}; other task")

    states = forecast.states(RUNS, loaded, read_index(RUNS, loaded.name))
    rows = forecast.rows(loaded, states, forecast.in_records(RECORDS, loaded), prediction)
    detection = forecast.detection(loaded, past)
    unmeasured = {name: why for name, why in found.items() if isinstance(why, str)}
    if as_json:
        return text.print_json(_as_json(loaded, here, rows, detection, unmeasured))
    return _print(loaded, here, rows, detection, unmeasured)


def _measured(suite: str, device: str, methods: Sequence[str]) -> dict[str, Prediction | str]:
    from fetchbench.cli import text
    from fetchbench.execution.measuring import measure
    from fetchbench.execution.planning import plan as check

    planned = check(suite, RUNS, methods=methods, device=device)
    return measure(planned, lambda line: click.echo(text.visible(line), err=True))


# -- sums -------------------------------------------------------------------------------------------------------------


def _sums(rows: Sequence[Row], budget_steps: int) -> dict[str, Any]:
    """What the missing runs take, and what all of the suite's do: each of :func:`_sum`, under ``missing_`` and ``whole_``."""
    missing = [(row, hours) for row in rows for hours in row.hours_left(budget_steps)]
    whole = [(row, row.prediction.hours) for row in rows if row.prediction for _ in row.runs]
    sums = {"missing": _sum(missing), "whole": _sum(whole)}
    sums["missing"]["unknown"] = sum(len(row.missing) for row in rows) - len(missing)
    sums["whole"]["unknown"] = sum(len(row.runs) for row in rows) - len(whole)
    return {f"{name}_{field}": value for name, found in sums.items() for field, value in found.items()}


def _sum(runs: Sequence[tuple[Row, float]]) -> dict[str, Any]:
    """Of runs with their hours: how many, all hours, those of the longest, and the most memory that one takes."""
    known = [row.prediction for row, _ in runs if row.prediction]
    return {
        "runs": len(runs),
        "hours": math.fsum(hours for _, hours in runs),
        "longest_hours": max((hours for _, hours in runs), default=0.0),
        "memory_mb": max((found.memory_mb for found in known), default=None),
        "gpu_memory_mb": max((found.gpu_memory_mb for found in known if found.gpu_memory_mb), default=None),
    }


def _as_json(
    suite: Suite, here: Hardware, rows: Sequence[Row], detection: Detection, unmeasured: dict[str, str]
) -> dict[str, Any]:
    from fetchbench.execution.forecast import RULE

    return {
        "suite": suite.name,
        "title": suite.title,
        "path": str(suite.path),
        "hardware": asdict(here),
        "unit": here.unit,
        "seeds": list(suite.seeds),
        "baseline": suite.baseline,
        "baseline_seeds": list(suite.baseline_seeds),
        "contrasts": [list(pair) for pair in suite.contrasts],
        "rows": [
            {
                "method": row.method,
                "task": row.task,
                "levels": dict(suite.levels.get(row.method, {})),
                "runs": [
                    {
                        "seed": run.seed,
                        "state": run.state,
                        "steps": run.steps,
                        "message": run.message,
                        "directory": None if run.directory is None else str(run.directory),
                    }
                    for run in row.runs
                ],
                "missing": len(row.missing),
                "published": row.published,
                "prediction": None if row.prediction is None else asdict(row.prediction),
            }
            for row in rows
        ],
        "sums": _sums(rows, suite.budget.steps),
        "rule": RULE,
        "detectable": asdict(detection),
        "not_measured": unmeasured,
    }


# -- as text ----------------------------------------------------------------------------------------------------------


def _print(suite: Suite, here: Hardware, rows: Sequence[Row], detection: Detection, unmeasured: dict[str, str]) -> None:
    from fetchbench.cli import text
    from fetchbench.execution.forecast import RULE

    sums = _sums(rows, suite.budget.steps)
    click.echo(text.visible(f"{suite.name}: {suite.title}"))
    click.echo(f"{suite.where}\n")
    click.echo(text.named("hardware", f"{here.device}, {here.name}, {here.cores} cores"))
    click.echo(text.named("runs", _counts(rows)))
    click.echo(text.named("missing", _hours("missing", sums, here)))
    click.echo(text.named("whole", _hours("whole", sums, here)))
    click.echo(text.named("can tell", _detection(suite, detection)))
    click.echo(text.named("rule", RULE))
    click.echo()
    several = len(suite.tasks) > 1
    header = ["method", *(["task"] if several else []), "done", "missing", f"{here.unit[:-6]}-min a run", "memory", "from"]
    listed = [[row.method, *([row.task] if several else []), *_cells(row, here)] for row in rows]
    click.echo(text.listing(header, listed, right=["done", "missing", header[-3], "memory"]))
    click.echo()
    for name, why in unmeasured.items():
        click.echo(text.named("not known", f"{name}: {why}"))
    if sums["missing_unknown"]:
        click.echo(text.named("next", f"`fetchbench plan {suite.name} --measure` finds out what is unknown"))
    if any(row.missing for row in rows):
        click.echo(text.named("next", f"`fetchbench run {suite.name}` runs what is missing"))


def _counts(rows: Sequence[Row]) -> str:
    from fetchbench.execution.jobs import RECORDED

    states: Counter[str] = Counter("done" if run.state in RECORDED else run.state for row in rows for run in row.runs)
    words = {"done": "done", "running": "at work", "stopped": "begun", "error": "damaged", "waiting": "not started"}
    total, methods = sum(states.values()), len({row.method for row in rows})
    parts = [f"{states[state]} {word}" for state, word in words.items() if states[state]]
    line = f"{total} of {methods} methods: {', '.join(parts)}"
    published = sum(row.published for row in rows)
    return line + (f"; {published} are among the published records" if published else "")


def _hours(which: str, sums: dict[str, Any], here: Hardware) -> str:
    from fetchbench.cli import text
    from fetchbench.leaderboard import cells

    names = ("hours", "unknown", "runs", "longest_hours", "memory_mb", "gpu_memory_mb")
    hours, unknown, runs, longest, memory_mb, gpu_memory_mb = (sums[f"{which}_{name}"] for name in names)
    if not hours:
        return f"unknown for {unknown} runs" if unknown else "nothing"
    line = f"{hours:.3g} {here.unit}"
    # Each run has one core.
    if here.device == "cpu" and (cores := min(here.cores, runs)) > 1:
        line += f", so about {text.duration(max(hours / cores, longest) * 3600)} on {cores} cores"
    line += f"; up to {cells.memory(gpu_memory_mb or memory_mb)} a run"
    return line + (f"; unknown for {unknown} runs more" if unknown else "")


def _detection(suite: Suite, detection: Detection) -> str:
    origin = f"seed deviation {detection.deviation:.2f}, {detection.basis}"
    tasks = f", over {len(suite.tasks)} tasks" if len(suite.tasks) > 1 else ""
    if detection.difference is None:
        return f"nothing: so few seeds show no difference between two methods of {detection.seeds} each{tasks} ({origin})"
    return (
        f"a difference of {detection.difference:.2f} in success between two methods of {detection.seeds} seeds each{tasks} "
        f"(80 % power, 5 % level; {origin})"
    )


def _cells(row: Row, here: Hardware) -> list[str]:
    from fetchbench.leaderboard import cells

    found = row.prediction
    done = str(len(row.runs) - len(row.missing))
    if found is None:
        return [done, str(len(row.missing)), "unknown", "unknown", "no past run that is near enough"]
    minutes = found.hours * 60
    memory = found.gpu_memory_mb if here.device == "cuda" and found.gpu_memory_mb else found.memory_mb
    return [done, str(len(row.missing)), f"{'~' if found.near else ''}{minutes:.3g}", cells.memory(memory), found.basis]
