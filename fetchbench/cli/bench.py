"""``fetchbench bench``."""

from __future__ import annotations

import click

from fetchbench.bench import FULL, PARTS, QUICK


@click.command(short_help="Measure speed and memory, side by side with stable-baselines3.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object with every single measurement.")
@click.option("--quick", is_flag=True, help="Small sizes, under a minute on two cores; no target is stated for them.")
@click.option("--only", "parts", multiple=True, type=click.Choice(PARTS), help="Measure this part alone (may be repeated).")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Cores to use; all that there are by default.")
@click.pass_context
def bench(context: click.Context, as_json: bool, quick: bool, parts: tuple[str, ...], threads: int | None) -> None:
    """Measure this machine: rendering, replay, updates, training and memory, ours and stable-baselines3's in turns.

    Medians, with the lowest and the highest value behind them; a ratio above 1 says that ours is better. Nothing else should
    run meanwhile. Exit code 2 if a part failed.
    """
    from fetchbench.bench import bench as measure
    from fetchbench.bench import report
    from fetchbench.cli import text

    found = measure(parts or PARTS, QUICK if quick else FULL, threads, lambda line: click.echo(text.visible(line), err=True))
    if as_json:
        text.print_json(found.as_dict())
    else:
        click.echo("\n".join(map(text.visible, report.heading(found))))
        for part in found.parts:
            click.echo(f"\n{part.name}")
            if part.lines:
                click.echo(text.listing(report.HEADER, list(report.rows(part)), right=("ours", "other", "ratio")))
            for note in part.notes:
                click.echo(text.visible(f"note: {note}"))
    for part in found.parts:
        if part.problem:
            click.echo(text.visible(f"failed: {part.name}: {part.problem}"), err=True)
    context.exit(2 if found.failed else 0)
