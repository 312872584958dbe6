"""A suite of several tasks: each method over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fetchbench.leaderboard.rows import DECIMALS, Row, scores_and_floors
from fetchbench.records.schema import Method
from fetchbench.statistics import Evidence, Interval, evidence, ranks, shown


@dataclass(frozen=True)
class SuiteRow:
    """One method over a suite's tasks.

    Attributes:
        method: The method.
        rank: Place by mean success; ``None`` for anchors, drafts and methods that lack a task.
        tied: Whether another method has the same rank.
        evidence: What the number of scored seeds is worth, on the task that has the fewest.
        success: Mean over the tasks of the means over seeds, with its 95 % interval; ``None`` where a task is missing.
        area: Mean over the tasks of the areas under the success curves; ``None`` where a task is missing.
        of_task: Task -> its row; without the tasks that have none.
    """

    method: Method
    rank: int | None
    tied: bool
    evidence: Evidence
    success: Interval | None
    area: float | None
    of_task: Mapping[str, Row]

    @property
    def anchor(self) -> bool:
        """Whether it is a bound to compare with, not a competitor."""
        return next(iter(self.of_task.values())).anchor


def suite_rows(found: Sequence[Row], tasks: Iterable[str] = ()) -> list[SuiteRow]:
    """The methods of a suite over all its tasks, the highest mean first, the anchors last.

    Args:
        found: The rows of every task of one suite.
        tasks: Those that the suite asks for; a method that lacks one has no mean, also where nobody ran it.
    """
    tasks = sorted({*tasks, *(row.task for row in found)})
    of_method: dict[str, dict[str, Row]] = {}
    for row in found:
        of_method.setdefault(row.method.name, {})[row.task] = row
    unranked = [_row(tasks, of_task) for of_task in of_method.values()]
    means = [None if row.success is None else row.success.mean for row in unranked]
    competing = [None if r.anchor or r.evidence == "draft" else mean for r, mean in zip(unranked, means, strict=True)]
    places = ranks(competing, DECIMALS)
    placed = [
        SuiteRow(r.method, rank, rank is not None and places.count(rank) > 1, r.evidence, r.success, r.area, r.of_task)
        for r, rank in zip(unranked, places, strict=True)
    ]
    return sorted(placed, key=_order)


def _order(row: SuiteRow) -> tuple[bool, float, str]:
    mean = -1.0 if row.success is None else shown(row.success.mean, DECIMALS)
    return row.anchor, -mean, row.method.name


def _row(tasks: Sequence[str], of_task: Mapping[str, Row]) -> SuiteRow:
    from fetchbench.statistics.comparison import suite_mean

    method = next(iter(of_task.values())).method
    scored = [of_task[task].scored if task in of_task else 0 for task in tasks]
    success, area = None, None
    if all(scored):
        success = suite_mean(*scores_and_floors(of_task, tasks))
        areas = [row.area for row in of_task.values() if row.area is not None]
        area = math.fsum(areas) / len(areas)
    return SuiteRow(method, None, False, evidence(min(scored)), success, area, dict(of_task))
