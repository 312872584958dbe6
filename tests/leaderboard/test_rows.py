"""The numbers of a row, from records worked out by hand."""

from __future__ import annotations

import pytest

from fetchbench.leaderboard.rows import Row, SeedScore, rows
from fetchbench.records.schema import Component, Record
from fetchbench.statistics import binomial_variance, mean_interval

from .factory import VERSION, make_method, make_record


def row(*records: Record) -> Row:
    (found,) = rows(records)
    return found


def test_seeds_are_sorted_and_each_is_kept():
    found = row(make_record(seed=2), make_record(seed=0, status="failed"), make_record(seed=1, status="diverged"))
    assert found.seeds == (SeedScore(0, "failed", None), SeedScore(1, "diverged", 0.0), SeedScore(2, "done", 0.8))
    assert found.scored == 2
    assert found.evidence == "draft"


def test_a_diverged_seed_counts_as_0_and_a_failed_one_not_at_all():
    found = row(*(make_record(seed=s, successes=(0.9,) * 4) for s in range(3)), make_record(seed=3, status="diverged"))
    assert found.success.mean == pytest.approx(0.675)
    assert found.any_step == pytest.approx(0.75)
    assert (found.solved, found.scored) == (3, 4)
    found = row(*(make_record(seed=s, successes=(0.9,) * 4) for s in range(3)), make_record(seed=3, status="failed"))
    assert found.success.mean == pytest.approx(0.9)
    assert (found.solved, found.scored, found.evidence) == (3, 3, "provisional")


def test_a_censored_seed_is_scored_as_it_stood():
    assert row(make_record(status="censored")).seeds[0] == SeedScore(0, "censored", 0.8)


def test_failed_seeds_alone_are_a_row_without_a_score():
    found = row(*(make_record(seed=s, status="failed") for s in range(5)))
    assert (found.success, found.any_step, found.takeoff, found.rank) == (None, None, None, None)
    assert (found.scored, found.solved, found.took_off, found.evidence) == (0, 0, 0, "draft")


def test_diverged_seeds_alone_score_0_without_a_spread():
    found = row(*(make_record(seed=s, successes=(), status="diverged") for s in range(3)))
    assert (found.success.mean, found.success.low, found.success.high) == (0.0, 0.0, 0.0)
    assert (found.any_step, found.takeoff) == (0.0, None)


def test_the_interval_has_the_evaluations_error_as_its_floor():
    """Three seeds that agree: 2 evaluations of 50 episodes each stand behind every score."""
    found = row(*(make_record(seed=s, successes=(0.6,) * 4) for s in range(3)))
    assert found.success == mean_interval([0.6] * 3, variance_floor=binomial_variance(0.6, 100))
    assert found.success.high - found.success.low > 0.2


@pytest.mark.parametrize(
    ("seeds", "steps", "took_off"),
    [
        ([(0.3, 0.3), (0.0, 0.3, 0.3), (0.0, 0.0, 0.3, 0.3)], 1000, 3),
        ([(0.3, 0.3), (0.0, 0.3, 0.3), (0.0,)], 1000, 2),  # never is later than all others
        ([(0.3, 0.3), (0.0,), (0.0,)], None, 1),
        ([(0.3, 0.3), (0.0,)], 500, 1),  # of two, the earlier
        ([(0.0,), (0.0,)], None, 0),
    ],
)
def test_takeoff_of_the_median_seed(seeds, steps, took_off):
    found = row(*(make_record(seed=s, successes=successes) for s, successes in enumerate(seeds)))
    assert (found.takeoff and found.takeoff.steps) == steps
    assert found.took_off == took_off


def test_parameters_are_those_of_the_encoder_and_missing_where_no_record_says():
    assert row(make_record(parameters={"actor": 5, "encoder": 7, "auxiliary": 9})).encoder_parameters == 7
    assert row(make_record(parameters={"actor": 5})).encoder_parameters is None
    assert row(make_record(parameters={"encoder": 0})).encoder_parameters == 0
    later = row(make_record(seed=0, parameters={}), make_record(seed=1, parameters={"encoder": 7}))
    assert later.encoder_parameters == 7


def test_providers():
    local = Component(name="x", provider="my.py", version="local", source_sha256="0123456789" * 6 + "abcd")
    wrapping = Component(name="y", provider="their-package", version="1.2", source_sha256="f", wraps=local)
    found = row(make_record(make_method(encoder=wrapping)))
    assert found.providers == ("fetchbench 0.1.0", "my.py local 01234567", "their-package 1.2")
    assert row(make_record(make_method(encoder=Component(name="x"), routing=Component(name="critic")))).providers == ()


def test_equal_successes_tie_however_they_are_added_up():
    """Four seeds whose mean is 0.805 on paper, and to the last bit for one method alone."""
    rates = {"a": [1.0, 0.97, 0.52, 0.73], "b": [0.64, 0.8, 0.88, 0.9]}
    found = rows([make_record(name, s, (rate, rate)) for name, of in rates.items() for s, rate in enumerate(of)])
    assert [r.success.mean for r in found] == [0.8049999999999999, 0.805]
    assert [(r.method.name, r.rank) for r in found] == [("a", 1), ("b", 1)]


def test_rows_come_by_task_then_by_mean():
    version = {"encoder": Component(name="e", **VERSION)}
    records = [
        make_record(make_method(name, **version), s, (rate,) * 4, task=task)
        for task in ("B", "A")
        for name, rate in (("low", 0.1), ("high", 0.9))
        for s in range(3)
    ]
    assert [(r.task, r.method.name, r.rank) for r in rows(records)] == [
        ("A", "high", 1), ("A", "low", 2), ("B", "high", 1), ("B", "low", 2)
    ]  # fmt: skip
