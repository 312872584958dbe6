"""``fetchbench verify``."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fetchbench.execution.repeating import Verification
    from fetchbench.execution.verifying import Examined


@click.command(short_help="Run a published record again and compare.")
@click.option("--suite", metavar="NAME", help="Of this suite alone.")
@click.option(
    "--run",
    "run",
    nargs=3,
    type=(str, str, click.IntRange(min=0)),
    metavar="METHOD TASK SEED",
    help="Verify this run, not one that is drawn.",
)
@click.option("--seed-of-draw", "draw", type=click.IntRange(min=0), metavar="N", help="Draw as the call that printed N did.")
@click.option("--check-only", is_flag=True, help="Run nothing: name the records that were edited or cannot be verified here.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Run in this folder and leave it; another call goes on there.",
)
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Load this plugin file, which a run needs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def verify(
    context: click.Context,
    suite: str | None,
    run: tuple[str, str, int] | None,
    draw: int | None,
    check_only: bool,
    keep: Path | None,
    plugins: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Draw one of the records in ./leaderboard/records, run it again in a temporary folder, and compare the two.

    On the record's own packages and hardware the results have to be equal: identical. Elsewhere the new score has to lie where
    another seed of the method would: consistent. Exit code 1 where it does not, or where any record was edited by hand.
    """
    from fetchbench.errors import FetchbenchError
    from fetchbench.execution.verifying import examine, installed
    from fetchbench.leaderboard.collection import RECORDS

    if check_only and (run or draw is not None or keep):
        raise click.UsageError("--check-only runs nothing: leave out --run, --seed-of-draw and --keep")
    if run and draw is not None:
        raise click.UsageError("--run names the run, and --seed-of-draw draws it: leave one out")
    if not any(RECORDS.rglob("*.json")):
        raise FetchbenchError(f"nothing to verify: there are no records in {RECORDS}; `fetchbench publish` puts them there")
    examined = examine(RECORDS, installed(plugins))
    if check_only:
        return _check(context, [one for one in examined if suite in (None, one.suite)], suite, as_json)
    return _verify(context, examined, suite, run, draw, keep, plugins, as_json)


def _check(context: click.Context, examined: Sequence[Examined], suite: str | None, as_json: bool) -> None:
    from fetchbench.cli import text
    from fetchbench.errors import FetchbenchError

    if not examined:
        raise FetchbenchError(f"no record of suite {suite!r} is published")
    counts = Counter(one.standing for one in examined)
    if as_json:
        records = [{"record": str(one.path), "standing": one.standing, "reason": one.reason or None} for one in examined]
        text.print_json({"records": records, "counts": counts})
    else:
        _print_others(examined)
        parts = [f"{counts['verifiable']} can be verified here"]
        parts += [f"{counts['elsewhere']} cannot"] if counts["elsewhere"] else []
        parts += [f"{counts['edited']} edited or damaged"] if counts["edited"] else []
        click.echo(f"{len(examined)} records: {', '.join(parts)}")
    context.exit(1 if counts["edited"] else 0)


def _verify(
    context: click.Context,
    examined: Sequence[Examined],
    suite: str | None,
    run: tuple[str, str, int] | None,
    draw: int | None,
    keep: Path | None,
    plugins: Sequence[Path],
    as_json: bool,
) -> None:
    from fetchbench.cli import text
    from fetchbench.cli.progress import display
    from fetchbench.execution.repeating import compare, run_again
    from fetchbench.execution.verifying import choose, row_of

    edited = [one for one in examined if one.standing == "edited"]
    if not as_json:
        _print_others(edited)
    one, number = choose(examined, suite=suite, run=run, draw=draw)
    assert one.record is not None  # it can be verified
    took = text.duration(one.record.cost.wall_s)
    drawn = "" if number is None else f", drawn with --seed-of-draw {number}"
    click.echo(f"running {one.path} again{drawn}; it took {took} when it was recorded", err=True)
    with _folder(keep) as folder, display() as watch:
        again = run_again(one.record, folder, plugins=plugins, watch=watch)
    found = compare(one.record, again, row_of(examined, one))
    if as_json:
        text.print_json(_as_json(one, number, found) | {"edited": [str(other.path) for other in edited]})
    else:
        click.echo(text.visible(f"{found.verdict}: {one.path}: {found.reason}"))
        if found.verdict == "identical" and found.differences:
            click.echo(text.named("though", "; ".join(found.differences)))
        if found.verdict not in ("identical", "consistent") and keep is None:
            click.echo("--keep FOLDER leaves what the new run wrote, to look into")
    context.exit(0 if found.verdict in ("identical", "consistent") and not edited else 1)


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="fetchbench-verify-") as folder:
        yield Path(folder)


def _print_others(examined: Sequence[Examined]) -> None:
    """The records that cannot be verified, with the reason."""
    from fetchbench.cli import text

    words = {"edited": "edited or damaged", "elsewhere": "cannot be verified here"}
    for one in examined:
        if one.standing != "verifiable":
            click.echo(text.visible(f"{words[one.standing]}: {one.path}: {one.reason}"))


def _as_json(one: Examined, number: int | None, found: Verification) -> dict[str, Any]:
    from fetchbench.execution.repeating import comparable

    results = {"published": found.published.result, "again": comparable(found.again.result, found.published.result)}
    told = {
        name: {"status": result.status, "score": result.score, "sha256": result.digest()} for name, result in results.items()
    }
    rest = {name: getattr(found, name) for name in ("verdict", "reason", "differences", "interval")}
    return {"record": str(one.path), "draw": number, **told, **rest}
