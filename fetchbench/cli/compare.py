"""``fetchbench compare``: two methods of one suite, over all the tasks that both were run on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fetchbench.leaderboard import Row
    from fetchbench.records.schema import Method, Record
    from fetchbench.statistics import Interval
    from fetchbench.statistics.comparison import Comparison

RUNS = Path("runs")
LEVEL = 0.95


@click.command(short_help="Compare two methods of a suite.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--suite", metavar="NAME", help="The suite; needed where both methods stand in several.")
@click.option("--runs", is_flag=True, help="Count finished runs in ./runs too, not the published records alone.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def compare(a: str, b: str, suite: str | None, runs: bool, as_json: bool) -> None:
    """Say whether method A is better than method B, by their records in ./leaderboard.

    Per task, and over all tasks that both have: means, their difference with its 95 % interval, p by permutation of the two
    methods' labels within task, and how many seeds of each would tell a difference as large as the one seen, four times
    in five. One is called better only where p is below 0.05 and the interval over all tasks leaves out 0. p is for one
    comparison that was chosen before the scores were seen; the board adjusts it where a suite makes several.
    """
    from fetchbench.cli import text

    if a == b:
        raise click.UsageError(f"A and B are both {a!r}; name two methods")
    found = _compared(a, b, *_records(Path.cwd(), a, b, suite, runs))
    if as_json:
        return text.print_json(_as_json(found, runs))
    return _print(found, runs)


# -- which records ----------------------------------------------------------------------------------------------------


def _records(root: Path, a: str, b: str, suite: str | None, with_runs: bool) -> tuple[str, Sequence[Record]]:
    """The suite's name and its records, which are known to stand together."""
    from fetchbench.errors import FetchbenchError, UnknownNameError
    from fetchbench.leaderboard.collection import RECORDS, by_suite, read_published

    found = read_published(root)
    if with_runs:
        found |= _finished(suite)
    methods: dict[str, set[str]] = {}  # suite -> its methods, by the paths
    for path in found:
        name, method, *_ = path.relative_to(RECORDS).parts
        methods.setdefault(name, set()).add(method)
    where = "published or finished in ./runs" if with_runs else "published; `--runs` counts finished runs in ./runs too"
    if not methods:
        raise FetchbenchError(f"nothing to compare: no record is {where}")
    if suite is not None and suite not in methods:
        raise UnknownNameError("suite", suite, methods, f"These have records that are {where}.")
    candidates = methods if suite is None else {suite: methods[suite]}
    known = set[str]().union(*candidates.values())
    of_suite = f" of suite {suite}" if suite is not None else ""
    for name in (a, b):
        if name not in known:
            raise UnknownNameError("method", name, known, f"These have records{of_suite} that are {where}.")
    both = [name for name, of_suite in candidates.items() if {a, b} <= of_suite]
    if not both:
        places = "; ".join(f"{m} in {', '.join(sorted(s for s in methods if m in methods[s]))}" for m in (a, b))
        raise FetchbenchError(f"{a} and {b} are in no suite together, and only runs of one protocol can be compared: {places}")
    if len(both) > 1:
        raise FetchbenchError(f"{a} and {b} are both in {', '.join(sorted(both))}; say which with --suite")
    (name,) = both
    chosen = {path: record for path, record in found.items() if path.relative_to(RECORDS).parts[0] == name}
    return name, by_suite(chosen)[name]


def _finished(suite: str | None) -> dict[Path, Record]:
    """The records of finished runs, of one suite or of all, by the path that each would be published at."""
    from fetchbench.leaderboard.publishing import finished, suites_with_runs

    names = [suite] if suite is not None else suites_with_runs(RUNS)
    return {path: record for name in names for path, record in finished(name, RUNS)[0].items()}


