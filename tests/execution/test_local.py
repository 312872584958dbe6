"""Local slots: children are started, watched, interrupted and reported."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from pathlib import Path

import pytest
from leaderboard.factory import make_record

from execution.stand_in import COMMAND, Watcher, make_jobs, run, set_mode, starts
from fetchbench.execution import Job, default_slots, execute, inspect, scheduling


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_every_job_is_run_and_watched(tmp_path):
    jobs = make_jobs(tmp_path, "done", "done", "done")
    watcher = Watcher()
    outcomes = run(jobs, watcher, slots=2)
    assert [(o.state, o.message, o.score) for o in outcomes] == [("done", "", 0.8)] * 3
    assert all(o.recorded for o in outcomes)
    assert watcher.states(0) == ["running", "done"]
    assert watcher.states(2) == ["waiting", "running", "done"]
    assert max(sum(r.state == "running" for r in runs) for runs in watcher.seen) == 2
    last = watcher.seen[-1][0]
    assert (last.steps, last.budget, last.success, last.evaluations, last.score) == (1000, 2000, 0.25, ((1000, 0.25),), 0.8)
    assert last.resumed_at == 0


def test_a_child_gets_its_folder_the_suites_digest_and_the_plugins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (job,) = make_jobs(Path("runs"), "done")
    run([job], plugins=[Path("mine.py"), Path("/elsewhere/other.py")])
    assert json.loads((job.directory / "argv.json").read_text()) == [
        str(job.directory), "--suite-sha256", "f" * 64,
        "--plugin", str(tmp_path / "mine.py"), "--plugin", "/elsewhere/other.py",
    ]  # fmt: skip


def test_a_child_has_as_many_threads_as_its_request_says(tmp_path, monkeypatch):
    """Whatever the machine has: a thread per core in every process would be many times too many."""
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    (job,) = make_jobs(tmp_path, "done")
    run([job])
    assert (job.directory / "threads").read_text() == "1 1 1"


def test_a_job_with_a_record_is_not_started(tmp_path):
    jobs = make_jobs(tmp_path, "done", "done")
    run(jobs[:1])
    set_mode(jobs[0], "crash")
    watcher = Watcher()
    assert [o.state for o in run(jobs, watcher)] == ["done", "done"]
    assert watcher.states(0) == ["done"]


def test_the_episodes_of_a_run_that_was_killed_right_after_its_record_are_removed(tmp_path):
    """Of a pixel run they may be gigabytes."""
    jobs = make_jobs(tmp_path, "done", "done")
    run(jobs)
    for job in jobs:
        (job.directory / "checkpoint").mkdir()
        for name in ("manifest.json", "state-00000008.pt", "replay-00000000-00000008.pt"):
            (job.directory / "checkpoint" / name).write_text("{}")
    with (jobs[1].directory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # still at it: it does so itself
        run(jobs)
    left = [sorted(path.name for path in (job.directory / "checkpoint").iterdir()) for job in jobs]
    assert left[0] == ["manifest.json", "state-00000008.pt"]
    assert len(left[1]) == 3


@pytest.mark.parametrize("status", ["diverged", "failed", "censored"])
def test_a_record_speaks_whatever_status_it_holds(tmp_path, status):
    (job,) = make_jobs(tmp_path, "done")
    record = make_record("nature", status=status)
    result = record.result.model_copy(update={"reason": "critic loss is nan"}).sealed()
    set_mode(job, "done", record.model_copy(update={"result": result}))
    (outcome,) = run([job])
    assert (outcome.state, outcome.message, outcome.recorded) == (status, "critic loss is nan", True)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("error", "the encoder is gone"),
        ("crash", "crashed with exit code 1: RuntimeError: no luck; see {log}"),
        ("kill", "killed by SIGKILL; the system does that when memory runs out"),
        ("nothing", "ended without a record; see {log}"),
    ],
)
def test_a_child_that_fails_is_reported_and_stops_no_other(tmp_path, mode, message):
    jobs = make_jobs(tmp_path, mode, "done")
    failed, done = run(jobs, slots=1)
    assert failed.state == "error"
    assert not failed.recorded
    assert failed.message.startswith(message.format(log=jobs[0].directory / "stderr.log"))
    assert "\n" not in failed.message
    assert done.state == "done"


def test_an_earlier_attempts_error_is_not_taken_for_this_ones(tmp_path):
    jobs = make_jobs(tmp_path, "error")
    run(jobs)
    set_mode(jobs[0], "crash")
    (outcome,) = run(jobs)
    assert "no luck" in outcome.message
    assert "the encoder is gone" in (jobs[0].directory / "stderr.log").read_text()


def test_a_damaged_record_is_an_error_and_not_run_over(tmp_path):
    jobs = make_jobs(tmp_path, "done", "done")
    (jobs[0].directory / "record.json").write_text("{}")
    other = make_record("nature", seed=1, request={"key": "0" * 64})
    (jobs[1].directory / "record.json").write_text(other.model_dump_json())
    damaged, foreign = run(jobs)
    assert damaged.state == foreign.state == "error"
    assert "record.json: not a valid record" in damaged.message
    assert "the record of another run (key 000000000000, not " in foreign.message


def test_a_command_that_cannot_be_started_is_an_error(tmp_path):
    jobs = make_jobs(tmp_path, "done", "done")
    (jobs[0].directory / "stderr.log").mkdir()
    refused, done = run(jobs)
    assert refused.state == "error"
    assert f"could not write {jobs[0].directory / 'stderr.log'}" in refused.message
    assert done.state == "done"


def test_one_interrupt_lets_the_children_checkpoint_and_starts_no_more(tmp_path):
    jobs = make_jobs(tmp_path, "wait", "wait", "done")
    watcher = Watcher(interrupt)
    outcomes = run(jobs, watcher, slots=2)
    assert [(o.state, o.message) for o in outcomes] == [("stopped", ""), ("stopped", ""), ("waiting", "")]
    assert watcher.states(0) == ["running", "stopping", "stopped"]
    assert watcher.states(2) == ["waiting"]
    assert watcher.seen[-1][0].steps == 1050
    assert inspect(jobs[0]).state == "stopped"


def test_a_second_interrupt_leaves_at_once(tmp_path):
    jobs = make_jobs(tmp_path, "stubborn")
    (outcome,) = run(jobs, Watcher(interrupt, interrupt))
    assert outcome.state == "stopped"
    assert not (jobs[0].directory / "checkpoint").exists()


def test_a_third_interrupt_kills_what_does_not_listen(tmp_path):
    (outcome,) = run(make_jobs(tmp_path, "deaf"), Watcher(interrupt, interrupt, interrupt))
    assert outcome.state == "stopped"


def test_sigterm_is_an_interrupt_and_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    (outcome,) = run(make_jobs(tmp_path, "wait"), Watcher(lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert outcome.state == "stopped"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_child_stopped_from_outside_says_so(tmp_path):
    (outcome,) = run(make_jobs(tmp_path, "stop"))
    assert (outcome.state, outcome.message) == ("stopped", "it was told to stop from outside")


def test_what_was_interrupted_goes_on(tmp_path):
    (job,) = make_jobs(tmp_path, "wait")
    run([job], Watcher(interrupt))
    set_mode(job, "done", make_record("nature"))
    assert run([job])[0].state == "done"


def test_when_showing_fails_the_children_are_stopped_first(tmp_path):
    (job,) = make_jobs(tmp_path, "wait")

    def fail() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run([job], Watcher(fail))
    assert inspect(job).state == "stopped"


def test_slots_follow_the_cores_and_the_gpus(monkeypatch):
    cores = len(os.sched_getaffinity(0))
    assert default_slots("cpu", 1) == cores
    assert default_slots("cpu", 2 * cores) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3,5")
    assert default_slots("cuda", 1) == 3


def test_each_child_gets_a_gpu_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    jobs = make_jobs(tmp_path, "done", "done")
    cuda = jobs[0].request.execution.model_copy(update={"device": "cuda"})
    run([Job(job.request.model_copy(update={"execution": cuda}), job.directory) for job in jobs])
    assert [(job.directory / "gpu").read_text() for job in jobs] == ["4", "7"]


@pytest.mark.parametrize(
    ("text", "cores"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("nonsense", None)]
)
def test_a_containers_quota_counts(tmp_path, text, cores):
    from fetchbench.execution.local import usable_cores

    (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(tmp_path / "cpu.max") == (len(os.sched_getaffinity(0)) if cores is None else cores)
    assert usable_cores(tmp_path / "absent") == len(os.sched_getaffinity(0))


# -- what the machine fails, and what another command is at -----------------------------------------------------------


def test_a_run_that_the_machine_failed_is_tried_again(tmp_path):
    flaky, done = make_jobs(tmp_path, "flaky", "done")
    watcher = Watcher()
    assert [o.state for o in run([flaky, done], watcher, slots=1)] == ["done", "done"]
    assert (starts(flaky), starts(done)) == (2, 1)
    again = next(p for runs in watcher.seen if (p := runs[0]).state == "waiting" and p.message)
    assert again.message.startswith("to be tried again (1 of 2): killed by SIGKILL")
    # Behind the one that was waiting.
    assert watcher.states(0) == ["running", "waiting", "running", "done"]


def test_whoever_watches_is_told_of_it(tmp_path):
    (flaky,) = make_jobs(tmp_path, "flaky")
    watcher = Watcher()
    run([flaky], watcher)
    assert watcher.states(0) == ["running", "waiting", "running", "done"]


def test_native_code_that_crashes_is_not_tried_again(tmp_path):
    (job,) = make_jobs(tmp_path, "segfault")
    (outcome,) = run([job])
    assert (outcome.state, starts(job)) == ("error", 1)
    assert outcome.message.startswith("killed by SIGSEGV")


@pytest.mark.parametrize(("mode", "tries"), [("kill", 3), ("machine", 3), ("error", 1), ("crash", 1)])
def test_there_is_an_end_to_trying(tmp_path, mode, tries):
    """A user's mistake and a plugin's crash come again: they are told at once."""
    (job,) = make_jobs(tmp_path, mode)
    (outcome,) = run([job])
    assert (outcome.state, starts(job)) == ("error", tries)
    assert outcome.message.endswith("; tried 3 times") == (tries == 3)


def test_retries_are_counted_anew_after_progress(tmp_path):
    (job,) = make_jobs(tmp_path, "advance")
    (outcome,) = run([job], retries=1)
    assert outcome.message.endswith("; tried 2 times")
    assert starts(job) == 5


def test_no_retries(tmp_path):
    (job,) = make_jobs(tmp_path, "kill")
    (outcome,) = run([job], retries=0)
    assert (outcome.state, starts(job), "tried" in outcome.message) == ("error", 1, False)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(scheduling, "_ELSEWHERE_S", 0.02)


def test_what_another_command_is_at_is_left_to_it_and_taken_over_when_it_dies(tmp_path, impatient):
    ours, theirs = make_jobs(tmp_path, "done", "done")
    with (theirs.directory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen = []

        def watch(runs) -> None:
            seen.append(tuple(p.state for p in runs))
            if seen.count(("done", "elsewhere")) == 5:
                fcntl.flock(lock, fcntl.LOCK_UN)

        assert [o.state for o in run([ours, theirs], watch)] == ["done", "done"]
    assert ("running", "elsewhere") in seen
    assert starts(theirs) == 1


def test_what_another_command_finishes_is_not_run(tmp_path, impatient):
    (job,) = make_jobs(tmp_path, "done")
    with (job.directory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def watch(runs) -> None:
            if runs[0].state == "elsewhere" and (job.directory / "finished.json").exists():
                (job.directory / "finished.json").rename(job.directory / "record.json")

        (outcome,) = run([job], watch)
    assert (outcome.state, outcome.score) == ("done", 0.8)
    assert not (job.directory / "argv.json").exists()


def test_an_interrupt_ends_the_wait_for_another_command(tmp_path):
    (job,) = make_jobs(tmp_path, "done")
    with (job.directory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (outcome,) = run([job], lambda runs: interrupt())
    assert (outcome.state, outcome.recorded) == ("elsewhere", False)


def test_of_two_commands_that_start_one_run_at_once_the_slower_waits(tmp_path, impatient):
    (job,) = make_jobs(tmp_path, "busy")
    watcher = Watcher()
    (outcome,) = run([job], watcher)
    assert outcome.state == "done"
    assert "elsewhere" in watcher.states(0)


def test_scheduling_costs_less_than_a_hundredth_of_one_minute_runs(tmp_path):
    """Between the end of a run and the start of the next, and in processor time while runs last."""
    jobs = make_jobs(tmp_path, *["last"] * 6)
    begun, spent = time.monotonic(), time.process_time()
    outcomes = execute(jobs, slots=2, plugins=(), suite_sha256="f" * 64, watch=lambda runs: None, command=COMMAND)
    wall_s, spent_s = time.monotonic() - begun, time.process_time() - spent
    assert [outcome.state for outcome in outcomes] == ["done"] * 6
    assert wall_s / 3 - 2.1 < 0.6  # a hundredth of a minute; usually a quarter of that
    assert spent_s < 0.01 * 6 * 2.1
