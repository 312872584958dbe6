"""``fetchbench compare``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from leaderboard.factory import make_record, published_at, write_published, write_runs

from fetchbench.protocol import Budget
from fetchbench.records.schema import Record
from fetchbench.statistics.comparison import seeds_needed

REACH, PUSH = "FetchReach-v4", "FetchPush-v4"


def seeds(method: str, scores: Sequence[float], **changes: object) -> list[Record]:
    """A record per score."""
    return [make_record(method, seed, (score, score), **changes) for seed, score in enumerate(scores)]


@pytest.fixture
def published(workspace: Path) -> Path:
    """Two methods, five seeds each, on one task: ``good`` is better than ``poor``."""
    write_published(workspace, seeds("good", [0.9, 0.8, 1.0, 0.9, 0.9]) + seeds("poor", [0.3, 0.1, 0.5, 0.2, 0.4]))
    return workspace


def test_one_method_is_better(fetchbench, published):
    answer = fetchbench("compare", "good", "poor")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "reach-v1, published records",
        "A   good: good · critic · pixels-only · 64x64x1",
        "B   poor: poor · critic · pixels-only · 64x64x1",
        "",
        "task           seeds     A     B  A - B  95 % interval       p  seeds needed",
        "-------------  -----  ----  ----  -----  --------------  -----  ------------",
        "FetchReach-v4  5 + 5  0.90  0.30  +0.60  [+0.41, +0.79]  0.008             4",
        "",
        "good is better than poor (p = 0.008).",
        "To tell a true difference of 0.60 four times in five, 4 seeds of each are needed.",
    ]


def test_the_order_does_not_decide_who_is_better(fetchbench, published):
    out = fetchbench("compare", "poor", "good").out
    assert "  -0.60  [-0.79, -0.41]  0.008 " in out
    assert "\ngood is better than poor (p = 0.008).\n" in out


def test_no_difference_can_be_told(fetchbench, workspace):
    one, other = [0.9, 0.5, 0.7, 0.6, 0.8], [0.5, 0.6, 0.4, 0.8, 0.5]
    write_published(workspace, seeds("one", one) + seeds("other", other))
    out = fetchbench("compare", "one", "other").out
    assert "\nNo difference can be told between one and other (p = 0." in out
    needed = seeds_needed({REACH: one}, {REACH: other})
    assert 10 < needed < 30
    assert out.endswith(f"To tell a true difference of 0.14 four times in five, {needed} seeds of each are needed.\n")


def test_a_small_p_whose_interval_holds_0_tells_nothing(fetchbench, workspace):
    write_published(workspace, seeds("odd", [0.0, 0.0, 0.9, 0.9, 0.9]) + seeds("steady", [0.9, 0.91] * 5))
    out = fetchbench("compare", "odd", "steady").out
    assert "  [-0.98, +0.25]  0.0" in out
    assert "\nNo difference can be told between odd and steady (p = 0.0" in out
    assert ", but the interval holds 0).\n" in out


def test_a_difference_too_small_to_tell(fetchbench, workspace):
    write_published(workspace, seeds("one", [0.1, 0.5, 0.9]) + seeds("other", [0.11, 0.5, 0.9]))
    out = fetchbench("compare", "one", "other").out
    assert "  > 100\n" in out
    assert out.endswith("To tell so small a difference, more than 100 seeds of each would be needed.\n")


def test_three_seeds_can_tell_nothing_on_one_task(fetchbench, workspace):
    write_published(workspace, seeds("good", [1.0] * 3) + seeds("poor", [0.0] * 3))
    out = fetchbench("compare", "good", "poor").out
    assert "\nToo few seeds to tell good and poor apart: p = 0.100, and with so many it can never be below 0.100.\n" in out
    assert "1.00 four times in five, 4 seeds of each are needed." in out


def test_one_seed_has_no_interval(fetchbench, workspace):
    write_published(workspace, seeds("good", [1.0]) + seeds("poor", [0.0] * 3))
    out = fetchbench("compare", "good", "poor").out
    assert out.splitlines()[6].split() == [REACH, "1", "+", "3", "1.00", "0.00", "+1.00", "-", "-", "-"]
    assert out.endswith("Too few seeds to tell good and poor apart: it takes two of each on every task.\n")


def test_several_tasks_and_what_is_left_out(fetchbench, workspace):
    records = [
        *seeds("good", [0.9, 0.8, 1.0]),
        *seeds("poor", [0.3, 0.1, 0.5]),
        *seeds("good", [0.4, 0.5, 0.6], task=PUSH),
        *seeds("poor", [0.1, 0.1, 0.1], task=PUSH),
        *seeds("good", [0.5], task="FetchSlide-v4"),
        make_record("poor", 3, (0.9, 0.9), status="diverged"),
        make_record("poor", 4, (0.9, 0.9), status="failed"),
    ]
    write_published(workspace, records)
    lines = fetchbench("compare", "good", "poor").out.splitlines()
    assert [line.split("  ")[0] for line in lines[6:9]] == [PUSH, REACH, "mean of 2 tasks"]
    assert lines[6].split()[1:7] == ["3", "+", "3", "0.50", "0.10", "+0.40"]
    assert lines[7].split()[1:7] == ["3", "+", "4", "0.90", "0.23", "+0.68"]
    assert lines[8].split()[4:10] == ["3", "+", "3", "0.70", "0.16", "+0.54"]
    assert lines[10].startswith("good is better than poor (p = 0.0")
    assert lines[12:] == [
        "Left out: FetchSlide-v4, on which only good was scored.",
        "poor: 1 failed run, not scored.",
        "poor: 1 diverged run, scored 0.",
    ]


def test_as_json(fetchbench, published):
    answer = fetchbench("compare", "good", "poor", "--json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert found["suite"] == "reach-v1"
    assert (found["a"]["name"], found["b"]["name"]) == ("good", "poor")
    assert (found["better"], found["verdict"], found["level"]) == ("good", "good is better than poor (p = 0.008).", 0.95)
    (task,) = found["tasks"]
    assert task["task"] == REACH
    assert task["a"]["seeds"][1] == {"seed": 1, "status": "done", "score": 0.8}
    assert (task["a"]["mean"], task["difference"], task["p"]) == pytest.approx((0.9, 0.6, 2 / 252))
    assert task["seeds_needed"] == found["all"]["seeds_needed"] == 4
    assert found["all"]["fewest_seeds"] == [5, 5]
    assert found["all"]["low"] < 0.6 < found["all"]["high"]


def test_equal_methods_need_no_seeds(fetchbench, workspace):
    write_published(workspace, seeds("one", [0.4, 0.6]) + seeds("other", [0.6, 0.4]))
    answer = fetchbench("compare", "one", "other", "--json")
    found = json.loads(answer.out)
    assert (found["all"]["difference"], found["all"]["p"], found["all"]["seeds_needed"]) == (0.0, 1.0, None)
    assert found["better"] is None


# -- which records ----------------------------------------------------------------------------------------------------


def test_finished_runs_count_when_asked_for(fetchbench, workspace):
    write_published(workspace, seeds("good", [0.9] * 5))
    unfinished = make_record("poor", 5, (0.9, 0.9))
    write_runs(workspace / "runs", seeds("poor", [0.1] * 5), [unfinished])
    answer = fetchbench("compare", "good", "poor")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "error: unknown method 'poor'. Known: good. These have records that are published; "
        "`--runs` counts finished runs in ./runs too.\n"
    )
    for more in ([], ["--suite", "reach-v1"]):
        answer = fetchbench("compare", "good", "poor", "--runs", *more)
        assert answer.code == 0
        assert answer.out.startswith("reach-v1, published records and finished runs\n")
        assert "  5 + 5  0.90  0.10  +0.80 " in answer.out


def test_records_that_cannot_stand_together_are_refused(fetchbench, published):
    odd = make_record("poor", 5, (0.1, 0.1), request={"budget": Budget(steps=3000)})
    write_published(published, [odd])
    answer = fetchbench("compare", "good", "poor")
    assert (answer.code, answer.out) == (2, "")
    assert "one table, but another protocol (budget.steps: 2000 and 3000)" in answer.err


def test_another_suite_that_cannot_stand_does_not_matter(fetchbench, published):
    odd = [
        make_record("poor", seed, (0.1, 0.1), suite="other", request={"budget": Budget(steps=n)})
        for seed, n in enumerate((2000, 3000))
    ]
    write_published(published, odd)
    assert "good is better" in fetchbench("compare", "good", "poor").out


def test_an_edited_record_is_refused(fetchbench, published):
    path = published_at(published, make_record("good", 0))
    path.write_text(path.read_text().replace('"status": "done"', '"status": "censored"'))
    answer = fetchbench("compare", "good", "poor")
    assert answer.code == 2
    assert "seed0.json: the result does not match its sha256" in answer.err


def test_a_misspelt_method(fetchbench, published):
    answer = fetchbench("compare", "god", "poor")
    assert answer.code == 2
    assert answer.err.startswith("error: unknown method 'god'; did you mean 'good'? Known: good, poor. ")
    answer = fetchbench("compare", "good", "pore", "--suite", "reach-v1")
    assert answer.err.startswith("error: unknown method 'pore'; did you mean 'poor'? Known: good, poor. ")
    assert "These have records of suite reach-v1 that are published" in answer.err
    answer = fetchbench("compare", "good", "poor", "--suite", "reach-v2")
    assert answer.err.startswith("error: unknown suite 'reach-v2'; did you mean 'reach-v1'? Known: reach-v1. ")


def test_methods_of_several_suites_and_of_none_together(fetchbench, published):
    write_published(published, seeds("good", [0.9], suite="reach-v2") + seeds("poor", [0.9], suite="reach-v2"))
    answer = fetchbench("compare", "good", "poor")
    assert answer.err == "error: good and poor are both in reach-v1, reach-v2; say which with --suite\n"
    assert fetchbench("compare", "good", "poor", "--suite", "reach-v2").code == 0
    write_published(published, seeds("alone", [0.9], suite="reach-v3"))
    answer = fetchbench("compare", "good", "alone")
    assert answer.err == (
        "error: good and alone are in no suite together, and only runs of one protocol can be compared: "
        "good in reach-v1, reach-v2; alone in reach-v3\n"
    )


def test_no_task_in_common(fetchbench, workspace):
    write_published(workspace, [*seeds("good", [0.9]), make_record("poor", 0, (0.9, 0.9), status="failed")])
    answer = fetchbench("compare", "good", "poor")
    assert answer.err == (
        "error: good and poor have no task of suite 'reach-v1' in common. Scored: good on FetchReach-v4; poor on none\n"
    )


def test_nothing_to_compare(fetchbench, published):
    answer = fetchbench("compare", "good", "good")
    assert answer.code == 2
    assert "A and B are both 'good'; name two methods" in answer.err


def test_no_record_at_all(fetchbench):
    answer = fetchbench("compare", "a", "b")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == ("error: nothing to compare: no record is published; `--runs` counts finished runs in ./runs too\n")
    assert "no record is published or finished in ./runs" in fetchbench("compare", "a", "b", "--runs").err
