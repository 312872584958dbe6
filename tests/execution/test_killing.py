"""Ten random ``kill -9``s over a small suite; a hundred: ``python tests/execution/killing.py``."""

from __future__ import annotations

from execution.killing import trial


def test_a_suite_that_is_killed_ten_times_comes_out_as_an_undisturbed_one(tmp_path):
    report = trial(tmp_path, kills=10, seeds=2, steps=600, seed=0)
    assert report.kills >= 5  # fewer than ten where the suite was whole before
    assert report.victims["command"] >= 1
    assert report.victims["trainer"] + report.victims["worker"] >= 1
