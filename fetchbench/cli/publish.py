"""``fetchbench publish``."""

from __future__ import annotations

from pathlib import Path

import click

from fetchbench.cli import text


@click.command(short_help="Render the leaderboard from finished runs.")
@click.argument("suites", metavar="[SUITE]...", nargs=-1)
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; fail unless pages and figures are what the records give."
)
def publish(suites: tuple[str, ...], only_check: bool) -> None:
    """Copy finished records to ./leaderboard/records, render page and figures; without SUITE, of every suite that was run."""
    from fetchbench import leaderboard

    root = Path.cwd()
    if only_check:
        if suites:
            raise click.UsageError("--check compares the whole page; leave the suites out")
        leaderboard.check(root, leaderboard.suite_notes(_warn))
        return click.echo("leaderboard/README.md, CHANGES.md and the figures are what the records give")
    report = leaderboard.publish(root, list(suites) or None, Path("runs"), leaderboard.suite_notes(_warn))
    for suite in report.suites:
        click.echo(str(suite))
    change = "written" if report.changed else "unchanged"
    click.echo(f"{report.board.relative_to(root)}: {change}, {report.records} records")
    return click.echo(f"leaderboard/figures: {report.drawn} drawn, {report.figures - report.drawn} unchanged")


def _warn(line: str) -> None:
    click.echo(text.visible(f"warning: {line}"), err=True)
