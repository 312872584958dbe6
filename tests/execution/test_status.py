"""The state of runs, as their folders show it."""

from __future__ import annotations

import fcntl
import json
import os
import platform

import pytest
from leaderboard.factory import make_method, make_record

from fetchbench.execution import Job, RunStatus, finished_records, inspect, prepare, statuses
from fetchbench.records.schema import Method
from fetchbench.records.store import record_text
from fetchbench.run.process import locked
from fetchbench.suite import Suite, load_suite, read_index, run_key, write_index

SUITE = """
title = "Small"
tasks = ["FetchReach-v4"]
track = "pixels-only"
seeds = {seeds}
[pixels]
preset = "reach-cpu"
[learner]
preset = "reach-cpu"
[budget]
steps = {steps}
[evaluation]
every_steps = 500
last = 2
[template]
routing = "critic"
[methods.nature]
encoder = "nature"
"""


@pytest.fixture
def job(tmp_path):
    (job,) = prepare(tmp_path, [make_record("nature").request])
    return job


def progress_line(steps: int) -> str:
    return json.dumps({"kind": "progress", "steps": steps}) + "\n"


def test_a_run_that_was_not_started(job):
    assert (inspect(job).state, inspect(job).steps) == ("waiting", 0)


def test_a_run_without_a_checkpoint_starts_again(job):
    (job.directory / "metrics.jsonl").write_text(progress_line(150))
    assert (inspect(job).state, inspect(job).steps) == ("waiting", 0)


def test_a_stopped_run_goes_on_where_it_was(job):
    (job.directory / "metrics.jsonl").write_text(progress_line(150))
    (job.directory / "checkpoint").mkdir()
    (job.directory / "checkpoint" / "manifest.json").write_text("{}")
    assert (inspect(job).state, inspect(job).steps) == ("stopped", 150)


def test_a_run_that_some_process_holds(job):
    (job.directory / "metrics.jsonl").write_text(progress_line(150))
    with (job.directory / "lock").open("a") as lock:
        assert inspect(job).state == "waiting"
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert (inspect(job).state, inspect(job).steps) == ("running", 150)


def test_a_finished_and_a_damaged_run(job):
    record = make_record("nature")
    (job.directory / "record.json").write_text(record_text(record))
    assert (inspect(job).state, inspect(job).score) == ("done", 0.8)
    (job.directory / "record.json").write_text(record_text(record).replace("0.8", "0.9"))
    assert inspect(job).state == "error"
    assert "does not match its sha256" in inspect(job).message


# -- a suite's runs ---------------------------------------------------------------------------------------------------


def write_suite(folder, steps: int = 2000, seeds: tuple[int, ...] = (0, 1)) -> Suite:
    path = folder / "small.toml"
    path.write_text(SUITE.format(steps=steps, seeds=list(seeds)))
    return load_suite(str(path))


def ask_for(runs, suite: Suite, *more: Method) -> list[Job]:
    """Index and folders, as a run of the suite leaves them, without loading a plugin."""
    made = []
    for seed in suite.seeds:
        for method in (*suite.methods, *more):
            fields = {"scene": suite.scene, "learner": suite.learner, "budget": suite.budget, "evaluation": suite.evaluation}
            request = make_record(method, seed=seed, suite=suite.name, request=fields).request
            made.append(request.model_copy(update={"key": run_key(request)}))
    write_index(runs, suite, made)
    return prepare(runs, made)


def finish(job: Job) -> None:
    request = job.request
    record = make_record(request.method, seed=request.seed).model_copy(update={"request": request})
    (job.directory / "record.json").write_text(record_text(record))


def test_a_suite_that_was_never_run(tmp_path):
    found = statuses(tmp_path / "runs", write_suite(tmp_path), None)
    assert [(run.method, run.seed, run.state, run.directory) for run in found] == [
        ("nature", 0, "waiting", None),
        ("nature", 1, "waiting", None),
    ]


def test_a_suites_runs_and_those_of_plugin_methods(tmp_path):
    suite, runs = write_suite(tmp_path), tmp_path / "runs"
    jobs = ask_for(runs, suite, make_method("four-conv"))
    finish(jobs[0])
    finish(jobs[1])
    index = read_index(runs, "small")
    found = statuses(runs, suite, index)
    assert [(run.method, run.seed, run.state, run.score) for run in found] == [
        ("nature", 0, "done", 0.8),
        ("nature", 1, "waiting", None),
        ("four-conv", 0, "done", 0.8),
        ("four-conv", 1, "waiting", None),
    ]
    records, problems = finished_records(runs, index)
    assert [record.request.method.name for record in records] == ["nature", "four-conv"]
    assert problems == []


