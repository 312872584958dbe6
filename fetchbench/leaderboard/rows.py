"""What the board says of each method: numbers, before they become text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fetchbench.protocol import Track
from fetchbench.records.diagnosis import solved, takeoff
from fetchbench.records.schema import EvaluationPoint, Method, Record, Reward, Status
from fetchbench.statistics import Evidence, Interval, binomial_variance, evidence, mean_interval, ranks, shown

DECIMALS = 2
"""Digits of a success rate. Means are ranked as they are shown."""

ANCHOR_TRACKS = ("state", "blind")


@dataclass(frozen=True)
class SeedScore:
    """One seed of a row; ``score`` is ``None`` where the run failed or was never evaluated."""

    seed: int
    status: Status
    score: float | None


@dataclass(frozen=True)
class Row:
    """One method on one task, over its seeds.

    Attributes:
        task: The task.
        pixel_track: The suite's own track.
        method: The method, as its first record has it.
        reward: What rewards it in training.
        rank: Place by mean success; ``None`` for anchors, drafts and rows without a score.
        evidence: What the number of scored seeds is worth.
        success: Mean score over the scored seeds, with its 95 % interval; ``None`` without a score.
        seeds: Every seed, in order.
        solved: Scored seeds with a score of 0.8 or more.
        any_step: Mean share of episodes that are solved at any step, over the same evaluations and seeds.
        took_off: Scored seeds that took off.
        takeoff: Take-off of the median scored seed, where one that never took off is later than all others;
            ``None`` where it did not.
        rank_correlation: Mean of what the records say of the goal space's own distance; ``None`` where none does.
        encoder_parameters: Parameters of one copy of the encoder, trainable or not; ``None`` without one.
        feature_dim: Width of ``z``.
        core_minutes: Mean processor time of a run, minutes of one core.
        wall_minutes: Mean duration of a run.
        peak_memory_mb: The largest of any seed.
        peak_gpu_memory_mb: The largest of any seed; ``None`` without a GPU.
        providers: Where the method's plugins come from: ``fetchbench 0.1.0``.
    """

    task: str
    pixel_track: Track
    method: Method
    reward: Reward
    rank: int | None
    evidence: Evidence
    success: Interval | None
    seeds: tuple[SeedScore, ...]
    solved: int
    any_step: float | None
    took_off: int
    takeoff: EvaluationPoint | None
    rank_correlation: float | None
    encoder_parameters: int | None
    feature_dim: int | None
    core_minutes: float
    wall_minutes: float
    peak_memory_mb: float
    peak_gpu_memory_mb: float | None
    providers: tuple[str, ...]

    @property
    def anchor(self) -> bool:
        """Whether the row is a bound to compare with, not a competitor."""
        return self.method.track in ANCHOR_TRACKS

    @property
    def scored(self) -> int:
        """Number of seeds that have a score."""
        return sum(seed.score is not None for seed in self.seeds)


def rows(records: Iterable[Record]) -> list[Row]:
    """The rows of one suite: by task, then by mean success, the highest first, the anchors last.

    Args:
        records: Of one suite, in any order. Nothing is checked here: publishing does that.
    """
    groups: dict[str, dict[str, list[Record]]] = {}
    for record in sorted(records, key=lambda r: (r.request.task, r.request.method.name, r.request.seed)):
        groups.setdefault(record.request.task, {}).setdefault(record.request.method.name, []).append(record)
    return [row for methods in groups.values() for row in _ranked([_row(group) for group in methods.values()])]


def _ranked(found: Sequence[Row]) -> list[Row]:
    """Rows of one task with their ranks, in the board's order."""
    means = [None if row.success is None else row.success.mean for row in found]
    competing = [None if row.anchor or row.evidence == "draft" else mean for row, mean in zip(found, means, strict=True)]
    placed = [replace(row, rank=rank) for row, rank in zip(found, ranks(competing, DECIMALS), strict=True)]
    return sorted(placed, key=_order)


def _order(row: Row) -> tuple[bool, float, str]:
    mean = -1.0 if row.success is None else shown(row.success.mean, DECIMALS)
    return row.anchor, -mean, row.method.name


def _row(records: Sequence[Record]) -> Row:
    """One method on one task, from its records in order of seed."""
    scored = [record for record in records if record.result.score is not None]
    takeoffs = [takeoff(record.result.evaluations) for record in scored]
    costs = [record.cost for record in records]
    correlations = [r.result.goal_distance.rank_correlation for r in records if r.result.goal_distance is not None]
    gpu_mb = [cost.peak_gpu_memory_mb for cost in costs if cost.peak_gpu_memory_mb is not None]
    first = records[0]
    return Row(
        task=first.request.task,
        pixel_track=first.request.pixel_track,
        method=first.request.method,
        reward=first.request.reward,
        rank=None,
        evidence=evidence(len(scored)),
        success=_success(scored),
        seeds=tuple(SeedScore(r.request.seed, r.result.status, r.result.score) for r in records),
        solved=sum(solved(record.result.score) for record in scored),
        any_step=_mean([_any_step(record) for record in scored]) if scored else None,
        took_off=sum(point is not None for point in takeoffs),
        takeoff=_median_takeoff(takeoffs),
        rank_correlation=_mean(correlations) if correlations else None,
        encoder_parameters=next((n for r in records if (n := r.result.parameters.get("encoder")) is not None), None),
        feature_dim=next((n for r in records if (n := r.result.feature_dim) is not None), None),
        core_minutes=_mean([cost.core_s for cost in costs]) / 60,
        wall_minutes=_mean([cost.wall_s for cost in costs]) / 60,
        peak_memory_mb=max(cost.peak_memory_mb for cost in costs),
        peak_gpu_memory_mb=max(gpu_mb, default=None),
        providers=tuple(sorted({name for r in records for name in _providers(r.request.method)})),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _success(scored: Sequence[Record]) -> Interval | None:
    scores = [record.result.score for record in scored if record.result.score is not None]
    if not scores:
        return None
    return mean_interval(scores, variance_floor=_mean([_evaluation_variance(record) for record in scored]))


def _evaluation_variance(record: Record) -> float:
    """Binomial error of one score; a diverged run scores 0 by rule, without error."""
    episodes = sum(point.episodes for point in _counted(record))
    if record.result.status == "diverged" or record.result.score is None or episodes == 0:
        return 0.0
    return binomial_variance(record.result.score, episodes)


def _counted(record: Record) -> list[EvaluationPoint]:
    """The evaluations that make up the score."""
    return record.result.evaluations[-record.request.evaluation.last :]


def _any_step(record: Record) -> float:
    if record.result.status == "diverged":
        return 0.0
    return _mean([point.success_any for point in _counted(record)])


def _median_takeoff(takeoffs: Sequence[EvaluationPoint | None]) -> EvaluationPoint | None:
    """The lower median, where never is later than any step."""
    happened = sorted((point for point in takeoffs if point is not None), key=lambda p: (p.steps, p.updates))
    middle = (len(takeoffs) - 1) // 2
    return happened[middle] if 0 <= middle < len(happened) else None


def _providers(method: Method) -> Iterable[str]:
    for _, component in method.components():
        if component.provider:
            # A file has no version: the first digits of its digest stand for one.
            digest = f" {component.source_sha256[:8]}" if component.version == "local" else ""
            yield f"{component.provider} {component.version}{digest}".strip()
