"""Methods over all tasks of a suite."""

from __future__ import annotations

import pytest

from fetchbench.leaderboard import rows
from fetchbench.leaderboard.across import suite_rows
from fetchbench.leaderboard.board import board
from fetchbench.leaderboard.notes import SuiteNotes
from fetchbench.records.schema import Record
from fetchbench.statistics.comparison import suite_mean

from .factory import make_method, make_record
from .test_board import table_rows

REACH, PUSH = "FetchReach-v4", "FetchPush-v4"


def records() -> list[Record]:
    found = []
    for name, reach, push, number in (("a", 0.9, 0.3, 5), ("b", 0.7, 0.5, 5), ("c", 0.1, 0.0, 3), ("d", 0.9, 0.9, 2)):
        for task, rate in ((REACH, reach), (PUSH, push)):
            found += [make_record(name, s, (0.0, 0.0, rate, rate), task=task) for s in range(number)]
    found += [make_record("half", s, (1.0,) * 4, task=REACH) for s in range(5)]
    found += [make_record(make_method("state", track="state"), 0, (1.0,) * 4, task=task) for task in (REACH, PUSH)]
    return found


def test_means_ranks_and_ties():
    found = suite_rows(rows(records()))
    assert [(row.method.name, row.rank, row.tied, row.evidence) for row in found] == [
        ("d", None, False, "draft"),
        ("a", 1, True, "ranked"),
        ("b", 1, True, "ranked"),
        ("c", 3, False, "provisional"),
        ("half", None, False, "draft"),
        ("state", None, False, "draft"),
    ]
    a = found[1]
    scores = {task: a.of_task[task].scores for task in (PUSH, REACH)}
    assert a.success == suite_mean(scores, {task: a.of_task[task].variance_floor for task in (PUSH, REACH)})
    assert a.area == pytest.approx((a.of_task[PUSH].area + a.of_task[REACH].area) / 2)


def test_a_method_that_lacks_a_task_has_no_mean():
    half = next(row for row in suite_rows(rows(records())) if row.method.name == "half")
    assert (half.success, half.area) == (None, None)


def test_a_task_that_the_suite_asks_for_and_nobody_ran_leaves_no_mean_and_no_rank():
    asked = (PUSH, REACH, "FetchSlide-v4")
    assert all((row.success, row.area, row.rank) == (None, None, None) for row in suite_rows(rows(records()), asked))
    notes = SuiteNotes(runs=tuple(("a", task, 0) for task in asked))
    page = board({"s": records()}, {"s": notes})
    assert "No method has a mean or a rank yet: no run of FetchSlide-v4 has a score.\n\n| Rank |" in page
    found = {row["Method"]: row for row in table_rows(page, "### Over all tasks")}
    assert (found["**a**"]["Rank"], found["**a**"]["Mean success [95 %]"], found["**a**"]["FetchSlide-v4"]) == ("-", "-", "-")
    assert found["**a**"][REACH] == "0.90 (5/5)"
    full = [*records(), *(make_record("a", s, (1.0,) * 4, task="FetchSlide-v4") for s in range(5))]
    page = board({"s": full}, {"s": notes})
    assert "No method has a mean" not in page
    found = {row["Method"]: row for row in table_rows(page, "### Over all tasks")}
    assert (found["**a**"]["Rank"], found["**b**"]["Rank"], found["**b**"]["FetchSlide-v4"]) == ("1", "-", "-")


def test_the_table():
    page = board({"s": records()}, {})
    found = {row["Method"]: row for row in table_rows(page, "### Over all tasks")}
    assert found["**a**"]["Rank"] == "1="
    assert found["**a**"]["Mean success [95 %]"].startswith("**0.60** [0.5")
    assert (found["**a**"][REACH], found["**a**"][PUSH]) == ("0.90 (5/5)", "0.30 (0/5)")
    assert (found["**half**"]["Mean success [95 %]"], found["**half**"][PUSH]) == ("-", "-")
    assert page.index("### Over all tasks") < page.index("### FetchPush-v4")
    assert "### Over all tasks" not in board({"s": [make_record()]}, {})
