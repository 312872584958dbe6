"""What evaluations say, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from leaderboard.factory import make_points, make_record

from fetchbench.protocol import STOP_PRESETS, StopRule
from fetchbench.records.diagnosis import (
    area,
    critic_loss_rise,
    diagnose,
    diagnosis_of,
    score_of,
    solved,
    stopped_by,
    takeoff,
)
from fetchbench.records.schema import EvaluationPoint, Probe, Signal


@pytest.mark.parametrize(
    ("status", "successes", "last", "expected"),
    [
        ("done", (0.0, 0.2, 0.4, 0.9), 2, 0.65),
        ("done", (1.0, 0.0, 0.5), 1, 0.5),  # the last, not the best
        ("done", (0.2, 0.4), 5, 0.3),  # fewer than asked for
        ("censored", (0.2, 0.4), 2, 0.3),  # as it stood
        ("diverged", (1.0, 1.0), 2, 0.0),
        ("diverged", (), 2, 0.0),
        ("failed", (1.0, 1.0), 2, None),
        ("done", (), 2, None),
    ],
)
def test_the_score_is_the_mean_of_the_last_evaluations(status, successes, last, expected):
    score = score_of(status, make_points(successes), last)
    assert score is None if expected is None else score == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("successes", "steps"),
    [
        ((0.0, 0.2, 0.2, 0.9), 1000),  # 0.2 itself counts, and it is the first of the two
        ((0.9, 0.1, 0.3, 0.4), 1500),  # a single spike does not
        ((0.3, 0.3), 500),
        ((0.9, 0.19, 0.9, 0.19, 0.9), None),
        ((0.0, 0.0, 0.9), None),  # nothing follows it
        ((0.9,), None),
        ((), None),
    ],
)
def test_takeoff_is_the_first_of_two_in_a_row(successes, steps):
    point = takeoff(make_points(successes))
    assert (point and point.steps) == steps


def test_takeoff_tells_steps_and_updates():
    point = takeoff(make_points((0.0, 0.0, 0.5, 0.5)))
    assert (point.steps, point.updates) == (1500, 500)


@pytest.mark.parametrize(
    ("score", "expected"), [(0.8, True), (0.7999999999999999, True), (0.79999, False), (1.0, True), (0.0, False), (None, False)]
)
def test_solved_is_eight_of_ten_whatever_the_rounding(score, expected):
    assert solved(score) is expected


def test_a_mean_that_is_eight_of_ten_on_paper_is_solved():
    successes = (0.9, 0.82, 0.96, 0.72, 0.6)  # 4.0 in all; the sum in floating point is below it
    score = score_of("done", make_points(successes), 5)
    assert score < 0.8
    assert solved(score)


# -- area -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "budget", "expected"),
    [
        ((1.0, 1.0), 1000, 0.75),  # 0 at step 0: half of the first interval is lost
        ((0.0, 0.0, 0.0), 1500, 0.0),
        ((0.4, 0.8), 1000, (0.5 * 0.4 * 500 + 0.6 * 500) / 1000),
        ((0.4, 0.8), 2000, (0.5 * 0.4 * 500 + 0.6 * 500 + 0.8 * 1000) / 2000),  # stopped at 1000: extended flat
        ((0.4, 0.8), 750, (0.5 * 0.4 * 500 + 0.5 * (0.4 + 0.6) * 250) / 750),  # cut off at the budget
        ((0.4, 0.8), 400, 0.5 * 0.32),
    ],
)
def test_the_area_by_hand(successes, budget, expected):
    assert area(make_points(successes), budget) == pytest.approx(expected, abs=1e-12)


def test_without_an_evaluation_there_is_no_area():
    assert area([], 1000) is None


# -- the runs of robotics_series --------------------------------------------------------------------------------------
#
# (steps, success, mean return, critic loss) as its tables have them; between their points, straight lines.

WINNER = (
    (500_000, 0.04, -48.6, 0.09),
    (1_000_000, 0.08, -47.2, 0.07),
    (2_000_000, 0.10, -45.0, 0.04),  # as its log has it; another table says 13 %
    (2_200_000, 0.13, -44.0, 0.25),
    (2_500_000, 0.45, -36.1, 0.46),
    (3_000_000, 0.85, -19.3, 0.35),
    (3_500_000, 0.96, -15.7, 0.45),
    (4_000_000, 0.95, -14.3, 0.25),
    (4_400_000, 0.95, -13.2, 0.20),
)
"""From pixels, critic routing, buffer 500 k, k = 8: 96 %."""

STATE = (
    (200_000, 0.03, -48.3, 0.27), (500_000, 0.11, -44.5, 0.03), (1_000_000, 0.04, -47.8, 0.08), (1_500_000, 0.46, -35.8, 0.46),
    (2_000_000, 0.89, -20.1, 0.42),
)  # fmt: skip
FLAT = ((100_000, 0.06, -48.5, 0.27), (500_000, 0.07, -48.5, 0.10), (1_540_000, 0.03, -48.5, 0.09))
"""The run that was stopped at 1.54 M steps with 3 %."""


def at(course: Sequence[tuple[float, ...]], steps: int) -> tuple[float, ...]:
    for (start, *low), (stop, *high) in pairwise(((0, 0.0, -50.0, course[0][3]), *course)):
        if steps <= stop:
            share = (steps - start) / (stop - start)
            return tuple(a + (b - a) * share for a, b in zip(low, high, strict=True))
    return tuple(course[-1][1:])


def told(course: Sequence[tuple[float, ...]], until: int, every: int = 100_000) -> tuple[list[EvaluationPoint], list[Signal]]:
    evaluations, signals = [], []
    for steps in range(every, until + 1, every):
        success, mean_return, loss = at(course, steps)
        point = make_points((success,), steps)[0]
        evaluations.append(point.model_copy(update={"return_mean": mean_return, "updates": steps // 4, "success_raw": 0.0}))
        signals.append(Signal(steps=steps, updates=steps // 4, critic_loss=loss, actor_loss=1.0, q=-5.0, entropy=1.0))
    return evaluations, signals


@pytest.mark.parametrize(
    ("course", "until", "verdict"),
    [
        (WINNER, 4_400_000, "working"),
        (WINNER, 3_000_000, "working"),
        (WINNER, 2_200_000, "undecided"),  # its critic loss rises before its success does
        (WINNER, 2_000_000, "failing"),  # as it looked, and as it would have been stopped: no proof
        (STATE, 2_000_000, "working"),
        (FLAT, 1_500_000, "failing"),
        (FLAT, 300_000, "undecided"),  # too early
    ],
)
def test_the_verdict_on_runs_that_are_known(course, until, verdict):
    assert diagnosis_of(*told(course, until)).verdict == verdict


def test_the_signs_of_a_working_run_say_the_rule_and_the_numbers():
    found = diagnosis_of(*told(WINNER, 4_400_000))
    assert found.takeoff is not None
    assert (found.takeoff.steps, found.takeoff.updates) == (2_300_000, 575_000)
    assert found.signs == (
        "took off at step 2,300,000, 575,000 updates: the first of two evaluations in a row at 0.20 or more",
        "kept it: the last two evaluations have 0.95, at least half of the best two in a row, 0.96",
        "the critic loss rose about the take-off, from 0.04 at step 2,000,000 to 0.46 at step 2,500,000, then settled at 0.2",
    )


def test_the_signs_of_a_failing_run_say_the_rule_and_the_numbers():
    assert diagnosis_of(*told(FLAT, 1_500_000)).signs == (
        "did not take off: no two evaluations in a row at 0.20 or more",
        "success is flat: 0.05 over the later 8 of 15 evaluations, 0.03 in the last two; flat is at most 0.10 in both",
        "the critic loss does not rise: 1.0 times the lowest of its later half in the last two intervals; rising is 2 or more",
        "it undoes what is solved: of 408 episodes of the later evaluations 8 were solved at reset and 0 at the end, "
        "less than half as many",
    )


def test_a_run_that_loses_what_it_had_is_failing():
    found = diagnosis_of(make_points((0.0, 0.0, 0.6, 0.8, 0.3, 0.2)))
    assert found.verdict == "failing"
    assert "lost it: the last two evaluations have 0.25, less than half of the best two in a row, 0.70" in found.signs
    assert diagnosis_of(make_points((0.0, 0.0, 0.6, 0.8, 0.4, 0.3))).verdict == "working"


def test_a_run_between_flat_and_taking_off_is_undecided():
    found = diagnosis_of(make_points((0.0, 0.0, 0.1, 0.1, 0.15, 0.15, 0.19)))
    assert found.verdict == "undecided"
    assert any(sign.startswith("success is not flat: ") for sign in found.signs)


def test_records_without_losses_are_judged_by_success_alone_and_it_says_so():
    found = diagnose(make_record(successes=(0.0,) * 8))
    assert found.verdict == "failing"
    assert "the record holds no losses: judged by success alone" in found.signs
    assert diagnose(make_record(successes=(0.0, 0.0, 0.6, 0.9, 0.9))).verdict == "working"


def test_how_a_run_ended_is_a_sign():
    diverged = make_record(successes=(0.0, 0.5, 0.6), status="diverged")
    diverged = diverged.model_copy(update={"result": diverged.result.model_copy(update={"reason": "q is nan after 5 updates"})})
    assert diagnose(diverged).verdict == "failing"
    assert diagnose(diverged).signs[0] == "diverged: q is nan after 5 updates"
    failed = diagnose(make_record(successes=(0.9, 0.9), status="failed"))
    assert failed.verdict == "undecided"
    assert len(failed.signs) == 1


@pytest.mark.parametrize(
    ("raw", "sign"),
    [
        (0.0, "it undoes what is solved: of 408 episodes of the later evaluations 8 "),
        (8 / 408, "it does no better than doing nothing: of 408 "),
        (0.1, ""),
    ],
)
def test_a_flat_run_is_held_against_doing_nothing(raw, sign):
    points = [point.model_copy(update={"success_raw": raw}) for point in make_points((0.02,) * 16)]
    last = diagnosis_of(points).signs[-1]
    assert last.startswith(sign) if sign else "solved at reset" not in last


def test_features_that_tell_nothing_are_a_sign():
    def probe(r2: dict[str, float], steps: int = 500, encoder: str = "encoder") -> Probe:
        spread = dict.fromkeys(r2, 5.0)
        fields = {"updates": 0, "scenes": 20, "error_cm": spread, "mean_error_cm": spread, "effective_rank": 2.0}
        return Probe(steps=steps, encoder=encoder, r2=r2, dead_units=0, **fields)

    def signs(*probes: Probe) -> str:
        return "; ".join(diagnosis_of(make_points((0.0,) * 8), (), probes).signs)

    poor = {"object_xy": 0.05, "gripper_xyz": 0.9}
    assert "the encoder's features hardly tell object_xy: R2 0.05 at step 500, less than 0.2" in signs(probe(poor))
    assert "hardly tell" not in signs(probe(poor, 0), probe({"object_xy": 0.5, "gripper_xyz": 0.1}))
    both = signs(probe({"gripper_xyz": 0.1}, encoder="critic encoder"), probe({"gripper_xyz": 0.0}, encoder="actor encoder"))
    assert both.count("hardly tell gripper_xyz") == 2


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((9.0, 0.1, 0.1, 0.1, 0.1), 1.0),
        ((0.01, 0.01, 0.01, 0.1, 0.1, 0.1, 0.1, 0.1), 1.0),  # what the first updates had does not count
        ((0.1, 0.1, 0.1, 0.1, 0.1, 0.3, 0.5), 4.0),
        ((0.1, 0.1, 0.1, 0.1), None),
        ((0.1, 0.1, 0.0, 0.1, 0.1), None),
        ((), None),
    ],
)
def test_how_many_times_its_recent_lowest_the_critic_loss_is(losses, expected):
    points = [
        Signal(steps=100 * i, updates=i, critic_loss=loss, actor_loss=0.0, q=0.0, entropy=0.0) for i, loss in enumerate(losses)
    ]
    found = critic_loss_rise(points)
    assert found is None if expected is None else found == pytest.approx(expected)


# -- stopping ---------------------------------------------------------------------------------------------------------


def stops_at(course: Sequence[tuple[float, ...]], rule: StopRule, until: int = 4_400_000) -> int | None:
    evaluations, signals = told(course, until)
    for number in range(1, len(evaluations) + 1):
        if stopped_by(rule, evaluations[:number], signals[:number]):
            return evaluations[number - 1].steps
    return None


def test_the_seeds_rule_spares_its_own_best_run_and_its_own_moment_would_not_have():
    rule = STOP_PRESETS["seed"]
    assert rule.after_steps == 3_000_000
    assert stops_at(WINNER, rule) is None
    assert stops_at(WINNER, rule.model_copy(update={"after_steps": 1_000_000})) == 1_000_000
    assert stops_at(WINNER, rule.model_copy(update={"after_steps": 2_100_000})) is None
    assert stops_at(FLAT, rule) == 3_000_000


def test_why_a_run_is_stopped_is_said_with_the_rule_and_the_numbers():
    evaluations, signals = told(FLAT, 3_000_000)
    assert stopped_by(STOP_PRESETS["seed"], evaluations, signals) == (
        "stopped at step 3,000,000 by the suite's rule: success of at most 0.1 (highest 0.03) in each of the last 3 "
        "evaluations, after 3,000,000 steps, and a critic loss that does not rise (1.0 times its recent lowest, less than 2)"
    )
    one = stopped_by(StopRule(after_steps=100, at_most_success=0.5, evaluations=1), make_points((0.5,)), ())
    assert one.endswith("(highest 0.50) in the last evaluation, after 100 steps")


@pytest.mark.parametrize(
    ("changes", "successes", "stops"),
    [
        ({}, (0.0, 0.0, 0.1, 0.1, 0.1), True),
        ({}, (0.0, 0.0, 0.1, 0.12, 0.1), False),  # one of the three is higher
        ({}, (0.0, 0.0), False),  # fewer than three
        ({"after_steps": 2501}, (0.0,) * 5, False),
        ({"after_steps": 2500}, (0.0,) * 5, True),
        ({"at_most_success": 0.0}, (0.0,) * 5, True),
        ({"critic_loss": "not-rising"}, (0.0,) * 5, False),  # nobody can tell: it goes on
    ],
)
def test_a_rule_holds_where_all_of_it_does(changes, successes, stops):
    rule = StopRule(after_steps=500).model_copy(update=changes)
    assert bool(stopped_by(rule, make_points(successes), ())) is stops


def test_without_a_rule_nothing_is_stopped():
    assert stopped_by(None, make_points((0.0,) * 50), ()) == ""
