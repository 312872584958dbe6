"""``fetchbench suites`` and ``fetchbench show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fetchbench.execution import RunStatus
    from fetchbench.suite import Suite

RUNS = Path("runs")


@click.command(short_help="List the suites.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def suites(as_json: bool) -> None:
    """List the suites: fetchbench's own and those in ./suites."""
    from fetchbench.cli import text
    from fetchbench.errors import FetchbenchError
    from fetchbench.suite import load_suite, suite_files

    found: list[dict[str, Any]] = []
    for name, path in suite_files().items():
        entry: dict[str, Any] = {"name": name, "title": "", "path": str(path), "tasks": [], "methods": [], "seeds": []}
        try:
            suite = load_suite(name)
        except FetchbenchError as error:
            found.append(entry | {"error": str(error)})
        else:
            methods = [method.name for method in suite.methods]
            found.append(
                entry
                | {
                    "title": suite.title,
                    "tasks": list(suite.tasks),
                    "methods": methods,
                    "seeds": list(suite.seeds),
                    "error": None,
                }
            )
    if as_json:
        return text.print_json(found)
    rows = [_row(entry) for entry in found]
    header = ["suite", "tasks", "methods", "seeds", "title"]
    return click.echo(text.listing(header, rows, right=["seeds"]) if rows else "No suites: there are none in ./suites either.")


def _row(entry: dict[str, Any]) -> list[str]:
    if entry["error"] is not None:
        # The first line counts the problems, the second is the first of them.
        first = " ".join(" ".join(entry["error"].splitlines()[:2]).split())
        return [entry["name"], "-", "-", "-", f"broken: {first}"]
    return [
        entry["name"],
        ", ".join(entry["tasks"]),
        ", ".join(entry["methods"]),
        str(len(entry["seeds"])),
        entry["title"],
    ]


@click.command(short_help="Show a suite, and the state of its runs.")
@click.argument("suite")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def show(suite: str, as_json: bool) -> None:
    """Show SUITE's protocol, its methods and the state of its runs."""
    from fetchbench.cli import text
    from fetchbench.execution import statuses
    from fetchbench.suite import load_suite, read_index

    loaded = load_suite(suite)
    found = statuses(RUNS, loaded, read_index(RUNS, loaded.name))
    if as_json:
        return text.print_json(_as_json(loaded, found))
    return _print(loaded, found)


def _protocol(suite: Suite) -> dict[str, Any]:
    settings = {name: getattr(suite, name).model_dump(mode="json") for name in ("scene", "learner", "budget", "evaluation")}
    return {"track": suite.track, **settings}


def _as_json(suite: Suite, found: list[RunStatus]) -> dict[str, Any]:
    return {
        "name": suite.name,
        "title": suite.title,
        "path": str(suite.path),
        "sha256": suite.sha256,
        "tasks": list(suite.tasks),
        "seeds": list(suite.seeds),
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


def _print(suite: Suite, found: list[RunStatus]) -> None:
    from fetchbench.cli import text
    from fetchbench.leaderboard.cells import varies

    click.echo(text.visible(f"{suite.name}: {suite.title}"))
    click.echo(f"{suite.where}\n")
    click.echo(text.named("tasks", ", ".join(suite.tasks)))
    click.echo(text.named("seeds", ", ".join(map(str, suite.seeds))))
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
