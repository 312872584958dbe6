"""Which comparisons a suite's section shows, and why it shows none."""

from __future__ import annotations

import pytest

from fetchbench.leaderboard import rows
from fetchbench.leaderboard.comparing import comparisons
from fetchbench.leaderboard.notes import SuiteNotes
from fetchbench.records.schema import Record
from fetchbench.statistics.comparison import compare, holm

from .factory import make_method, make_record
from .test_board import table_rows

REACH, PUSH = "FetchReach-v4", "FetchPush-v4"


def seeds(name: str, rate: float, number: int, task: str = REACH) -> list[Record]:
    """Seeds around a rate, each a little off."""
    return [make_record(name, s, (0.0, 0.0, *[round(rate + (s % 3) / 100, 2)] * 2), task=task) for s in range(number)]


def text(records: list[Record], notes: SuiteNotes) -> str:
    return "\n".join(comparisons(rows(records), notes))


def shown(records: list[Record], notes: SuiteNotes, heading: str) -> list[dict[str, str]]:
    return table_rows("\n" + text(records, notes) + "\n", heading)


def test_a_suite_that_declares_nothing_compares_nothing():
    assert comparisons(rows(seeds("a", 0.5, 10)), SuiteNotes()) == []


def test_several_tasks_each_method_against_the_baseline():
    state, tasks = make_method("state", track="state"), (REACH, PUSH)
    records = [make_record(state, seed, (1.0,) * 4, task=task) for seed in range(3) for task in tasks]
    for task in tasks:
        records += seeds("a", 0.5, 3, task) + seeds("b", 0.9, 3, task) + seeds("c", 0.5, 3, task)
    found = shown(records, SuiteNotes(baseline="a"), "**Each method against the baseline `a`**")
    assert [row["Method"] for row in found] == ["**b**", "**c**"]  # neither the baseline nor an anchor
    of = {row.method.name + row.task: row for row in rows(records)}
    scores = {name: {task: of[name + task].scores for task in (PUSH, REACH)} for name in "abc"}
    floors = {name: {task: of[name + task].variance_floor for task in (PUSH, REACH)} for name in "abc"}
    by_hand = [compare(scores[name], scores["a"], floors[name], floors["a"]) for name in "bc"]
    adjusted = holm([outcome.p for outcome in by_hand])
    for row, outcome, p in zip(found, by_hand, adjusted, strict=True):
        assert row["Seeds"] == "3 + 3"
        assert row["p"] == f"{outcome.p:.3f}"
        assert row["p, Holm"] == f"{p:.3f}"
    assert found[0]["Difference [95 %]"].startswith("**+0.40** [+0.")
    assert found[1]["Difference [95 %]"].startswith("**0.00** [-0.")
    assert [row["Reads as"] for row in found] == ["better" if adjusted[0] < 0.05 else "not told apart", "not told apart"]


def test_one_task_with_few_seeds_has_no_table_but_a_reason():
    records = seeds("a", 0.5, 10) + seeds("b", 0.9, 5)
    assert text(records, SuiteNotes(baseline="a")) == (
        "### Comparisons\n\nThere is no table of each method against the baseline `a`: on one task every method would need "
        "10 scored seeds, and `b` has 5."
    )


def test_one_task_where_all_have_ten_seeds():
    records = seeds("a", 0.5, 10) + seeds("b", 0.9, 10)
    (row,) = shown(records, SuiteNotes(baseline="a"), "**Each method against the baseline `a`**")
    assert (row["Method"], row["Against"], row["p"], row["Reads as"]) == ("**b**", "a", "<0.001", "better")


def test_contrasts_on_one_task_take_a_baseline_of_ten_seeds():
    notes = SuiteNotes(baseline="a", contrasts=(("b", "a"), ("c", "a"), ("c", "b")))
    records = seeds("a", 0.5, 10) + seeds("b", 0.2, 5) + seeds("c", 0.5, 5)
    found = shown(records, notes, "**Contrasts named beforehand**")
    assert [(row["Method"], row["Against"], row["Seeds"]) for row in found] == [
        ("**b**", "a", "5 + 10"), ("**c**", "a", "5 + 10"), ("**c**", "b", "5 + 5")
    ]  # fmt: skip
    assert [row["Reads as"] for row in found] == ["worse", "not told apart", "better"]
    few = seeds("a", 0.5, 9) + records[10:]
    assert text(few, notes).endswith(
        "The 3 contrasts named beforehand are not tested yet: on one task the baseline needs 10 scored seeds, and `a` has 9."
    )
    without = SuiteNotes(contrasts=(("b", "a"),))
    assert text(few, without).endswith(
        "The contrast named beforehand is not tested yet: on one task the baseline needs 10 scored seeds, and none is declared."
    )


