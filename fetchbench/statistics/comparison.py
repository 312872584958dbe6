"""Two methods of one suite against each other, over all its tasks: pure functions of scores.

A suite's score is the mean over tasks of the mean over seeds; the seed is the unit. Seeds are not paired: the same seed gives
two methods the same goals to evaluate on, but not the same luck in training.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from fetchbench.statistics.intervals import Interval, check_scores, student_quantile
from fetchbench.statistics.permutation import DRAWS, permutation_p, smallest_p, smallest_p_of

Scores: TypeAlias = Mapping[str, Sequence[float]]
"""Task -> one score per seed, each in [0, 1]; the tasks may have different numbers of seeds."""

Floors: TypeAlias = Mapping[str, float]
"""Task -> the least that the variance between its seeds is taken to be; 0 where a task is not named."""

ALPHA = 0.05
"""A p must be below it to tell two methods apart."""

MOST_SEEDS = 100
"""Where :func:`seeds_needed` stops looking."""

_NO_FLOORS: Floors = MappingProxyType({})
_ROUNDING = 1e-9
"""Differences of means that are equal on paper differ by less than this."""


@dataclass(frozen=True)
class Comparison:
    """One method's suite mean minus another's.

    Attributes:
        difference: In [-1, 1].
        low: Lower end of the difference's interval; ``None``, as ``high`` and ``p``, where a task has fewer than two seeds
            of either method.
        high: Upper end.
        p: Two-sided, by permutation: how often a difference at least as large comes about when labels are dealt by chance.
        seeds: Seeds of either method on the task that has fewest.
        least_p: The smallest p that so many seeds can give, whatever the scores; ``None`` without a p.
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None
    seeds: tuple[int, int]
    least_p: float | None = None

    def told(self, p: float | None) -> bool:
        """Whether the two methods are told apart: p is below :data:`ALPHA`, and the interval leaves out 0.

        Args:
            p: :attr:`p` itself, or adjusted (:func:`holm`) where this is one comparison of several.
        """
        if p is None or self.low is None or self.high is None:
            return False
        return p < ALPHA and (self.low > 0 or self.high < 0)

    def too_few_seeds(self, comparisons: int = 1) -> bool:
        """Whether no scores of so many seeds could tell the methods apart, were this one of so many comparisons."""
        return self.least_p is None or self.least_p * comparisons >= ALPHA


def suite_mean(scores: Scores, floors: Floors = _NO_FLOORS, level: float = 0.95) -> Interval:
    """Mean over tasks of the mean over seeds, with a t interval, clipped to [0, 1].

    The variance is ``sum(s_k^2 / n_k) / M^2`` over the M tasks, its degrees of freedom those of Satterthwaite (1946) and
    Welch (1947). With one task it is Student's interval of :func:`~fetchbench.statistics.mean_interval`.

    Args:
        scores: One or more tasks, each with one or more seeds.
        floors: The evaluation's own error (:func:`~fetchbench.statistics.binomial_variance`), per task. Where it is above
            0, the interval is never of width 0.
        level: Confidence, in (0, 1).

    Returns:
        The mean with its interval; the mean alone where a task has one seed.

    Raises:
        ValueError: No task, a task without seeds, a score outside [0, 1], a negative floor, or a level outside (0, 1).
    """
    cells = _cells(scores, floors, level)
    mean = math.fsum(cell.mean for cell in cells) / len(cells)
    half = _half_width(cells, level, len(cells))
    if half is None:
        return Interval(mean)
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))


