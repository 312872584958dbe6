"""``fetchbench show``: a suite and the state of its runs, or one run and its pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fetchbench.execution import Progress, RunStatus
    from fetchbench.records.diagnosis import Diagnosis
    from fetchbench.run.pictures import Pictures
    from fetchbench.run.trained import InputPart
    from fetchbench.suite import Suite

RUNS = Path("runs")


@click.command(short_help="Show a suite and its runs, or draw pictures of one run.")
@click.argument("what", metavar="SUITE|RUN")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Load this plugin file, which the run needs.",
)
def show(what: str, as_json: bool, plugins: tuple[Path, ...]) -> None:
    """Show a suite, a name or a .toml file: its protocol, its methods and the state of its runs.

    Show a run, its folder: where it stands, how it looks and by which signs, what its networks are given, and pictures, which
    are written into the folder: what the encoder sees and makes of it beside a rollout, as a contact sheet and as a video, and,
    where the method has a distance between images, that distance beside the true one.
    """
    folder = Path(what)
    if (folder / "request.json").exists():
        return _show_run(folder, as_json, plugins)
    if plugins:
        raise click.UsageError("--plugin is for a run: a suite is shown without loading any plugin")
    return _show_suite(what, as_json)


# -- a suite ----------------------------------------------------------------------------------------------------------


def _show_suite(name: str, as_json: bool) -> None:
    from fetchbench.cli import text
    from fetchbench.errors import FetchbenchError
    from fetchbench.execution import statuses
    from fetchbench.suite import load_suite, read_index, suite_files

    # A suite's name has no separator, and its file has its ending: what was meant here is a run.
    meant_a_run = Path(name).name != name and Path(name).suffix != ".toml"
    if name not in suite_files() and (Path(name).is_dir() or meant_a_run):
        what = "a folder without request.json, so not a run's" if Path(name).is_dir() else "no folder"
        raise FetchbenchError(
            f"{name} is {what}; a run has {RUNS}/<task>/<method>/seed<k>-<key>. `fetchbench suites` lists the suites"
        )
    loaded = load_suite(name)
    found = statuses(RUNS, loaded, read_index(RUNS, loaded.name))
    if as_json:
        return text.print_json(_suite_as_json(loaded, found))
    return _print_suite(loaded, found)


def _protocol(suite: Suite) -> dict[str, Any]:
    settings = {name: getattr(suite, name).model_dump(mode="json") for name in ("scene", "learner", "budget", "evaluation")}
    if suite.stop is not None:
        settings["stop"] = suite.stop.model_dump(mode="json")
    return {"track": suite.track, **settings}


def _suite_as_json(suite: Suite, found: list[RunStatus]) -> dict[str, Any]:
    return {
        "name": suite.name,
        "title": suite.title,
        "path": str(suite.path),
        "sha256": suite.sha256,
        "tasks": list(suite.tasks),
        "seeds": list(suite.seeds),
        "baseline": suite.baseline,
        "baseline_seeds": list(suite.baseline_seeds),
        "contrasts": [list(pair) for pair in suite.contrasts],
        "protocol": _protocol(suite),
        "methods": [method.model_dump(mode="json") for method in suite.methods],
        "runs": [
            {
                "method": run.method,
                "task": run.task,
                "seed": run.seed,
                "state": run.state,
                "steps": run.steps,
                "success": run.success,
                "score": run.score,
                "message": run.message,
                "directory": None if run.directory is None else str(run.directory),
            }
            for run in found
        ],
    }


def _print_suite(suite: Suite, found: list[RunStatus]) -> None:
    from fetchbench.cli import text
    from fetchbench.leaderboard.cells import varies

    click.echo(text.visible(f"{suite.name}: {suite.title}"))
    click.echo(f"{suite.where}\n")
    click.echo(text.named("tasks", ", ".join(suite.tasks)))
    click.echo(text.named("seeds", ", ".join(map(str, suite.seeds))))
    if suite.baseline:
        further = f", seeds {', '.join(map(str, suite.baseline_seeds))} besides" if suite.baseline_seeds else ""
        click.echo(text.named("baseline", suite.baseline + further))
    if suite.contrasts:
        click.echo(text.named("contrasts", "; ".join(f"{a} and {b}" for a, b in suite.contrasts)))
    for name, value in _protocol(suite).items():
        pairs = value if isinstance(value, str) else ", ".join(f"{key}={_plain(inner)}" for key, inner in value.items())
        click.echo(text.named(name, pairs))
    click.echo()
    click.echo(text.listing(["method", "what varies"], [[method.name, varies(method)] for method in suite.methods]))
    click.echo()
    rows = []
    for run in found:
        state: str = "not started" if run.state == "waiting" else run.state
        if run.state in ("stopped", "running"):
            state += f" at step {text.steps(run.steps, suite.budget.steps)}"
        rows.append([run.method, run.task, str(run.seed), state, text.rate(run.score), run.message])
    click.echo(text.listing(["run", "task", "seed", "state", "score", ""], rows, right=["seed", "score"]))


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return "-" if value is None else str(value)


# -- a run ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Shown:
    """What there is to show of a run: its progress always, the rest where it could be had.

    Attributes:
        progress: What its folder says.
        diagnosis: How it looks; ``None`` where its record is damaged.
        inputs: Of its networks; empty if they could not be built.
        pictures: ``None`` if they could not be drawn.
        problem: Why something is missing, in one line; empty otherwise.
    """

    progress: Progress
    diagnosis: Diagnosis | None = None
    inputs: Sequence[InputPart] = ()
    pictures: Pictures | None = None
    problem: str = ""


def _show_run(folder: Path, as_json: bool, plugins: Sequence[Path]) -> None:
    from fetchbench.cli import text

    shown = _drawn(folder, plugins)
    if as_json:
        return text.print_json(_run_as_json(folder, shown))
    return _print_run(folder, shown)


def _drawn(folder: Path, plugins: Sequence[Path]) -> _Shown:
    from fetchbench.errors import FetchbenchError, one_line
    from fetchbench.execution import Job, inspect
    from fetchbench.execution.diagnosing import diagnosed
    from fetchbench.run.pictures import draw_trained
    from fetchbench.run.prepare import read_request
    from fetchbench.run.trained import build_run, input_parts, restore

    job = Job(read_request(folder), folder)
    shown = _Shown(inspect(job))
    with contextlib.suppress(FetchbenchError):  # the state says what is wrong with it
        shown = dataclasses.replace(shown, diagnosis=diagnosed(job))
    try:
        request, built = build_run(folder, plugins)
        shown = dataclasses.replace(shown, inputs=input_parts(request, built))
        return dataclasses.replace(shown, pictures=draw_trained(folder, restore(folder, request, built)))
    except FetchbenchError as error:
        return dataclasses.replace(shown, problem=str(error))
    except Exception as error:  # a plugin's own, most likely; what is known of the run is shown all the same
        if os.environ.get("FETCHBENCH_DEBUG"):
            raise
        return dataclasses.replace(shown, problem=f"{type(error).__name__}: {one_line(error)}")


def _run_as_json(folder: Path, shown: _Shown) -> dict[str, Any]:
    progress, request, pictures = shown.progress, shown.progress.job.request, shown.pictures
    return {
        "directory": str(folder),
        "suite": request.suite,
        "task": request.task,
        "method": request.method.model_dump(mode="json"),
        "seed": request.seed,
        "state": progress.state,
        "steps": progress.steps,
        "budget_steps": progress.budget,
        "success": progress.success,
        "score": progress.score,
        "message": progress.message,
        "diagnosis": _diagnosis_as_json(shown.diagnosis),
        "inputs": [dataclasses.asdict(part) for part in shown.inputs],
        "input_dim": sum(part.width for part in shown.inputs) if shown.inputs else None,
        "contact_sheet": None if pictures is None else str(pictures.contact_sheet),
        "video": None if pictures is None else str(pictures.video),
        "goal_distance": None if pictures is None or pictures.goal_distance is None else str(pictures.goal_distance),
        "problem": shown.problem or None,
    }


def _diagnosis_as_json(found: Diagnosis | None) -> dict[str, Any] | None:
    if found is None:
        return None
    start = found.takeoff
    takeoff = None if start is None else {"steps": start.steps, "updates": start.updates}
    return {"verdict": found.verdict, "takeoff": takeoff, "signs": list(found.signs)}


def _print_run(folder: Path, shown: _Shown) -> None:
    from fetchbench.cli import text
    from fetchbench.leaderboard.cells import varies

    progress, request = shown.progress, shown.progress.job.request
    click.echo(text.visible(f"{request.method.name} {request.task} seed {request.seed}, of suite {request.suite}"))
    click.echo(f"{text.visible(str(folder))}\n")
    state = "not started" if progress.state == "waiting" else progress.state
    click.echo(text.named("state", f"{state}, step {text.steps(progress.steps, progress.budget)}"))
    if progress.message:
        click.echo(text.named("", progress.message))
    click.echo(
        text.named("score", f"{text.rate(progress.score)}, success {text.rate(progress.success)} in the last evaluation")
    )
    if shown.diagnosis is not None:
        for i, sign in enumerate(shown.diagnosis.signs):
            click.echo(text.named("" if i else "looks", sign if i else f"{shown.diagnosis.verdict}: {sign}"))
    click.echo(text.named("method", varies(request.method)))
    if shown.inputs:
        click.echo(text.named("inputs", _sum(shown.inputs)))
    if shown.pictures is None:
        return click.echo(text.named("pictures", f"none: {shown.problem}"))
    click.echo(text.named("episodes", "; ".join(shown.pictures.lines)))
    # Paths are not wrapped: they are to be copied.
    for i, path in enumerate(shown.pictures.paths):
        click.echo(f"{'' if i else 'pictures':<12}{text.visible(str(path))}")
    return None


def _sum(parts: Sequence[InputPart]) -> str:
    """``64 (encoder) + 10 (proprioception) + 3 (achieved goal) + 3 (goal) = 80``."""
    names = [part.name if part.features is None else f"trunk of {part.features} features" for part in parts]
    terms = [f"{part.width} ({name})" for part, name in zip(parts, names, strict=True)]
    return f"{' + '.join(terms)} = {sum(part.width for part in parts)}"