def test_anchors_do_not_count_for_contrasts_either():
    """All competitors have ten seeds: no baseline is needed, whatever the anchors have."""
    state = make_method("state", track="state")
    records = seeds("a", 0.5, 10) + seeds("b", 0.9, 10) + [make_record(state, seed, (1.0,) * 4) for seed in range(3)]
    (row,) = shown(records, SuiteNotes(contrasts=(("b", "a"),)), "**Contrasts named beforehand**")
    assert row["Reads as"] == "better"


def test_a_small_p_whose_interval_holds_0_tells_nothing():
    scores = [0.0, 0.0, 0.9, 0.9, 0.9]
    records = seeds("a", 0.9, 10) + [make_record("b", seed, (0.0, 0.0, score, score)) for seed, score in enumerate(scores)]
    (row,) = shown(records, SuiteNotes(baseline="a", contrasts=(("b", "a"),)), "**Contrasts named beforehand**")
    assert float(row["p"]) < 0.05
    assert row["Difference [95 %]"].startswith("**-0.37** [-0.98, +0.24]")
    assert row["Reads as"] == "not told apart"


def test_lines_without_p_count_in_the_adjustment():
    """The others' p would rise when their runs came in."""
    notes = SuiteNotes(baseline="a", contrasts=(("b", "a"), ("c", "a"), ("d", "a")))
    records = seeds("a", 0.5, 10) + seeds("b", 0.9, 5) + seeds("c", 0.5, 1)
    found = shown(records, notes, "**Contrasts named beforehand**")
    assert [row["Reads as"] for row in found] == ["better", "too few seeds", "not all run"]
    assert [row["p, Holm"] for row in found] == ["0.001", "-", "-"]  # 3 / 3003, not 1 / 3003


def test_too_few_seeds_where_no_scores_could_have_told():
    """Three seeds on two tasks: the smallest p is 0.005, which nine lines leave below 0.05 and ten do not."""
    for number, verdict in ((9, "not told apart"), (10, "too few seeds")):
        names = [f"m{n}" for n in range(number)]
        records = [r for task in (REACH, PUSH) for name in ("a", *names) for r in seeds(name, 0.5, 3, task)]
        found = shown(records, SuiteNotes(baseline="a"), "**Each method against the baseline `a`**")
        assert [row["Reads as"] for row in found] == [verdict] * number


def test_more_than_six_contrasts_on_one_task_are_not_tested():
    names = "bcdefgh"
    records = seeds("a", 0.5, 10) + [r for name in names for r in seeds(name, 0.2, 5)]
    notes = SuiteNotes(baseline="a", contrasts=tuple((name, "a") for name in names))
    assert "The 7 contrasts named beforehand are not tested: on one task 6 are the most" in text(records, notes)


@pytest.mark.parametrize("other", [[], [make_record("b", 0, status="failed")]])
def test_what_was_not_run_is_told(other):
    records = seeds("a", 0.5, 10) + other
    (row,) = shown(records, SuiteNotes(baseline="a", contrasts=(("b", "a"),)), "**Contrasts named beforehand**")
    assert (row["Difference [95 %]"], row["p"], row["Reads as"]) == ("-", "-", "not all run")
    assert "it has no record yet" in text(seeds("b", 0.5, 3), SuiteNotes(baseline="a"))


def test_a_single_seed_has_a_difference_and_no_p():
    records = [r for task in (REACH, PUSH) for name in "ab" for r in seeds(name, 0.5, 1, task)]
    (row,) = shown(records, SuiteNotes(baseline="a"), "**Each method against the baseline `a`**")
    assert (row["Difference [95 %]"], row["Seeds"], row["p"], row["Reads as"]) == ("**0.00**", "1 + 1", "-", "too few seeds")


def test_a_task_that_the_suite_asks_for_and_nobody_ran_leaves_nothing_to_compare():
    """A difference over one task of two is not the suite's."""
    records = seeds("a", 0.5, 10) + seeds("b", 0.9, 10)
    asked = tuple((name, task, seed) for name in "ab" for task in (REACH, PUSH) for seed in range(10))
    (row,) = shown(records, SuiteNotes(baseline="a", runs=asked), "**Each method against the baseline `a`**")
    assert (row["Difference [95 %]"], row["Reads as"]) == ("-", "not all run")
    reach = tuple(run for run in asked if run[1] == REACH)
    (row,) = shown(records, SuiteNotes(baseline="a", runs=reach), "**Each method against the baseline `a`**")
    assert row["Reads as"] == "better"
