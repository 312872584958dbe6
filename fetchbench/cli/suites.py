"""``fetchbench suites``."""

from __future__ import annotations

from typing import Any

import click

MOST_NAMED = 5
"""Methods of a suite that the list names; of more it gives the number."""


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
        ", ".join(entry["tasks"]) if len(entry["tasks"]) == 1 else f"{len(entry['tasks'])} tasks",
        ", ".join(entry["methods"]) if len(entry["methods"]) <= MOST_NAMED else f"{len(entry['methods'])} methods",
        str(len(entry["seeds"])),
        entry["title"],
    ]
