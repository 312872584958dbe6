"""How far the mean of a few seeds can be trusted."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean success rate over seeds and its confidence interval, all in [0, 1].

    ``low`` and ``high`` are ``None`` where one seed leaves nothing to estimate a spread from.
    """

    mean: float
    low: float | None = None
    high: float | None = None


def mean_interval(scores: Sequence[float], level: float = 0.95, variance_floor: float = 0.0) -> Interval:
    """Student's t interval of the mean over seeds (Student 1908), clipped to [0, 1].

    The seed is the unit: episodes of one seed are not independent tries of the method.

    Args:
        scores: ``(n,)``, one score per seed, each in [0, 1].
        level: Confidence, in (0, 1).
        variance_floor: The variance between seeds is taken to be at least this. Each score is estimated from
            episodes, so seeds that happen to agree do not make the mean exact (:func:`binomial_variance`).

    Returns:
        The mean with its interval; with one seed the mean alone.

    Raises:
        ValueError: No score, a score outside [0, 1], a level outside (0, 1), or a negative floor.
    """
    check_scores(scores, variance_floor)
    if len(scores) == 1:
        return Interval(math.fsum(scores))
    mean, half = student_interval(scores, level, variance_floor)
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))


def check_scores(scores: Sequence[float], variance_floor: float) -> None:
    """Refuse what is no method's scores on one task.

    Raises:
        ValueError: No score, a score outside [0, 1], or a negative floor.
    """
    if len(scores) == 0:
        raise ValueError("no score: an interval needs at least one seed")
    if any(not 0 <= score <= 1 for score in scores):
        raise ValueError(f"scores {list(scores)}: each must lie in [0, 1]")
    if not variance_floor >= 0:
        raise ValueError(f"variance_floor = {variance_floor}: must be 0 or more")


def student_interval(values: Sequence[float], level: float, variance_floor: float = 0.0) -> tuple[float, float]:
    """Student's t interval of a mean: the mean, and how far the interval reaches on either side.

    Args:
        values: ``(n,)``, independent.
        level: Confidence, in (0, 1).
        variance_floor: As in :func:`mean_interval`.

    Raises:
        ValueError: Fewer than two values, or a level outside (0, 1).
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"{n} values: an interval needs two or more")
    mean = math.fsum(values) / n
    variance = max(math.fsum((value - mean) ** 2 for value in values) / (n - 1), variance_floor)
    return mean, student_quantile(level, n - 1) * math.sqrt(variance / n)


def binomial_variance(score: float, episodes: int) -> float:
    """Variance of a success rate that was counted over independent episodes.

    One success and one failure are added to the count (Laplace's rule): 250 of 250 is strong evidence, not
    certainty, and must not give an interval of width zero.

    Args:
        score: Share of the episodes that succeeded, in [0, 1].
        episodes: All that the score averages over: those of one evaluation times the number of evaluations.

    Raises:
        ValueError: No episode, or a score outside [0, 1].
    """
    if episodes < 1:
        raise ValueError(f"episodes = {episodes}: must be 1 or more")
    if not 0 <= score <= 1:
        raise ValueError(f"score = {score}: must lie in [0, 1]")
    rate = (score * episodes + 1) / (episodes + 2)
    return rate * (1 - rate) / episodes


@functools.lru_cache(maxsize=256)
def student_quantile(level: float, degrees: int) -> float:
    """The t with P(-t < T < t) = ``level`` for Student's T with a whole number of degrees of freedom.

    The distribution is then a finite sum (Abramowitz and Stegun 1964, 26.7.3-4), inverted here by bisection:
    importing ``scipy.special`` takes longer than publishing a board.

    Raises:
        ValueError: A level outside (0, 1), or fewer than one degree of freedom.
    """
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: must lie in (0, 1)")
    if degrees < 1:
        raise ValueError(f"degrees = {degrees}: must be 1 or more")
    low, high = 0.0, math.pi / 2  # of the angle theta with t = sqrt(degrees) * tan(theta)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _central_probability(middle, degrees) < level else (low, middle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _central_probability(theta: float, degrees: int) -> float:
    """P(-t < T < t) for t = sqrt(degrees) * tan(theta)."""
    cosine, odd = math.cos(theta), degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cosine * cosine * (k - 1) / k
    inside = math.sin(theta) * total
    return 2 / math.pi * (theta + inside) if odd else inside
