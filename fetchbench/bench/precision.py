"""Does a fast precision learn as float32 does? Judged over seeds that were run once with each.

``python -m fetchbench.bench.precision PLAIN FAST`` reads the records below two folders: the same runs, made with
``fetchbench run precision-v1 --method manipulation --precision float32`` in one workspace and ``bfloat16`` in another.
``--longer FOLDER`` holds such runs with a larger budget, which went as the shorter ones did as long as those lasted: when a run
came to 0.8 that had not in its own budget is read from them.

Two runs of a seed share initial weights, resets and evaluation episodes, so the differences are paired. The criterion was fixed
before any of it was run: the 90 % interval of the difference must lie within 0.1 in success, and within 20 % in steps to 0.8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from fetchbench.errors import FetchbenchError
from fetchbench.records.schema import EvaluationPoint, Record
from fetchbench.records.store import read_record
from fetchbench.statistics import student_interval

LEVEL = 0.9
SOLVED = 0.8
MARGIN_SUCCESS = 0.1
MARGIN_STEPS = 0.2
PLAIN = ("float32", "none")


@dataclass(frozen=True)
class Paired:
    """A mean difference over pairs and its interval."""

    mean: float
    low: float
    high: float

    def within(self, low: float, high: float) -> bool:
        return low <= self.low and self.high <= high


@dataclass(frozen=True)
class Verdict:
    """Fast against plain.

    Attributes:
        seeds: In rising order.
        scores: ``(plain, fast)`` per seed.
        steps: Steps to 0.8, ``(plain, fast)`` per seed; ``None`` where a run never came to it.
        success: Difference fast - plain of the scores.
        longer: Which of them are read from a longer run, ``(plain, fast)`` per seed.
        ratio: Ratio fast / plain of the steps, of the pairs whose runs both came to 0.8; ``None`` where fewer than two did.
        holds: Whether both intervals lie within their margins, and no run stayed below 0.8.
    """

    seeds: tuple[int, ...]
    scores: tuple[tuple[float, float], ...]
    steps: tuple[tuple[float | None, float | None], ...]
    longer: tuple[tuple[bool, bool], ...]
    success: Paired
    ratio: Paired | None
    holds: bool

    @property
    def reached(self) -> int:
        """Pairs of which both runs came to 0.8."""
        return sum(None not in pair for pair in self.steps)


def steps_to(evaluations: Sequence[EvaluationPoint], rate: float, window: int) -> float | None:
    """Steps at which the mean success of the last ``window`` evaluations first reaches a rate, interpolated between them.

    Returns:
        ``None`` if it never does.
    """
    before = None
    for i in range(window, len(evaluations) + 1):
        mean = math.fsum(point.success for point in evaluations[i - window : i]) / window
        steps = evaluations[i - 1].steps
        if mean >= rate:
            if before is None:
                return float(steps)
            then, was = before
            return then + (rate - was) / (mean - was) * (steps - then)
        before = (steps, mean)
    return None


def paired(differences: Sequence[float], level: float = LEVEL) -> Paired:
    """Student's t interval of the mean of paired differences.

    Raises:
        ValueError: Fewer than two pairs.
    """
    mean, half = student_interval(differences, level)
    return Paired(mean, mean - half, mean + half)


def compare(plain: Sequence[Record], fast: Sequence[Record], longer: Sequence[Record] = ()) -> Verdict:
    """Judge the runs of one method with two precisions.

    Args:
        plain: In float32, not compiled.
        fast: The same runs, otherwise.
        longer: Some of them again, with a larger budget.

    Raises:
        FetchbenchError: The records are not pairs of the same runs, of which one is plain; or a longer run is none of them.
    """
    if len({(r.request.method.name, r.request.task) for r in (*plain, *fast)}) != 1:
        raise FetchbenchError("the records must be of one method on one task; name its folder")
    by_key = {record.request.key: record for record in fast}
    if sorted(by_key) != sorted(record.request.key for record in plain) or len(plain) < 2:
        raise FetchbenchError(f"{len(plain)} plain and {len(fast)} fast records are not the same runs, two or more of them")
    pairs = [(record, by_key[record.request.key]) for record in sorted(plain, key=lambda record: record.request.seed)]
    if any(_arithmetic(a) != PLAIN or _arithmetic(b) == PLAIN for a, b in pairs):
        raise FetchbenchError("each pair must be one run in float32 that was not compiled, and one that was, or in bfloat16")
    scores = tuple((a.result.score or 0.0, b.result.score or 0.0) for a, b in pairs)
    window = pairs[0][0].request.evaluation.last
    goes_on = {_run(record): record for record in longer}
    if unknown := goes_on.keys() - {_run(record) for pair in pairs for record in pair}:
        raise FetchbenchError(f"no longer run of any that are compared: {'; '.join(sorted(map(str, unknown)))}")
    times = [(_time(a, goes_on, window), _time(b, goes_on, window)) for a, b in pairs]
    steps = tuple((a[0], b[0]) for a, b in times)
    success = paired([b - a for a, b in scores])
    reached = [(a, b) for a, b in steps if a is not None and b is not None]
    ratio = None
    if len(reached) >= 2:
        logs = paired([math.log(b / a) for a, b in reached])
        ratio = Paired(math.exp(logs.mean), math.exp(logs.low), math.exp(logs.high))
    seeds = tuple(a.request.seed for a, _ in pairs)
    holds = success.within(-MARGIN_SUCCESS, MARGIN_SUCCESS)
    holds &= ratio is not None and ratio.within(1 - MARGIN_STEPS, 1 + MARGIN_STEPS) and len(reached) == len(steps)
    return Verdict(seeds, scores, steps, tuple((a[1], b[1]) for a, b in times), success, ratio, holds)


def _time(record: Record, longer: Mapping[tuple[str, ...], Record], window: int) -> tuple[float | None, bool]:
    """Steps to 0.8, and whether they are a longer run's.

    Raises:
        FetchbenchError: The longer run went otherwise.
    """
    steps, more = steps_to(record.result.evaluations, SOLVED, window), longer.get(_run(record))
    if more is None:
        return steps, False
    if more.result.evaluations[: len(record.result.evaluations)] != record.result.evaluations:
        raise FetchbenchError(
            f"the longer run of seed {record.request.seed} went otherwise from the start; run it on the same machine"
        )
    return (steps, False) if steps else (steps_to(more.result.evaluations, SOLVED, window), True)


def _run(record: Record) -> tuple[str, ...]:
    """What two runs have in common of which one has the larger budget."""
    request = record.request
    return request.method.name, request.task, f"seed {request.seed}", *_arithmetic(record)


def _arithmetic(record: Record) -> tuple[str, str]:
    return record.request.execution.precision, record.request.execution.compile


def table(verdict: Verdict) -> str:
    """The verdict as markdown."""

    def count(steps: float | None, longer: bool) -> str:
        return "-" if steps is None else f"{steps:,.0f}{'*' if longer else ''}"

    lines = ["| seed | success, float32 | fast | steps to 0.8, float32 | fast |", "| --: | --: | --: | --: | --: |"]
    for seed, score, steps, longer in zip(verdict.seeds, verdict.scores, verdict.steps, verdict.longer, strict=True):
        counts = f"{count(steps[0], longer[0])} | {count(steps[1], longer[1])}"
        lines.append(f"| {seed} | {score[0]:.2f} | {score[1]:.2f} | {counts} |")
    s, r = verdict.success, verdict.ratio
    if any(map(any, verdict.longer)):
        lines += ["", "\\* of the same run with a larger budget"]
    lines += ["", f"Success, fast - float32: {s.mean:+.3f} [{s.low:+.3f}, {s.high:+.3f}]"]
    if r:
        of = "" if verdict.reached == len(verdict.steps) else f", of the {verdict.reached} pairs that both reached it"
        lines.append(f"Steps to 0.8, fast / float32: {r.mean:.2f} [{r.low:.2f}, {r.high:.2f}]{of}")
    else:
        lines.append("Too few runs reached 0.8")
    lines.append("Within the margins: " + ("yes" if verdict.holds else "no"))
    return "\n".join(lines)


def read_folder(folder: Path) -> list[Record]:
    """Every record below a folder.

    Raises:
        RecordError: One of them is damaged.
    """
    return [read_record(path) for path in sorted(folder.rglob("record.json"))]


@click.command()
@click.argument("plain", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("fast", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--longer", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Some of them, run for longer.")
def main(plain: Path, fast: Path, longer: Path | None) -> None:
    """Compare the records below two folders."""
    try:
        more = read_folder(longer) if longer else []
        click.echo(table(compare(read_folder(plain), read_folder(fast), more)))
    except FetchbenchError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
