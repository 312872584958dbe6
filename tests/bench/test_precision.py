"""Whether two precisions learn alike: the arithmetic, on numbers that a person can follow."""

from __future__ import annotations

import math

import pytest
from click.testing import CliRunner
from leaderboard.factory import make_points, make_record

from fetchbench.bench.precision import compare, main, paired, steps_to, table
from fetchbench.errors import FetchbenchError
from fetchbench.records.schema import Execution, Record
from fetchbench.records.store import record_text


def run(seed: int, successes: list[float], precision: str = "float32") -> Record:
    record = make_record(seed=seed, successes=successes)
    execution = Execution.model_validate({"precision": precision})
    return record.model_copy(update={"request": record.request.model_copy(update={"execution": execution})})


def test_steps_are_interpolated_between_running_means():
    points = make_points([0.0, 0.4, 0.8, 1.0], every_steps=100)
    # Means of two: 0.2 at 200 steps, 0.6 at 300, 0.9 at 400.
    assert steps_to(points, 0.8, window=2) == pytest.approx(300 + 100 * 0.2 / 0.3)
    assert steps_to(points, 0.2, window=2) == 200
    assert steps_to(points, 0.95, window=2) is None


def test_a_paired_interval():
    found = paired([0.1, 0.3], level=0.9)
    # One degree of freedom: t = 6.314; the deviation is 0.1414, over the root of two 0.1.
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2 - 0.6314, 0.2 + 0.6314), abs=1e-4)
    with pytest.raises(ValueError, match="two or more"):
        paired([0.1])


def verdict(shift: float, late: int = 0):
    plain = [run(s, [0.0, 0.5, 0.9 - 0.01 * s, 0.9, 0.9, 0.9]) for s in range(5)]
    fast = [run(s, [0.0] * late + [0.0, 0.5, 0.9 - 0.01 * (4 - s) + shift, *[0.9 + shift] * 3], "bfloat16") for s in range(5)]
    return compare(plain, fast)


def test_equal_learning_holds_and_worse_or_slower_learning_does_not():
    assert verdict(0.0).holds
    assert verdict(0.0).success.mean == pytest.approx(0.0, abs=1e-9)
    assert verdict(0.0).ratio.mean == pytest.approx(1.0)
    assert not verdict(-0.3).holds
    assert not verdict(0.0, late=2).holds
    assert verdict(0.0, late=2).ratio.mean > 1.2


def test_a_run_that_never_comes_to_it_holds_nothing():
    found = compare([run(s, [0.9] * 5) for s in range(3)], [run(s, [0.7] * 5, "bfloat16") for s in range(3)])
    assert found.ratio is None
    assert not found.holds
    assert "Too few runs reached 0.8" in table(found)


def test_the_pairs_that_came_to_it_are_told_and_do_not_decide():
    plain = [run(s, [0.0, 0.5, *[0.9] * 4]) for s in range(3)]
    fast = [run(s, [0.0, 0.5, *[0.9] * 4] if s else [0.0, 0.5, *[0.7] * 4], "bfloat16") for s in range(3)]
    found = compare(plain, fast)
    assert (found.reached, len(found.steps)) == (2, 3)
    assert found.ratio.mean == pytest.approx(1.0)
    assert not found.holds
    assert "Steps to 0.8, fast / float32: 1.00 [1.00, 1.00], of the 2 pairs that both reached it" in table(found)


def test_a_longer_run_says_when_it_came_to_it():
    curves = [0.0, 0.5, *[0.9] * 5]
    plain = [run(s, curves) for s in range(3)]
    fast = [run(s, curves if s else [0.0, 0.4, 0.5, 0.6, 0.7, 0.7, 0.7], "bfloat16") for s in range(3)]
    longer = run(0, [0.0, 0.4, 0.5, 0.6, 0.7, 0.7, 0.7, 0.9, 0.9, 0.9, 0.9], "bfloat16")
    found = compare(plain, fast, [longer])
    assert found.longer == ((False, True), (False, False), (False, False))
    assert found.reached == 3
    assert found.steps[0][1] > plain[0].result.steps
    assert "*" in table(found)
    # Of one that came to it before, the longer run says nothing more.
    assert compare(plain, fast, [longer, run(1, [*curves, 0.1])]).steps == found.steps
    with pytest.raises(FetchbenchError, match="the longer run of seed 0 went otherwise from the start"):
        compare(plain, fast, [run(0, [0.1] * 9, "bfloat16")])
    with pytest.raises(FetchbenchError, match=r"no longer run of any that are compared: .*seed 7"):
        compare(plain, fast, [run(7, [0.9] * 9)])


def test_other_runs_are_refused():
    plain = [run(s, [0.9] * 5) for s in range(2)]
    with pytest.raises(FetchbenchError, match="not the same runs"):
        compare(plain, [run(s, [0.9] * 5, "bfloat16") for s in (0, 2)])
    with pytest.raises(FetchbenchError, match="one method on one task"):
        compare(plain, [make_record("other", seed=s) for s in range(2)])
    with pytest.raises(FetchbenchError, match="one run in float32"):
        compare(plain, plain)


def test_the_command_reads_two_folders(tmp_path):
    for precision in ("float32", "bfloat16"):
        for seed in range(3):
            path = tmp_path / precision / f"seed{seed}" / "record.json"
            path.parent.mkdir(parents=True)
            path.write_text(record_text(run(seed, [0.2, 0.7, 0.9, 0.9, 0.9], precision)))
    arguments = [str(tmp_path / "float32"), str(tmp_path / "bfloat16")]
    answer = CliRunner().invoke(main, arguments)
    assert answer.exit_code == 0, answer.output
    assert "Within the margins: yes" in answer.output
    assert CliRunner().invoke(main, arguments[::-1]).exit_code == 1
    assert math.isfinite(
        compare([run(s, [0.9] * 5) for s in range(2)], [run(s, [0.9] * 5, "bfloat16") for s in range(2)]).success.low
    )