def test_a_record_that_cannot_be_read_is_left_out_and_named(tmp_path):
    suite, runs = write_suite(tmp_path), tmp_path / "runs"
    jobs = ask_for(runs, suite)
    finish(jobs[0])
    (jobs[1].directory / "record.json").write_text("{")
    records, problems = finished_records(runs, read_index(runs, "small"))
    assert [record.request.seed for record in records] == [0]
    assert len(problems) == 1
    assert str(jobs[1].directory / "record.json") in problems[0]


def test_runs_of_a_suite_that_was_changed_do_not_count(tmp_path):
    suite, runs = write_suite(tmp_path), tmp_path / "runs"
    for job in ask_for(runs, suite):
        finish(job)
    index = read_index(runs, "small")
    assert {run.state for run in statuses(runs, suite, index)} == {"done"}
    longer = write_suite(tmp_path, steps=3000)
    assert {(run.state, run.message) for run in statuses(runs, longer, index)} == {
        ("waiting", "the suite has changed since it was run")
    }


def test_seeds_that_a_suite_no_longer_asks_for(tmp_path):
    suite, runs = write_suite(tmp_path, seeds=(0, 1, 2)), tmp_path / "runs"
    jobs = ask_for(runs, suite, make_method("four-conv"))
    finish(jobs[2])
    fewer = write_suite(tmp_path, seeds=(0,))
    assert [(run.method, run.seed, run.state) for run in statuses(runs, fewer, read_index(runs, "small"))] == [
        ("nature", 0, "waiting"),
        ("four-conv", 0, "waiting"),
        ("nature", 1, "done"),
        ("four-conv", 1, "waiting"),
        ("four-conv", 2, "waiting"),
    ]


# -- who is at it, and what happens next ------------------------------------------------------------------------------


def look(tmp_path, *jobs_do) -> list:
    suite, runs = write_suite(tmp_path), tmp_path / "runs"
    for job, do in zip(ask_for(runs, suite), jobs_do, strict=True):
        do(job.directory)
    return statuses(runs, suite, read_index(runs, "small"))


def test_attempts_and_the_last_sign_of_life(tmp_path):
    def begun(folder) -> None:
        (folder / "attempts.jsonl").write_text('{"attempt": 1}\n{"attempt": 2}\n')
        (folder / "metrics.jsonl").write_text(progress_line(150))
        os.utime(folder / "metrics.jsonl", (500.0, 500.0))  # of the attempt before
        os.utime(folder / "attempts.jsonl", (1000.0, 1000.0))

    one, other = look(tmp_path, begun, lambda folder: None)
    assert (one.state, one.attempts, one.alive, one.owner) == ("waiting", 2, 1000.0, "")
    assert (other.attempts, other.alive) == (0, None)
    assert (one.next(), other.next()) == ("`run` starts it again", "`run` starts it")


def test_the_owner_is_who_holds_the_lock(tmp_path):
    suite, runs = write_suite(tmp_path), tmp_path / "runs"
    ours, theirs = ask_for(runs, suite)
    with locked(ours.directory), (theirs.directory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # by somebody who says nothing
        one, other = statuses(runs, suite, read_index(runs, "small"))
    assert (one.state, other.state) == ("running", "running")
    assert one.owner == f"process {os.getpid()} on {platform.node()}"
    assert other.owner == "a process that has not said which"
    after, _ = statuses(runs, suite, read_index(runs, "small"))
    assert (after.state, after.owner) == ("waiting", "")


@pytest.mark.parametrize(
    ("state", "silent_s", "says"),
    [
        ("running", 60, "goes on"),
        ("running", -3600, "goes on"),  # the clock was set back since
        ("running", 1800, "silent for 30 min: if it hangs, stop it; `run` goes on"),
        ("stopped", 1800, "`run` goes on from its checkpoint"),
        ("diverged", 0, "none: recorded, and not tried again"),
        ("done", 0, "none"),
        ("error", 0, "its folder has to be deleted"),
    ],
)
def test_what_happens_next(state, silent_s, says):
    run = RunStatus("nature", "FetchReach-v4", 0, state, attempts=1, alive=1000.0)
    assert run.next(1000.0 + silent_s) == says


def test_long_metrics_are_read_from_their_end(job):
    lines = [progress_line(50 * n) for n in range(1, 20_000)]
    (job.directory / "metrics.jsonl").write_text("".join(lines) + '{"kind": "progress", "st')
    (job.directory / "checkpoint").mkdir()
    (job.directory / "checkpoint" / "manifest.json").write_text("{}")
    assert (inspect(job).state, inspect(job).steps) == ("stopped", 50 * 19_999)
