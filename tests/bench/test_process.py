"""Measuring processes: answers, failures, memory."""

from __future__ import annotations

import os
import signal

import pytest

from fetchbench.bench.process import Side, available_memory_mb, resident_memory_mb
from fetchbench.errors import FetchbenchError

CORES = sorted(os.sched_getaffinity(0))
SPREAD = "timing:Spread"


def test_a_side_answers_and_says_how_long_it_took_to_start():
    with Side(SPREAD, CORES, values=[1.0, 3.0]) as side:
        assert side.ask("as_dict") == {"median": 2.0, "low": 1.0, "high": 3.0, "values": [1.0, 3.0]}
        started = side.ready()
        assert 0 < started < 60
        assert side.ready() == started
        # An interpreter, and no torch.
        assert 5 < side.peak_memory_mb() < 100


def test_what_goes_wrong_in_a_side_is_one_line():
    line = r"^timing:Spread: StatisticsError: no median for empty data$"
    with Side(SPREAD, CORES, values=[]) as side, pytest.raises(FetchbenchError, match=line):
        side.ask("as_dict")
    with Side("timing:Nothing", CORES) as side, pytest.raises(FetchbenchError, match="timing:Nothing: AttributeError"):
        side.ready()


def test_a_process_that_is_killed_is_one_line():
    with Side(SPREAD, CORES, values=[1.0]) as side:
        side.ready()
        os.kill(side._process.pid, signal.SIGKILL)
        with pytest.raises(FetchbenchError, match=r"^timing:Spread: its process was killed by signal 9 \(out of memory\?\)$"):
            side.ask("as_dict")


def test_a_process_of_its_own_is_bound_to_its_cores():
    with Side(SPREAD, CORES[:1], values=[1.0]) as side:
        side.ready()
        assert os.sched_getaffinity(side._process.pid) == set(CORES[:1])


def test_memory_of_this_process_and_of_the_machine():
    before = resident_memory_mb()
    held = bytearray(b"x" * 50 * 2**20)
    assert 40 < resident_memory_mb() - before < 110
    assert len(held) < available_memory_mb() * 2**20
