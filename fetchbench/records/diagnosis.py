"""What a run's evaluations and losses say: score, take-off, how it looks, when it is stopped. Pure functions.

The signatures are those of robotics_series (github.com/VladPrytula/robotics_series). A run that fails stays flat while its
critic loss is flat or falls. One that works takes off, and its critic loss rises several times over before it settles. The
losses alone decide nothing: they fall in failing runs and in converging ones. Nor does a flat stretch: the best run there had
8 % success and a falling critic loss at 1 M steps, and 96 % at 3.5 M.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from fetchbench.protocol import StopRule
from fetchbench.records.schema import EvaluationPoint, Probe, Record, Signal, Status

TAKEOFF_SUCCESS = 0.2
SOLVED_SCORE = 0.8
FLAT_SUCCESS = 0.1
"""Success that counts as flat; on FetchPush doing nothing has 5 to 8 %, where episodes solved at reset are counted."""
FEWEST_EVALUATIONS = 4
"""With updates before them: fewer say nothing of how a run learns."""
RISE = 2.0
"""The critic loss rises where it is this many times what it was."""
FEWEST_SIGNALS = 5
FEWEST_AT_RESET = 8
"""Episodes solved at reset from which on a run is held against doing nothing."""
LOW_R2 = 0.2
"""A probe that explains less of a position's variance is worth a sign."""

Verdict: TypeAlias = Literal["working", "failing", "undecided"]


@dataclass(frozen=True)
class Diagnosis:
    """How a run looks, by the rules of :func:`diagnosis_of`.

    Attributes:
        verdict: ``failing`` is how it looks so far, and no proof that a longer run would fail.
        signs: What speaks for it and against it, each in words, with its rule and its numbers.
        takeoff: As :func:`takeoff` has it.
    """

    verdict: Verdict
    signs: tuple[str, ...]
    takeoff: EvaluationPoint | None


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
    return _success(evaluations[-last:])


def score_denied(record: Record) -> str:
    """That a record's score is not what its own evaluations give; empty where it is."""
    result = record.result
    score = score_of(result.status, result.evaluations, record.request.evaluation.last)
    if (score is None) == (result.score is None) and abs((score or 0.0) - (result.score or 0.0)) <= 1e-9:
        return ""
    return f"its score {result.score} is not what its evaluations give ({score})"


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


def area(evaluations: Sequence[EvaluationPoint], budget_steps: int) -> float | None:
    """The area under the success curve, as a share of what success from the first step on would give.

    Trapezoids from success 0 at step 0. A run that was stopped before its budget is extended flat; what an evaluation has
    beyond the budget, by the length of a round of episodes, is cut off.

    Args:
        evaluations: In order of steps.
        budget_steps: Environment steps of the whole run.

    Returns:
        In [0, 1], or ``None`` without an evaluation.
    """
    if not evaluations:
        return None
    points = [(0, 0.0), *((point.steps, point.success) for point in evaluations)]
    if points[-1][0] < budget_steps:
        points.append((budget_steps, points[-1][1]))
    whole = 0.0
    for (start, low), (stop, high) in pairwise(points):
        end = min(stop, budget_steps)
        if end > start:
            at_end = low + (high - low) * (end - start) / (stop - start)
            whole += (low + at_end) / 2 * (end - start)
    return whole / budget_steps


