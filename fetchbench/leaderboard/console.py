"""The board's rows for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fetchbench.leaderboard import cells
from fetchbench.leaderboard.rows import Row

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table

_SPARED = ("core-min", "any step", "take-off", "rank", "solved")
"""Columns that a narrow terminal does without, the first to go first."""

_SEEDS = "every seed"
_SEEDS_WIDTH = 20
"""Columns beyond which the seeds' scores wrap rather than push another column out."""

_GAP = 3


@dataclass(frozen=True)
class _Column:
    name: str
    texts: Sequence[str]
    justify: Literal["left", "right"] = "left"

    @property
    def width(self) -> int:
        longest = max(map(len, (self.name, *self.texts)))
        return min(longest, _SEEDS_WIDTH) if self.name == _SEEDS else longest


@dataclass(frozen=True)
class ConsoleTable:
    """Rows that rich can print: what ``fetchbench run`` ends with. What does not fit the terminal is left out."""

    rows: Sequence[Row]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        # rich takes a tenth of a second to import, and publishing needs none of it.
        from rich import box
        from rich.table import Table
        from rich.text import Text

        columns = _fitting(_columns(self.rows), options.max_width)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(column.name, justify=column.justify, no_wrap=column.name != _SEEDS, overflow="fold")
        for number, row in enumerate(self.rows):
            # A record's text is never markup: everything goes in as plain Text.
            table.add_row(*(Text(column.texts[number]) for column in columns), style="dim" if row.anchor else "")
        yield table


def console_table(rows: Sequence[Row]) -> ConsoleTable:
    """The rows, for rich to print."""
    return ConsoleTable(rows)


def _columns(rows: Sequence[Row]) -> list[_Column]:
    tasks = [row.task for row in rows]
    several = [_Column("task", tasks)] if len(set(tasks)) > 1 else []
    means = [cells.rate(row.success.mean if row.success else None) for row in rows]
    return [
        *several,
        _Column("rank", [cells.MISSING if row.rank is None else str(row.rank) for row in rows], "right"),
        _Column("method", [f"{row.method.name} (anchor)" if row.anchor else row.method.name for row in rows]),
        _Column("success", [f"{mean} {cells.interval(row)}".rstrip() for mean, row in zip(means, rows, strict=True)]),
        _Column(_SEEDS, [cells.seed_scores(row) for row in rows]),
        _Column("solved", [cells.solved(row) for row in rows], "right"),
        _Column("any step", [cells.rate(row.any_step) for row in rows], "right"),
        _Column("take-off", [cells.takeoff(row) for row in rows], "right"),
        _Column("core-min", [cells.minutes(row.core_minutes) for row in rows], "right"),
        _Column("status", [row.evidence for row in rows]),
    ]


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    for spared in _SPARED:
        if sum(column.width + _GAP for column in columns) <= width:
            break
        columns = [column for column in columns if column.name != spared]
    return columns
