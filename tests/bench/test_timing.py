"""The arithmetic of pairs, on known numbers."""

from __future__ import annotations

import itertools

import pytest

from fetchbench.bench import timing
from fetchbench.bench.report import cell, number, rows
from fetchbench.bench.timing import Line, Part, Spread, rate, single, take_turns


def test_a_spread():
    spread = Spread((3.0, 1.0, 2.0, 10.0))
    assert (spread.median, spread.low, spread.high) == (2.5, 1.0, 10.0)
    assert spread.as_dict() == {"median": 2.5, "low": 1.0, "high": 10.0, "values": [3.0, 1.0, 2.0, 10.0]}


def test_the_ratio_is_the_pairs_own_and_says_how_many_times_better_ours_is():
    ours, theirs = Spread((2.0, 30.0, 5.0)), Spread((1.0, 10.0, 5.0))
    assert Line("", "steps/s", "higher", ours, theirs).ratio == Spread((2.0, 3.0, 1.0))
    faster = Line("", "ms", "lower", theirs, ours).ratio
    assert faster == Spread((2.0, 3.0, 1.0))
    # Not the ratio of the medians, 5 / 5.
    assert faster is not None
    assert faster.median == 2.0


def test_pairs_that_do_not_match_are_refused():
    line = Line("", "ms", "lower", Spread((1.0,)), Spread((1.0, 2.0)))
    with pytest.raises(ValueError, match="argument 2 is longer"):
        assert line.ratio


@pytest.mark.parametrize(
    ("targets", "met"),
    [({"at_least": 2.0}, True), ({"at_least": 2.1}, False), ({"at_most": 4.0}, True), ({"at_most": 3.9}, False), ({}, None)],
)
def test_targets_are_for_the_median(targets, met):
    line = Line("", "ms", "lower", Spread((2.0, 4.0, 9.0)), Spread((4.0, 8.0, 90.0)), "SB3", **targets)
    assert line.met is met


def test_contestants_take_turns_after_one_call_for_nothing():
    calls: list[str] = []
    numbers = itertools.count()

    def contestant(name):
        def measure() -> float:
            calls.append(name)
            return float(next(numbers))

        return measure

    found = take_turns(2, {"a": contestant("a"), "b": contestant("b")})
    assert calls == ["a", "b"] * 3
    assert found == {"a": Spread((2.0, 4.0)), "b": Spread((3.0, 5.0))}


def test_a_rate_counts_whole_calls(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def do() -> None:
        clock[0] += 0.4

    assert rate(do, 1.0) == pytest.approx(1 / 0.4)
    assert clock[0] == pytest.approx(1.2)  # three calls: two end before the second is over


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.2345, "0.234"), (12.34, "12.3"), (169652.4, "169,652")])
def test_numbers_have_three_digits_that_count(value, text):
    assert number(value) == text


def test_a_row():
    line = Line("sample", "ms", "lower", Spread((2.0, 2.0, 4.0)), Spread((8.0, 10.0, 8.0)), "SB3", at_least=4.5)
    assert list(rows(Part("replay", [line], []))) == [
        ["sample", "ms", "2 (2-4)", "8 (8-10)", "SB3", "4x (2-5)", "at least 4.5x", "NO"]
    ]
    alone = Line("bytes", "B", "lower", single(21_722), at_most=22_600)
    assert list(rows(Part("replay", [alone], []))) == [["bytes", "B", "21,722", "-", "", "-", "at most 22,600 B", "yes"]]
    assert cell(Spread((0.5,)), "x") == "0.5x"