# -- comparing --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Line:
    """The two methods on some tasks.

    Attributes:
        a: Mean of one method over seeds and tasks.
        b: Of the other.
        outcome: Difference, interval, p.
        needed: Seeds of each that would tell this difference; ``None`` where that cannot be said, or they are too many.
    """

    a: Interval
    b: Interval
    outcome: Comparison
    needed: int | None


@dataclasses.dataclass(frozen=True)
class _Compared:
    """Two methods of a suite.

    Attributes:
        suite: Its name.
        a: One method's rows, by task; tasks that it was not scored on are left out.
        b: The other's.
        tasks: Those that both have, each compared.
        whole: Over all of these.
    """

    suite: str
    a: Mapping[str, Row]
    b: Mapping[str, Row]
    tasks: Mapping[str, _Line]
    whole: _Line

    @property
    def methods(self) -> tuple[Method, Method]:
        first, second = (next(iter(rows.values())).method for rows in (self.a, self.b))
        return first, second

    @property
    def better(self) -> str | None:
        """The method that is better; ``None`` where no difference can be told."""
        outcome = self.whole.outcome
        return self.methods[outcome.difference < 0].name if outcome.told(outcome.p) else None

    @property
    def verdict(self) -> str:
        """In plain words."""
        from fetchbench.leaderboard import cells
        from fetchbench.statistics.comparison import ALPHA

        names, outcome = [method.name for method in self.methods], self.whole.outcome
        if self.better is not None:
            other = names[self.better == names[0]]
            return f"{self.better} is better than {other} ({_p(outcome.p)})."
        both = " and ".join(names)
        if outcome.p is None:
            return f"Too few seeds to tell {both} apart: it takes two of each on every task."
        if outcome.too_few_seeds():
            least = cells.p_value(outcome.least_p)
            return f"Too few seeds to tell {both} apart: {_p(outcome.p)}, and with so many it can never be below {least}."
        reason = _p(outcome.p) + (", but the interval holds 0" if outcome.p < ALPHA else "")
        return f"No difference can be told between {both} ({reason})."


def _p(value: float | None) -> str:
    from fetchbench.leaderboard import cells

    text = cells.p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _compared(a: str, b: str, suite: str, records: Sequence[Record]) -> _Compared:
    from fetchbench.errors import FetchbenchError
    from fetchbench.leaderboard import rows

    found = rows(record for record in records if record.request.method.name in (a, b))
    of_a, of_b = ({row.task: row for row in found if row.method.name == name and row.scored} for name in (a, b))
    common = [task for task in of_a if task in of_b]
    if not common:
        tasks = "; ".join(f"{name} on {', '.join(of) or 'none'}" for name, of in ((a, of_a), (b, of_b)))
        raise FetchbenchError(f"{a} and {b} have no task of suite {suite!r} in common. Scored: {tasks}")
    lines = {task: _line([task], of_a, of_b) for task in common}
    return _Compared(suite, of_a, of_b, lines, _line(common, of_a, of_b))


def _line(tasks: Sequence[str], a: Mapping[str, Row], b: Mapping[str, Row]) -> _Line:
    from fetchbench.leaderboard.rows import scores_and_floors
    from fetchbench.statistics import comparison

    (scores_a, floors_a), (scores_b, floors_b) = (scores_and_floors(of, tasks) for of in (a, b))
    return _Line(
        comparison.suite_mean(scores_a, floors_a, LEVEL),
        comparison.suite_mean(scores_b, floors_b, LEVEL),
        comparison.compare(scores_a, scores_b, floors_a, floors_b, LEVEL),
        comparison.seeds_needed(scores_a, scores_b, floors_a, floors_b, level=LEVEL),
    )


# -- telling ----------------------------------------------------------------------------------------------------------