def compare(
    a: Scores,
    b: Scores,
    floors_a: Floors = _NO_FLOORS,
    floors_b: Floors = _NO_FLOORS,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """The difference of two methods' suite means: its Welch interval, and its p by permutation of labels within task.

    p asks whether the two methods' labels could be swapped (Fisher 1935; Pitman 1937; see
    :func:`~fetchbench.statistics.permutation.permutation_p`), which is more than whether their means are equal. With unequal
    numbers of seeds and unequal spread it is below 0.05 too often: at equal means of 0.5 and deviations of 0.20 (5 seeds) and
    0.02 (10 seeds) in 22 of 100 cases. :meth:`Comparison.told` asks that the interval leave out 0 besides, which leaves 6 of
    100; 7 and 11 where means of 0.7 and 0.8 make the scores skewed. It helps little where one method works outright in four
    seeds of five and the other always scores about 0.8: all of five seeds work in 33 of 100 cases, nothing in them shows that
    one could have failed, and ten seeds of the other are told from them. p alone tells 38 of 100, the two together 33.

    Args:
        a: One method's scores.
        b: The other's, on the same tasks.
        floors_a: As in :func:`suite_mean`.
        floors_b: The same of ``b``.
        level: Confidence of the interval, in (0, 1).
        draws: Relabellings to draw.
        seed: Of the draws: equal arguments give an equal p.

    Raises:
        ValueError: As :func:`suite_mean`; tasks that only one of the two has; or no draws.
    """
    if draws < 1:
        raise ValueError(f"draws = {draws}: must be 1 or more")
    cells_a, cells_b = _cells_of_both(a, b, floors_a, floors_b, level)
    fewest = (min(cell.seeds for cell in cells_a), min(cell.seeds for cell in cells_b))
    difference = _difference(cells_a, cells_b)
    half = _half_width([*cells_a, *cells_b], level, len(cells_a))
    if half is None:
        return Comparison(difference, None, None, None, fewest)
    p = permutation_p([(a[task], b[task]) for task in sorted(a)], draws, seed)
    least = smallest_p_of([(len(a[task]), len(b[task])) for task in a], draws)
    return Comparison(difference, max(-1.0, difference - half), min(1.0, difference + half), p, fewest, least)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust several p for their number (Holm 1979): those below 0.05 afterwards hold together, at 5 %.

    Args:
        p_values: ``(n,)``, in [0, 1], in any order.

    Returns:
        ``(n,)``, in the same order: ``holm([0.01, 0.04, 0.03])`` is ``[0.03, 0.06, 0.06]``.

    Raises:
        ValueError: A p outside [0, 1].
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values {list(p_values)}: each must lie in [0, 1]")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(order), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[i]))
        adjusted[i] = largest
    return adjusted


# -- planning ---------------------------------------------------------------------------------------------------------


def detectable(deviation: float, seeds: int, tasks: int = 1, power: float = 0.8, level: float = 0.95) -> float:
    """The smallest true difference of two methods' suite means that a comparison finds, most of the time.

    For seeds that are normal with equal deviations: ``(t_(1+level)/2 + t_power) * deviation * sqrt(2 / (seeds * tasks))``,
    both quantiles with ``2 * (seeds - 1) * tasks`` degrees of freedom. The exact value, by the noncentral t, is at most
    1.2 % larger from three seeds on, at a power of 0.8; with two seeds on one task it is 5.4 % larger.

    This is what the spread of the seeds allows. The permutation test cannot get below :func:`smallest_p` besides: three
    seeds against three on one task detect nothing at 5 %, whatever the difference. Neither is anything detected where the
    value is above 1.

    Args:
        deviation: Standard deviation of one method's score over seeds, on one task.
        seeds: Of each method, 2 or more.
        tasks: Of the suite.
        power: The share of such comparisons that find it, in [0.5, 1).
        level: 1 minus the share of comparisons of equal methods that find something, in (0, 1).

    Returns:
        A difference of success rates, 0 or more.

    Raises:
        ValueError: An argument out of its range.
    """
    if not deviation >= 0:
        raise ValueError(f"deviation = {deviation}: must be 0 or more")
    if seeds < 2 or tasks < 1:
        raise ValueError(f"seeds = {seeds}, tasks = {tasks}: needs 2 seeds and 1 task or more")
    if not 0.5 <= power < 1:
        raise ValueError(f"power = {power}: must lie in [0.5, 1)")
    degrees = 2 * (seeds - 1) * tasks
    shift = student_quantile(level, degrees) + (student_quantile(2 * power - 1, degrees) if power > 0.5 else 0.0)
    return shift * deviation * math.sqrt(2 / (seeds * tasks))


def seeds_needed(
    a: Scores,
    b: Scores,
    floors_a: Floors = _NO_FLOORS,
    floors_b: Floors = _NO_FLOORS,
    power: float = 0.8,
    level: float = 0.95,
) -> int | None:
    """How many seeds of each method would tell a difference as large as the one seen, were it the true one.

    The deviation is the one seen, pooled over both methods and all tasks; the rest as in :func:`detectable`. From a few seeds
    this is a rough figure: both the difference and the deviation are estimates.

    Args:
        a: One method's scores.
        b: The other's, on the same tasks.
        floors_a: As in :func:`suite_mean`.
        floors_b: The same of ``b``.
        power: As in :func:`detectable`.
        level: As in :func:`detectable`.

    Returns:
        Seeds per method and task; ``None`` where the means are equal, :data:`MOST_SEEDS` are not enough, or a task has too
        few seeds to know a deviation.

    Raises:
        ValueError: As :func:`compare` and :func:`detectable`.
    """
    cells_a, cells_b = _cells_of_both(a, b, floors_a, floors_b, level)
    difference, cells = abs(_difference(cells_a, cells_b)), [*cells_a, *cells_b]
    if difference < _ROUNDING or any(cell.degrees < 1 for cell in cells):
        return None
    deviation, tasks = math.sqrt(math.fsum(cell.variance for cell in cells) / len(cells)), len(a)

    def enough(seeds: int) -> bool:
        found = detectable(deviation, seeds, tasks, power, level) <= difference
        return found and smallest_p(seeds, seeds, tasks) < 1 - level

    counts = range(2, MOST_SEEDS + 1)
    place = bisect.bisect_left(counts, True, key=enough)
    return counts[place] if place < len(counts) else None


# -- one task's seeds -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cell:
    """One method on one task. ``variance`` is between seeds, with its floor."""

    mean: float
    variance: float
    seeds: int

    @property
    def degrees(self) -> int:
        return self.seeds - 1


def _cells_of_both(a: Scores, b: Scores, floors_a: Floors, floors_b: Floors, level: float) -> tuple[list[_Cell], list[_Cell]]:
    if set(a) != set(b):
        raise ValueError(f"tasks {sorted(a)} and {sorted(b)}: a comparison needs the same tasks of both methods")
    return _cells(a, floors_a, level), _cells(b, floors_b, level)


def _cells(scores: Scores, floors: Floors, level: float) -> list[_Cell]:
    if not scores:
        raise ValueError("no task: a suite mean needs at least one")
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: must lie in (0, 1)")
    return [_cell(task, scores[task], floors) for task in sorted(scores)]


def _cell(task: str, seeds: Sequence[float], floors: Floors) -> _Cell:
    floor = floors.get(task, 0.0)
    try:
        check_scores(seeds, floor)
    except ValueError as error:
        raise ValueError(f"{task}: {error}") from None
    mean = math.fsum(seeds) / len(seeds)
    if len(seeds) == 1:
        return _Cell(mean, floor, 1)
    return _Cell(mean, max(math.fsum((score - mean) ** 2 for score in seeds) / (len(seeds) - 1), floor), len(seeds))


def _difference(a: Sequence[_Cell], b: Sequence[_Cell]) -> float:
    return (math.fsum(cell.mean for cell in a) - math.fsum(cell.mean for cell in b)) / len(a)


def _half_width(cells: Sequence[_Cell], level: float, tasks: int) -> float | None:
    """Of the interval of a sum of independent cells' means over the number of tasks; ``None`` where one has no spread."""
    if any(cell.degrees < 1 for cell in cells):
        return None
    variances = [cell.variance / cell.seeds for cell in cells]
    total = math.fsum(variances)
    if total == 0:
        return 0.0
    # Shares of the total, for variances whose squares would vanish.
    degrees = 1 / math.fsum((v / total) ** 2 / cell.degrees for v, cell in zip(variances, cells, strict=True))
    return _quantile(level, degrees) * math.sqrt(total) / tasks


def _quantile(level: float, degrees: float) -> float:
    """As :func:`~fetchbench.statistics.student_quantile`, for degrees of freedom that need not be whole."""
    if abs(degrees - round(degrees)) < _ROUNDING * degrees:
        return student_quantile(level, round(degrees))
    from scipy.special import stdtrit  # which takes longer to import than a board of single tasks to render

    return float(stdtrit(degrees, (1 + level) / 2))
