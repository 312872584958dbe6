"""Which methods of a suite are compared, and the text that says so: each with the baseline, and pairs named beforehand.

The p values of one table are adjusted for the number of its lines (Holm 1979). A line reads as *better* or *worse* only where
the adjusted p is below 0.05 and the interval leaves out 0. On a single task, few seeds cannot carry many comparisons:
with five against five the smallest p is 0.008, and ten methods could never differ. So there it takes ten seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fetchbench.leaderboard import cells
from fetchbench.leaderboard.markdown import escape, table
from fetchbench.leaderboard.notes import SuiteNotes
from fetchbench.leaderboard.rows import Row, scores_and_floors
from fetchbench.suite.reading import MOST_CONTRASTS

if TYPE_CHECKING:
    from fetchbench.statistics.comparison import Comparison

SEEDS_ON_ONE_TASK = 10


@dataclass(frozen=True)
class Compared:
    """One line of a table of comparisons: ``first`` - ``second``.

    Attributes:
        first: A method.
        second: Another.
        outcome: Difference, interval, p and numbers of seeds; ``None`` where one of the two lacks a scored task.
        adjusted_p: Holm's, over all lines of the table, those without a p among them; ``None`` without a p.
        lines: Of the table.
    """

    first: str
    second: str
    outcome: Comparison | None
    adjusted_p: float | None = None
    lines: int = 1


def comparisons(found: Sequence[Row], notes: SuiteNotes) -> list[str]:
    """Markdown for a suite's comparisons: tables, or why there is none; empty where a suite declares nothing to compare.

    Args:
        found: The rows of every task of one suite.
        notes: Baseline and contrasts.
    """
    if notes.baseline is None and not notes.contrasts:
        return []
    methods = _by_method(found)
    lines = ["### Comparisons", ""]
    refused = _refusal(methods, notes)
    if notes.baseline is not None and not refused:
        others = [name for name, of_task in methods.items() if name != notes.baseline and not _is_anchor(of_task)]
        lines += [f"**Each method against the baseline `{notes.baseline}`**", ""]
        lines += [*_table(_compared([(name, notes.baseline) for name in others], methods, notes)), ""] if others else []
    if refused:
        lines += [refused, ""]
    if notes.contrasts:
        refused = _contrasts_refusal(methods, notes)
        lines += (
            [refused]
            if refused
            else ["**Contrasts named beforehand**", "", *_table(_compared(notes.contrasts, methods, notes))]
        )
        lines.append("")
    while lines[-1] == "":
        lines.pop()
    return lines


def _by_method(found: Sequence[Row]) -> dict[str, dict[str, Row]]:
    methods: dict[str, dict[str, Row]] = {}
    for row in found:
        methods.setdefault(row.method.name, {})[row.task] = row
    return methods


def _is_anchor(of_task: Mapping[str, Row]) -> bool:
    return next(iter(of_task.values())).anchor


def _tasks(methods: Mapping[str, Mapping[str, Row]], notes: SuiteNotes) -> list[str]:
    """All that the suite asks for, run or not: a difference over fewer would be another one."""
    return sorted({*notes.tasks, *(task for of_task in methods.values() for task in of_task)})


def _seeds(of_task: Mapping[str, Row]) -> int:
    return min(row.scored for row in of_task.values())


def _competing(methods: Mapping[str, Mapping[str, Row]], notes: SuiteNotes) -> dict[str, int]:
    """Scored seeds of every method that is no anchor, and of the baseline."""
    return {name: _seeds(of_task) for name, of_task in methods.items() if name == notes.baseline or not _is_anchor(of_task)}


def _refusal(methods: Mapping[str, Mapping[str, Row]], notes: SuiteNotes) -> str:
    """Why there is no table of each method against the baseline; empty where there is one."""
    if notes.baseline is None:
        return ""
    if notes.baseline not in methods:
        return f"Nothing is compared with the baseline `{notes.baseline}`: it has no record yet."
    if len(_tasks(methods, notes)) > 1:
        return ""
    competing = _competing(methods, notes)
    if min(competing.values()) >= SEEDS_ON_ONE_TASK:
        return ""
    fewest = min(competing, key=lambda name: (competing[name], name))
    return (
        f"There is no table of each method against the baseline `{notes.baseline}`: on one task every method would need "
        f"{SEEDS_ON_ONE_TASK} scored seeds, and `{fewest}` has {competing[fewest]}."
    )


def _contrasts_refusal(methods: Mapping[str, Mapping[str, Row]], notes: SuiteNotes) -> str:
    """Why the contrasts are not tested; empty where they are."""
    number = len(notes.contrasts)
    if len(_tasks(methods, notes)) > 1 or min(_competing(methods, notes).values(), default=0) >= SEEDS_ON_ONE_TASK:
        return ""
    seeds = {name: _seeds(of_task) for name, of_task in methods.items()}
    if notes.baseline is None or seeds.get(notes.baseline, 0) < SEEDS_ON_ONE_TASK:
        has = "none is declared" if notes.baseline is None else f"`{notes.baseline}` has {seeds.get(notes.baseline, 0)}"
        return (
            f"The {_contrasts(number)} named beforehand {'is' if number == 1 else 'are'} not tested yet: on one task the "
            f"baseline needs {SEEDS_ON_ONE_TASK} scored seeds, and {has}."
        )
    if number > MOST_CONTRASTS:
        return (
            f"The {_contrasts(number)} named beforehand are not tested: on one task {MOST_CONTRASTS} are the most that five "
            "seeds against ten can carry."
        )
    return ""


def _contrasts(number: int) -> str:
    return "contrast" if number == 1 else f"{number} contrasts"


def _compared(pairs: Sequence[tuple[str, str]], methods: Mapping[str, Mapping[str, Row]], notes: SuiteNotes) -> list[Compared]:
    from fetchbench.statistics.comparison import holm

    tasks = _tasks(methods, notes)
    outcomes = [_outcome(methods.get(a, {}), methods.get(b, {}), tasks) for a, b in pairs]
    p_values = [None if outcome is None else outcome.p for outcome in outcomes]
    # What is not run yet counts, so that the others' p do not rise when it is.
    adjusted = holm([1.0 if p is None else p for p in p_values])
    return [
        Compared(*pair, outcome, None if p is None else of_all, len(pairs))
        for pair, outcome, p, of_all in zip(pairs, outcomes, p_values, adjusted, strict=True)
    ]


def _outcome(a: Mapping[str, Row], b: Mapping[str, Row], tasks: Sequence[str]) -> Comparison | None:
    from fetchbench.statistics.comparison import compare

    if any(task not in rows or not rows[task].scored for rows in (a, b) for task in tasks):
        return None
    (scores_a, floors_a), (scores_b, floors_b) = (scores_and_floors(rows, tasks) for rows in (a, b))
    return compare(scores_a, scores_b, floors_a, floors_b)


def _table(compared: Sequence[Compared]) -> list[str]:
    header = ["Method", "Against", "Difference [95 %]", "Seeds", "p", "p, Holm", "Reads as"]
    return table(header, "llccrrl", [_line(line) for line in compared])


def _line(line: Compared) -> list[str]:
    names = [f"**{escape(line.first)}**", escape(line.second)]
    if line.outcome is None:
        return [*names, *[cells.MISSING] * 4, "not all run"]
    outcome = line.outcome
    difference = f"**{cells.difference(outcome.difference)}**"
    if outcome.low is not None and outcome.high is not None:
        difference += f" [{cells.difference(outcome.low)}, {cells.difference(outcome.high)}]"
    seeds = " + ".join(map(str, outcome.seeds))
    return [*names, difference, seeds, cells.p_value(outcome.p), cells.p_value(line.adjusted_p), _verdict(line, outcome)]


def _verdict(line: Compared, outcome: Comparison) -> str:
    if outcome.told(line.adjusted_p):
        return "better" if outcome.difference > 0 else "worse"
    return "too few seeds" if outcome.too_few_seeds(line.lines) else "not told apart"
