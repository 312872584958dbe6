"""The board's rows for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fetchbench.leaderboard import cells, goal_columns
from fetchbench.leaderboard.rows import Row

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table

_SPARED = ("core-min", "any step", "take-off", "rank corr.", "rank", "solved")
"""Columns that a narrow terminal does without, the first to go first."""

_SPARED_LAST = ("status", "every seed")
"""Columns that go only where the seeds' scores, wrapped, still leave no room: cut text would tell another number."""

_SEEDS = "every seed"
_SEEDS_WIDTH = 20
"""Columns beyond which the seeds' scores wrap rather than push another column out."""
_SEEDS_NARROWEST = 10
"""Columns below which they are no longer read."""

_GAP = 3


@dataclass(frozen=True)
class _Column:
    name: str
    texts: Sequence[str]
    justify: Literal["left", "right"] = "left"

    @property
    def width(self) -> int:
        return min(self._longest, _SEEDS_WIDTH) if self.name == _SEEDS else self._longest

    @property
    def narrowest(self) -> int:
        return min(self._longest, _SEEDS_NARROWEST) if self.name == _SEEDS else self._longest

    @property
    def _longest(self) -> int:
        return max(map(len, (self.name, *self.texts)))


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
    columns = [
        *several,
        _Column("rank", [cells.rank(row) for row in rows], "right"),
        _Column("method", [f"{row.method.name} (anchor)" if row.anchor else row.method.name for row in rows]),
        _Column("track", [row.method.track for row in rows]),
        _Column("reward", [row.reward for row in rows]),
        _Column("success", [f"{mean} {cells.interval(row.success)}".rstrip() for mean, row in zip(means, rows, strict=True)]),
        _Column(_SEEDS, [cells.seed_scores(row) for row in rows]),
        _Column("solved", [cells.solved(row) for row in rows], "right"),
        _Column("any step", [cells.rate(row.any_step) for row in rows], "right"),
        _Column("take-off", [cells.takeoff(row) for row in rows], "right"),
        _Column("rank corr.", [cells.correlation(row.rank_correlation) for row in rows], "right"),
        _Column("core-min", [cells.minutes(row.core_minutes) for row in rows], "right"),
        _Column("status", [row.evidence for row in rows]),
    ]
    left_out = goal_columns.left_out(rows)
    return [column for column in columns if column.name not in left_out]


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    for spared in _SPARED:
        if sum(column.width + _GAP for column in columns) <= width:
            break
        columns = [column for column in columns if column.name != spared]
    for spared in _SPARED_LAST:
        if sum(column.narrowest + _GAP for column in columns) <= width:
            break
        columns = [column for column in columns if column.name != spared]
    return columns
