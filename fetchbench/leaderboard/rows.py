"""What the board says of each method: numbers, before they become text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fetchbench.protocol import Track
from fetchbench.records.diagnosis import Verdict, area, diagnose, solved, takeoff
from fetchbench.records.schema import EvaluationPoint, Execution, Method, Record, Reward, Status
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
class ProbeScore:
    """What the last probe of a run's features found of one position, mean over the seeds that were probed.

    Attributes:
        encoder: ``"encoder"``, or ``"critic encoder"`` and ``"actor encoder"``.
        position: ``"gripper_xyz"`` or ``"object_xy"``.
        r2: Share of the position's variance that a ridge regression explains, cross-validated.
    """

    encoder: str
    position: str
    r2: float


@dataclass(frozen=True)
class Row:
    """One method on one task, over its seeds.

    Attributes:
        task: The task.
        pixel_track: The suite's own track.
        method: The method, as its first record has it.
        reward: What rewards it in training.
        rank: Place by mean success; ``None`` for anchors, drafts and rows without a score.
        tied: Whether another row has the same rank.
        evidence: What the number of scored seeds is worth.
        success: Mean score over the scored seeds, with its 95 % interval; ``None`` without a score.
        seeds: Every seed, in order.
        variance_floor: Mean binomial error of the scores: what the variance between seeds is taken to be at least.
        solved: Scored seeds with a score of 0.8 or more.
        area: Mean area under the success curve over the budget, in [0, 1]; a diverged run's is 0.
        any_step: Mean share of episodes that are solved at any step, over the same evaluations and seeds.
        took_off: Scored seeds that took off.
        takeoff: Take-off of the median scored seed, where one that never took off is later than all others;
            ``None`` where it did not.
        verdicts: What the diagnosis says of each scored seed, in order.
        rank_correlation: Mean of what the records say of the goal space's own distance; ``None`` where none does.
        probes: What the last probes found, by encoder and position; empty where no run was probed.
        encoder_parameters: Parameters of one copy of the encoder, trainable or not; ``None`` without one.
        feature_dim: Width of ``z``.
        core_minutes: Mean processor time of a run, minutes of one core.
        wall_minutes: Mean duration of a run.
        gpu_minutes: The same, where every run trained on a GPU; else ``None``.
        peak_memory_mb: The largest of any seed.
        peak_gpu_memory_mb: The largest of any seed; ``None`` without a GPU.
        arithmetic: Precision and compile mode of its runs, each distinct pair: ``bfloat16, none``.
        providers: Where the method's plugins come from: ``fetchbench 0.1.0``.
        licences: Of pretrained weights, and of code that is not the provider's own.
    """

    task: str
    pixel_track: Track
    method: Method
    reward: Reward
    rank: int | None
    tied: bool
    evidence: Evidence
    success: Interval | None
    seeds: tuple[SeedScore, ...]
    variance_floor: float
    solved: int
    area: float | None
    any_step: float | None
    took_off: int
    takeoff: EvaluationPoint | None
    verdicts: tuple[Verdict, ...]
    rank_correlation: float | None
    probes: tuple[ProbeScore, ...]
    encoder_parameters: int | None
    feature_dim: int | None
    core_minutes: float
    wall_minutes: float
    gpu_minutes: float | None
    peak_memory_mb: float
    peak_gpu_memory_mb: float | None
    arithmetic: tuple[str, ...]
    providers: tuple[str, ...]
    licences: tuple[str, ...]

    @property
    def anchor(self) -> bool:
        """Whether the row is a bound to compare with, not a competitor."""
        return self.method.track in ANCHOR_TRACKS

    @property
    def scored(self) -> int:
        """Number of seeds that have a score."""
        return len(self.scores)

    @property
    def scores(self) -> tuple[float, ...]:
        """The scores of the seeds that have one, in order of seed."""
        return tuple(seed.score for seed in self.seeds if seed.score is not None)

    def ended(self, status: Status) -> int:
        """Number of seeds that ended so."""
        return sum(seed.status == status for seed in self.seeds)


def scores_and_floors(
    of_task: Mapping[str, Row], tasks: Iterable[str]
) -> tuple[dict[str, tuple[float, ...]], dict[str, float]]:
    """What comparisons of methods take: task -> scores, and task -> the least variance between seeds.

    Args:
        of_task: One method's rows, by task.
        tasks: Of them, those that count.
    """
    counted = {task: of_task[task] for task in tasks}
    return {task: row.scores for task, row in counted.items()}, {task: row.variance_floor for task, row in counted.items()}


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
    places = ranks(competing, DECIMALS)
    placed = [
        replace(row, rank=rank, tied=rank is not None and places.count(rank) > 1)
        for row, rank in zip(found, places, strict=True)
    ]
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
        tied=False,
        evidence=evidence(len(scored)),
        success=_success(scored),
        seeds=tuple(SeedScore(r.request.seed, r.result.status, r.result.score) for r in records),
        variance_floor=_variance_floor(scored),
        solved=sum(solved(record.result.score) for record in scored),
        area=_mean([_area(record) for record in scored]) if scored else None,
        any_step=_mean([_any_step(record) for record in scored]) if scored else None,
        took_off=sum(point is not None for point in takeoffs),
        takeoff=_median_takeoff(takeoffs),
        verdicts=tuple(diagnose(record).verdict for record in scored),
        rank_correlation=_mean(correlations) if correlations else None,
        probes=_probes(records),
        encoder_parameters=next((n for r in records if (n := r.result.parameters.get("encoder")) is not None), None),
        feature_dim=next((n for r in records if (n := r.result.feature_dim) is not None), None),
        core_minutes=_mean([cost.core_s for cost in costs]) / 60,
        wall_minutes=_mean([cost.wall_s for cost in costs]) / 60,
        gpu_minutes=_mean([cost.wall_s for cost in costs]) / 60 if all(map(_on_gpu, records)) else None,
        peak_memory_mb=max(cost.peak_memory_mb for cost in costs),
        peak_gpu_memory_mb=max(gpu_mb, default=None),
        arithmetic=tuple(sorted({_arithmetic(r.request.execution) for r in records})),
        providers=tuple(sorted({name for r in records for name in _providers(r.request.method)})),
        licences=tuple(sorted({name for r in records for name in _licences(r)})),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _success(scored: Sequence[Record]) -> Interval | None:
    scores = [record.result.score for record in scored if record.result.score is not None]
    if not scores:
        return None
    return mean_interval(scores, variance_floor=_variance_floor(scored))


def _variance_floor(scored: Sequence[Record]) -> float:
    return _mean([_evaluation_variance(record) for record in scored]) if scored else 0.0


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


def _area(record: Record) -> float:
    if record.result.status == "diverged":
        return 0.0
    return area(record.result.evaluations, record.request.budget.steps) or 0.0


def _probes(records: Sequence[Record]) -> tuple[ProbeScore, ...]:
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        last = {probe.encoder: probe for probe in record.result.probes}  # by rising step
        for encoder, probe in last.items():
            for position, r2 in probe.r2.items():
                found.setdefault((encoder, position), []).append(r2)
    return tuple(ProbeScore(*key, _mean(values)) for key, values in sorted(found.items()))


def _on_gpu(record: Record) -> bool:
    return record.request.execution.device == "cuda"


def _arithmetic(execution: Execution) -> str:
    return f"{execution.precision}, compile {execution.compile}"


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


def _licences(record: Record) -> Iterable[str]:
    for _, component in record.request.method.components():
        if component.licence:
            yield component.licence
    yield from record.provenance.licences.values()