def _print(found: _Compared, with_runs: bool) -> None:
    from fetchbench.cli import text
    from fetchbench.leaderboard import cells

    source = "published records and finished runs" if with_runs else "published records"
    click.echo(text.visible(f"{found.suite}, {source}"))
    for letter, method in zip("AB", found.methods, strict=True):
        click.echo(text.named(letter, f"{method.name}: {cells.varies(method)}", width=4))
    click.echo()
    lines = [(task, line) for task, line in found.tasks.items()]
    if len(lines) > 1:
        lines.append((f"mean of {len(lines)} tasks", found.whole))
    header = ["task", "seeds", "A", "B", "A - B", "95 % interval", "p", "seeds needed"]
    click.echo(text.listing(header, [_cells(*line) for line in lines], right=header[2:5] + header[6:]))
    click.echo(f"\n{text.visible(found.verdict)}")
    for line in [*_needed(found.whole), *_notes(found)]:
        click.echo(text.visible(line))


def _cells(name: str, line: _Line) -> list[str]:
    from fetchbench.leaderboard import cells

    outcome, interval = line.outcome, cells.MISSING
    if outcome.low is not None and outcome.high is not None:
        interval = f"[{cells.difference(outcome.low)}, {cells.difference(outcome.high)}]"
    return [
        name,
        " + ".join(map(str, outcome.seeds)),
        cells.rate(line.a.mean),
        cells.rate(line.b.mean),
        cells.difference(outcome.difference),
        interval,
        cells.p_value(outcome.p),
        str(line.needed or (f"> {_most_seeds()}" if _too_many(line) else cells.MISSING)),
    ]


def _most_seeds() -> int:
    from fetchbench.statistics.comparison import MOST_SEEDS

    return MOST_SEEDS


def _too_many(line: _Line) -> bool:
    """Whether so small a difference was seen that no number of seeds worth naming would tell it."""
    return line.needed is None and line.outcome.p is not None and abs(line.outcome.difference) > 1e-9


def _needed(line: _Line) -> list[str]:
    from fetchbench.leaderboard import cells

    if _too_many(line):
        return [f"To tell so small a difference, more than {_most_seeds()} seeds of each would be needed."]
    if line.needed is None:
        return []
    seen = cells.rate(abs(line.outcome.difference))
    return [f"To tell a true difference of {seen} four times in five, {line.needed} seeds of each are needed."]


def _notes(found: _Compared) -> list[str]:
    """What the table leaves out, or counts by a rule."""
    notes = []
    for method, of, other in zip(found.methods, (found.a, found.b), (found.b, found.a), strict=True):
        if alone := [task for task in of if task not in other]:
            notes.append(f"Left out: {', '.join(alone)}, on which only {method.name} was scored.")
        for status, rule in (("failed", "not scored"), ("diverged", "scored 0"), ("censored", "scored as they stood")):
            if number := sum(seed.status == status for task in found.tasks for seed in of[task].seeds):
                notes.append(f"{method.name}: {number} {status} {'run' if number == 1 else 'runs'}, {rule}.")
    return notes


def _as_json(found: _Compared, with_runs: bool) -> dict[str, Any]:
    def numbers(line: _Line) -> dict[str, Any]:
        outcome = {key: value for key, value in dataclasses.asdict(line.outcome).items() if key != "seeds"}
        return outcome | {"seeds_needed": line.needed}

    def side(row: Row, interval: Interval) -> dict[str, Any]:
        return {
            **dataclasses.asdict(interval),
            "seeds": [dataclasses.asdict(seed) for seed in row.seeds],
        }

    return {
        "suite": found.suite,
        "runs": with_runs,
        "level": LEVEL,
        "a": found.methods[0].model_dump(mode="json"),
        "b": found.methods[1].model_dump(mode="json"),
        "tasks": [
            {"task": task, "a": side(found.a[task], line.a), "b": side(found.b[task], line.b), **numbers(line)}
            for task, line in found.tasks.items()
        ],
        "all": {
            "a": dataclasses.asdict(found.whole.a),
            "b": dataclasses.asdict(found.whole.b),
            "fewest_seeds": list(found.whole.outcome.seeds),
            **numbers(found.whole),
        },
        "better": found.better,
        "verdict": found.verdict,
        "notes": _notes(found),
    }
