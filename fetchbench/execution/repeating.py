"""Running a published record's request again, and what the new record says of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from fetchbench.errors import FetchbenchError
from fetchbench.execution.jobs import prepare
from fetchbench.execution.progress import Progress
from fetchbench.execution.scheduling import COMMAND, execute
from fetchbench.records.differences import first_difference
from fetchbench.records.schema import LATER_FIELDS, Provenance, Record, Result
from fetchbench.records.store import read_record
from fetchbench.statistics import binomial_variance, student_quantile
from fetchbench.suite import run_directory

Verdict: TypeAlias = Literal["identical", "consistent", "differs", "undecided"]

LEVEL = 0.95


@dataclass(frozen=True)
class Verification:
    """A record, and the one that running it again gave.

    Attributes:
        published: The record.
        again: The new one.
        verdict: ``identical``: the results' digests are equal. ``consistent``: they are not, and need not be here, but the new
            score lies where another seed's would. ``differs``: neither. ``undecided``: there are no other seeds to tell by.
        reason: Why, in one line.
        differences: What differs between the two machines, of all that may change the last bits.
        interval: Where the score of one more seed is expected; ``None`` where it was not asked or there is none.
    """

    published: Record
    again: Record
    verdict: Verdict
    reason: str
    differences: tuple[str, ...] = ()
    interval: tuple[float, float] | None = None


def run_again(
    record: Record,
    folder: Path,
    *,
    plugins: Sequence[Path] = (),
    watch: Callable[[Sequence[Progress]], None] = lambda runs: None,
    command: Sequence[str] = COMMAND,
) -> Record:
    """Run a record's own request: same device, threads, precision and compile mode.

    Args:
        record: Of it only the request is used.
        folder: Where it runs, in a folder of its own; what an interrupted call left there is continued.
        plugins: Plugin files that it needs.
        watch: As :func:`fetchbench.execution.execute` has it.
        command: Likewise.

    Raises:
        FetchbenchError: It came to no record.
        KeyboardInterrupt: It was interrupted, be it while another command was at it.
    """
    jobs = prepare(folder, [record.request])
    suite_sha256 = record.provenance.suite_sha256
    outcome = execute(jobs, slots=1, plugins=plugins, suite_sha256=suite_sha256, watch=watch, command=command)[0]
    if outcome.state in ("stopped", "waiting", "elsewhere"):
        raise KeyboardInterrupt
    if not outcome.recorded:
        raise FetchbenchError(f"{outcome.job.label}: could not be run again: {outcome.message or outcome.state}")
    return read_record(folder / run_directory(record.request) / "record.json")


def compare(published: Record, again: Record, row: Sequence[Record]) -> Verification:
    """What running a record again says of it.

    Args:
        published: The record.
        again: The new one, of the same request.
        row: All records of its method on its task, itself included.
    """
    differences = machine_differences(published.provenance, again.provenance)
    one, other = published.result, comparable(again.result, published.result)
    if one.digest() == other.digest():
        return Verification(published, again, "identical", f"the results' sha256 is {one.sha256[:12]} in both", differences)
    if published.provenance.weights != again.provenance.weights:
        reason = "the networks began with other pretrained weights than those of the record"
        return Verification(published, again, "differs", reason, differences)
    exact = published.request.execution.device == "cpu"
    if exact and not differences:
        found = first_difference(*(result.model_dump(mode="json", exclude={"sha256"}) for result in (one, other)))
        where = f"{found.place}: {found.one} then, {found.other} now" if found else "their digests"
        reason = f"packages and hardware are the record's, so the results have to be equal, and are not: {where}"
        return Verification(published, again, "differs", reason)
    why = f"not the record's machine ({'; '.join(differences)})" if differences else "a GPU's sums have no fixed order"
    return _by_score(published, again, row, differences, why)


def _by_score(published: Record, again: Record, row: Sequence[Record], differences: tuple[str, ...], why: str) -> Verification:
    one, other = published.result, again.result
    if one.score is None or other.score is None:
        verdict: Verdict = "consistent" if one.status == other.status else "differs"
        return Verification(published, again, verdict, f"{one.status} then, {other.status} now; {why}", differences)
    scores = [record.result.score for record in row if record.result.score is not None]
    counted = min(len(one.evaluations), published.request.evaluation.last) * published.request.evaluation.episodes
    interval = prediction_interval(scores, max(1, counted))
    if interval is None:
        reason = f"{why}, and one seed says nothing of how far others lie from it: {one.score:.2f} then, {other.score:.2f} now"
        return Verification(published, again, "undecided", reason, differences)
    inside = interval[0] <= other.score <= interval[1]
    reason = (
        f"score {other.score:.2f}, {one.score:.2f} in the record; one more seed of this method falls into "
        f"[{interval[0]:.2f}, {interval[1]:.2f}] 19 times in 20, by its {len(scores)} seeds; {why}"
    )
    return Verification(published, again, "consistent" if inside else "differs", reason, differences, interval)


def comparable(again: Result, published: Result) -> Result:
    """A result without the fields that older records do not have, where the published one has none of them."""
    empty = {name: Result.model_fields[name].get_default(call_default_factory=True) for name in LATER_FIELDS}
    return again.model_copy(update={name: value for name, value in empty.items() if not getattr(published, name)})


def machine_differences(one: Provenance, other: Provenance) -> tuple[str, ...]:
    """What differs of packages and hardware: ``torch 2.15.0 then, 2.16.0 now``. The number of cores changes no result."""
    before = {**one.packages, **_machine(one)}
    now = {**other.packages, **_machine(other)}
    return tuple(f"{name} {value} then, {now.get(name)} now" for name, value in before.items() if now.get(name) != value)


def _machine(origin: Provenance) -> dict[str, str]:
    named = {"Python": origin.python, "platform": origin.platform, "processor": origin.processor, "GPU": origin.gpu or "none"}
    return named | {"renderer": " ".join(origin.renderer.values()) or "none"}


def prediction_interval(scores: Sequence[float], episodes: int, level: float = LEVEL) -> tuple[float, float] | None:
    """Where the score of one more seed falls: Student's t prediction interval, clipped to [0, 1].

    Args:
        scores: ``(n,)``, one per seed, each in [0, 1].
        episodes: Behind each score; the binomial error of that many is the least variance between seeds.
        level: In (0, 1).

    Returns:
        Its ends, or ``None`` with fewer than two scores.
    """
    n = len(scores)
    if n < 2:
        return None
    mean = math.fsum(scores) / n
    variance = max(math.fsum((score - mean) ** 2 for score in scores) / (n - 1), binomial_variance(mean, episodes))
    half = student_quantile(level, n - 1) * math.sqrt(variance * (1 + 1 / n))
    return max(0.0, mean - half), min(1.0, mean + half)
