"""``fetchbench doctor``."""

from __future__ import annotations

import dataclasses

import click


@click.command(short_help="Check packages, rendering and GPU.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check this machine: packages, rendering, GPU. Exit code 1 if something that is needed is broken."""
    from fetchbench.cli import text
    from fetchbench.cli.checks import every_check

    found = every_check()
    broken = [check for check in found if check.status == "broken"]
    if as_json:
        checks = [dataclasses.asdict(check) | {"status": check.status} for check in found]
        text.print_json({"ok": not broken, "checks": checks})
    else:
        marks = {"ok": "ok", "note": "!", "broken": "X"}
        click.echo(text.listing(["", "what", "found"], [[marks[c.status], c.name, c.value] for c in found]))
        for check in found:
            if check.problem:
                click.echo(f"{check.status}: {check.name}: {check.problem}. What to do: {check.advice}.")
        click.echo(f"{len(broken)} broken" if broken else "everything that is needed works")
    context.exit(1 if broken else 0)
