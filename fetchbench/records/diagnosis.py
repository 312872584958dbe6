"""What a run's evaluations say: score, take-off, solved. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from fetchbench.records.schema import EvaluationPoint, Status

TAKEOFF_SUCCESS = 0.2
SOLVED_SCORE = 0.8


def score_of(status: Status, evaluations: Sequence[EvaluationPoint], last: int) -> float | None:
    """A run's score: the mean success of its last evaluations, never its best.

    Args:
        status: How the run ended; a diverged run scores 0, a failed one has no score.
        evaluations: In order of steps.
        last: How many count.

    Returns:
        In [0, 1], or ``None`` where there is nothing to score.
    """
    if status == "diverged":
        return 0.0
    if status == "failed" or not evaluations:
        return None
    counted = evaluations[-last:]
    return sum(point.success for point in counted) / len(counted)


def takeoff(evaluations: Sequence[EvaluationPoint]) -> EvaluationPoint | None:
    """The first of two evaluations in a row with success of 0.2 or more; ``None`` if that never happened."""
    for first, second in pairwise(evaluations):
        if first.success >= TAKEOFF_SUCCESS and second.success >= TAKEOFF_SUCCESS:
            return first
    return None


def solved(score: float | None) -> bool:
    """Whether a score counts as solved: 0.8 or more."""
    # A mean of evaluations that is 0.8 on paper can come out as 0.7999999999999999.
    return score is not None and round(score, 9) >= SOLVED_SCORE