def critic_loss_rise(signals: Sequence[Signal]) -> float | None:
    """How many times its recent lowest the critic loss is: the mean of the last two over the lowest of the later half before.

    Args:
        signals: By rising step.

    Returns:
        Rising is :data:`RISE` or more. ``None`` where there are fewer than five, or the lowest is 0.
    """
    if len(signals) < FEWEST_SIGNALS:
        return None
    # The first updates have a loss of their own, which says nothing.
    lowest = min(signal.critic_loss for signal in signals[len(signals) // 2 : -2])
    return None if lowest <= 0 else (signals[-2].critic_loss + signals[-1].critic_loss) / 2 / lowest


def stopped_by(rule: StopRule | None, evaluations: Sequence[EvaluationPoint], signals: Sequence[Signal]) -> str:
    """Why a run is to be stopped at its last evaluation; empty where it goes on.

    A function of what was found so far alone, so that a run that is killed and continued stops at the same step.

    Args:
        rule: The suite's; ``None`` never stops.
        evaluations: In order of steps.
        signals: By rising step.
    """
    if rule is None or len(evaluations) < rule.evaluations or evaluations[-1].steps < rule.after_steps:
        return ""
    highest = max(point.success for point in evaluations[-rule.evaluations :])
    if highest > rule.at_most_success:
        return ""
    counted = "the last evaluation" if rule.evaluations == 1 else f"each of the last {rule.evaluations} evaluations"
    reason = (
        f"stopped at step {evaluations[-1].steps:,} by the suite's rule: success of at most {rule.at_most_success:g} "
        f"(highest {highest:.2f}) in {counted}, after {rule.after_steps:,} steps"
    )
    if rule.critic_loss == "not-rising":
        rise = critic_loss_rise(signals)
        if rise is None or rise >= RISE:
            return ""
        reason += f", and a critic loss that does not rise ({rise:.1f} times its recent lowest, less than {RISE:g})"
    return reason


def diagnose(record: Record) -> Diagnosis:
    """How a finished run looks: :func:`diagnosis_of` its record."""
    r = record.result
    return diagnosis_of(r.evaluations, r.signals, r.probes, status=r.status, reason=r.reason)


def diagnosis_of(
    evaluations: Sequence[EvaluationPoint],
    signals: Sequence[Signal] = (),
    probes: Sequence[Probe] = (),
    *,
    status: Status = "done",
    reason: str = "",
) -> Diagnosis:
    """How a run looks, finished or not.

    - ``working``: it took off (:func:`takeoff`), and the mean of its last two evaluations is at least half of the best two in a
      row.
    - ``failing``: it diverged; or it took off and fell back to less than that half; or it is flat: it never took off, and the
      mean success of the later half of the evaluations that had updates before them, four or more in all, and that of the last
      two are at most 0.1, and its critic loss, where the record has it, does not rise (:func:`critic_loss_rise`).
    - ``undecided``: all else, and runs that broke their own declaration.

    Args:
        evaluations: In order of steps.
        signals: By rising step; older records have none.
        probes: By rising step.
        status: How the run ended, or ``done`` while it goes on.
        reason: Why it is not ``done``.
    """
    started = takeoff(evaluations)
    if status == "failed":
        return Diagnosis("undecided", (f"failed by its own declaration, which says nothing of learning: {reason}",), started)
    verdict, signs = _success_signs(evaluations, started)
    if rise := _rise_signs(evaluations, signals, started):
        signs.append(rise)
    if verdict == "failing" and started is None and (factor := critic_loss_rise(signals)) and factor >= RISE:
        verdict = "undecided"
    if status == "diverged":
        verdict, signs = "failing", [f"diverged: {reason}", *signs]
    elif status == "censored":
        signs = [reason, *signs]
    return Diagnosis(verdict, tuple(signs + _inaction_signs(evaluations, started) + _probe_signs(probes)), started)


def _success_signs(evaluations: Sequence[EvaluationPoint], started: EvaluationPoint | None) -> tuple[Verdict, list[str]]:
    rule = f"two evaluations in a row at {TAKEOFF_SUCCESS:.2f} or more"
    if started is not None:
        signs = [f"took off at step {started.steps:,}, {started.updates:,} updates: the first of {rule}"]
        best = max(_success(pair) for pair in pairwise(evaluations))
        last = _success(evaluations[-2:])
        kept = last >= best / 2
        signs.append(
            f"{'kept' if kept else 'lost'} it: the last two evaluations have {last:.2f}, "
            f"{'at least' if kept else 'less than'} half of the best two in a row, {best:.2f}"
        )
        return ("working" if kept else "failing"), signs
    signs = [f"did not take off: no {rule}"]
    learned = [point for point in evaluations if point.updates]
    if len(learned) < FEWEST_EVALUATIONS:
        return "undecided", [
            *signs,
            f"too early: {len(learned)} evaluations after the first update, {FEWEST_EVALUATIONS} are needed",
        ]
    later = learned[len(learned) // 2 :]
    mean, last = _success(later), _success(learned[-2:])
    flat = max(mean, last) <= FLAT_SUCCESS
    signs.append(
        f"success is {'flat' if flat else 'not flat'}: {mean:.2f} over the later {len(later)} of {len(learned)} evaluations, "
        f"{last:.2f} in the last two; flat is at most {FLAT_SUCCESS:.2f} in both"
    )
    return ("failing" if flat else "undecided"), signs


def _rise_signs(evaluations: Sequence[EvaluationPoint], signals: Sequence[Signal], started: EvaluationPoint | None) -> str:
    """What the critic loss did: around the take-off where there was one, else of late."""
    if not signals:
        return "the record holds no losses: judged by success alone" if any(point.updates for point in evaluations) else ""
    if started is None:
        factor = critic_loss_rise(signals)
        if factor is None:
            return ""
        return (
            f"the critic loss {'rises' if factor >= RISE else 'does not rise'}: {factor:.1f} times the lowest of its later "
            f"half in the last two intervals; rising is {RISE:g} or more"
        )
    before = [signal for signal in signals if signal.steps <= started.steps]
    if not before:
        return ""
    low = min(before, key=lambda signal: signal.critic_loss)
    high = max((signal for signal in signals if signal.steps >= low.steps), key=lambda signal: signal.critic_loss)
    course = f"from {low.critic_loss:.3g} at step {low.steps:,} to {high.critic_loss:.3g} at step {high.steps:,}"
    if low.critic_loss <= 0 or high.critic_loss < RISE * low.critic_loss:
        return f"the critic loss did not rise about the take-off: {course}; a rise is {RISE:g} times or more"
    settled = f", then settled at {signals[-1].critic_loss:.3g}" if signals[-1].critic_loss < high.critic_loss else ""
    return f"the critic loss rose about the take-off, {course}{settled}"


def _inaction_signs(evaluations: Sequence[EvaluationPoint], started: EvaluationPoint | None) -> list[str]:
    """How a run that never took off compares with doing nothing, which keeps exactly the episodes that are solved at reset."""
    later = evaluations[len(evaluations) // 2 :]
    drawn = sum(point.drawn for point in later)
    if started is not None or not drawn:
        return []
    at_reset = sum(point.drawn - point.episodes for point in later)
    at_end = round(sum(point.success_raw * point.drawn for point in later))
    of = f"of {drawn:,} episodes of the later evaluations {at_reset} were solved at reset and {at_end} at the end"
    if at_reset < FEWEST_AT_RESET:
        return []
    if at_end < at_reset / 2:
        return [f"it undoes what is solved: {of}, less than half as many"]
    if at_end <= at_reset * 3 / 2:
        return [f"it does no better than doing nothing: {of}, within a half of each other"]
    return []


def _probe_signs(probes: Sequence[Probe]) -> list[str]:
    signs = []
    for probe in (probe for probe in probes if probe.steps == probes[-1].steps):
        where = next((name for name in ("object_xy", "gripper_xyz") if name in probe.r2), None)
        if where is not None and probe.r2[where] < LOW_R2:
            signs.append(
                f"the {probe.encoder}'s features hardly tell {where}: R2 {probe.r2[where]:.2f} at step {probe.steps:,}, "
                f"less than {LOW_R2:g}"
            )
    return signs


def _success(points: Sequence[EvaluationPoint]) -> float:
    return sum(point.success for point in points) / len(points)
