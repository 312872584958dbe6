"""``fetchbench publish``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Render the leaderboard from finished runs.")
@click.argument("suites", metavar="[SUITE]...", nargs=-1)
@click.option("--check", "only_check", is_flag=True, help="Write nothing; fail unless the page is what the records give.")
def publish(suites: tuple[str, ...], only_check: bool) -> None:
    """Copy finished records to ./leaderboard/records and render its page; without SUITE, of all suites that were run."""
    from fetchbench import leaderboard
    from fetchbench.suite import suite_titles

    root = Path.cwd()
    if only_check:
        if suites:
            raise click.UsageError("--check compares the whole page; leave the suites out")
        leaderboard.check(root, suite_titles())
        return click.echo("leaderboard/README.md is what the records give")
    report = leaderboard.publish(root, list(suites) or None, Path("runs"), suite_titles())
    for suite in report.suites:
        click.echo(str(suite))
    change = "written" if report.changed else "unchanged"
    return click.echo(f"{report.board.relative_to(root)}: {change}, {report.records} records")
