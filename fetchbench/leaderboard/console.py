"""The board's rows for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fetchbench.leaderboard import cells
from fetchbench.leaderboard.rows import Row

if TYPE_CHECKING:
    from rich.table import Table


def console_table(rows: Sequence[Row]) -> Table:
    """The rows as a rich table: what ``fetchbench run`` ends with."""
    # rich takes a tenth of a second to import, and publishing needs none of it.
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    several_tasks = len({row.task for row in rows}) > 1
    if several_tasks:
        table.add_column("task")
    table.add_column("rank", justify="right")
    table.add_column("method", overflow="fold")
    table.add_column("success", no_wrap=True)
    table.add_column("every seed")
    for name in ("solved", "any step", "take-off", "core-min"):
        table.add_column(name, justify="right")
    table.add_column("status")
    for row in rows:
        mean = cells.rate(row.success.mean if row.success else None)
        # A record's text is never markup: everything goes in as plain Text.
        texts = [
            *([row.task] if several_tasks else []),
            cells.MISSING if row.rank is None else str(row.rank),
            f"{row.method.name} (anchor)" if row.anchor else row.method.name,
            f"{mean} {cells.interval(row)}".rstrip(),
            cells.seed_scores(row),
            cells.solved(row),
            cells.rate(row.any_step),
            cells.takeoff(row),
            cells.minutes(row.core_minutes),
            row.evidence,
        ]
        table.add_row(*map(Text, texts), style="dim" if row.anchor else "")
    return table
