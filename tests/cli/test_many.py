"""A thousand runs: what is asked of them every day answers at once."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from leaderboard.factory import make_record

from fetchbench.execution import begin, plan
from fetchbench.records.store import record_text

SUITE = """
title = "Twenty-five methods, forty seeds each"
tasks = ["FetchReach-v4"]
track = "pixels-only"
seeds = 40
[pixels]
preset = "reach-cpu"
[learner]
preset = "reach-cpu"
[budget]
steps = 2000
[evaluation]
every_steps = 500
last = 2
[template]
routing = "critic"
"""
METHODS = 25


@pytest.fixture
def many(workspace) -> Path:
    """A workspace in which nine runs in ten are done; the others have a checkpoint and what a run of hours says on the way."""
    methods = [f'[methods.m{n}]\nencoder = {{ name = "manipulation", filters = {n + 1} }}\n' for n in range(METHODS)]
    (workspace / "suites" / "many.toml").write_text(SUITE + "".join(methods))
    lines = [{"kind": "start", "pid": 1, "at": 0}, *[{"kind": "progress", "steps": 10 * n} for n in range(150)]]
    said = "".join(json.dumps(line) + "\n" for line in lines)
    runs = Path("runs")
    for number, job in enumerate(begin(plan("many", runs, device="cpu", precision="float32"), runs)):
        (job.directory / "metrics.jsonl").write_text(said)
        (job.directory / "attempts.jsonl").write_text('{"at": 0}\n')
        if number % 10:
            successes = [(number * 7 + 3 * n) % 11 / 10 for n in range(4)]
            record = make_record(successes=successes, request=dict(job.request))
            (job.directory / "record.json").write_text(record_text(record))
        else:
            (job.directory / "checkpoint").mkdir()
            (job.directory / "checkpoint" / "manifest.json").write_text("{}")
    return workspace


def test_status_and_publish_of_a_thousand_runs_take_a_moment(many):
    """One second and five; processor time, and on a slow machine in proportion."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(many / "bytecode")

    def took_s(*arguments: str) -> tuple[float, str]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout

    pace_s = max(0.17, min(took_s("-c", "import click, pydantic.main")[0] for _ in range(3)))  # a fifth of a second, usually
    limits = {("status", "many"): 6 * pace_s, ("publish", "many"): 30 * pace_s}
    for arguments, limit_s in limits.items():
        times_s = []
        while len(times_s) < 2 or (min(times_s) >= limit_s and len(times_s) < 4):
            shutil.rmtree("leaderboard", ignore_errors=True)
            spent_s, said = took_s("-m", "fetchbench", *arguments)
            times_s.append(spent_s)
        assert min(times_s) < limit_s, (arguments, times_s, pace_s)
        assert ("1000 runs: 100 stopped, 900 done" if arguments[0] == "status" else "many: 900 new") in said, said[-400:]
