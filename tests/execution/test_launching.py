"""Who starts runs: what every launcher is held to, and how one is chosen."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli.conftest import SUITE

from execution.stand_in import Watcher, make_jobs, run, starts
from fetchbench.__main__ import run as fetchbench
from fetchbench.errors import FetchbenchError
from fetchbench.execution import launcher
from fetchbench.execution.launching import UNHEARD, Process, say_lost
from fetchbench.execution.local import LocalProcesses
from fetchbench.run.interrupts import INFRASTRUCTURE, INTERRUPTED


class Queue(LocalProcesses):
    """A scheduler that keeps runs waiting, and may lose some.

    Args:
        polls: So often a run is looked at before it begins.
        lost: So many are lost at first.
        refused: So many are not taken at first.
    """

    def __init__(self, polls: int = 0, lost: int = 0, refused: int = 0) -> None:
        super().__init__()
        self.polls, self.lost, self.refused = polls, lost, refused
        self.levels: list[int] = []

    def start(self, command, job, environment, log, slot):
        if self.refused:
            self.refused -= 1
            raise FetchbenchError("no such partition")
        return Queued(self, lambda: super(Queue, self).start(command, job, environment, log, slot), log)


class Queued:
    queued = "queued as number 7"

    def __init__(self, queue, begin, log) -> None:
        self.queue, self.begin, self.log, self.left = queue, begin, log, queue.polls
        self.process, self.code = None, None

    @property
    def pid(self):
        return self.process and self.process.pid

    def poll(self):
        if self.process is not None:
            return self.process.poll()
        self.left -= 1
        if self.code is None and self.left < 0:
            if self.queue.lost:
                self.queue.lost -= 1
                say_lost(self.log, "its node\nwent away")
                self.code = INFRASTRUCTURE
            else:
                self.process = self.begin()
        return self.code

    def interrupt(self, level) -> None:
        self.queue.levels.append(level)
        self.code = INTERRUPTED


def test_a_run_in_a_queue_waits_and_says_where(tmp_path):
    (job,) = make_jobs(tmp_path, "done")
    watcher = Watcher()
    assert run([job], watcher, launcher=Queue(polls=5))[0].state == "done"
    assert watcher.states(0) == ["waiting", "running", "done"]
    assert watcher.seen[0][0].message == "queued as number 7"
    assert starts(job) == 1


def test_a_run_in_a_queue_takes_a_slot(tmp_path):
    watcher = Watcher()
    run(make_jobs(tmp_path, "done", "done", "done"), watcher, launcher=Queue(polls=3), slots=1)
    assert max(sum(r.message == "queued as number 7" or r.state == "running" for r in runs) for runs in watcher.seen) == 1


def test_what_an_interrupt_finds_in_the_queue_is_left_waiting(tmp_path):
    (job,) = make_jobs(tmp_path, "done")
    queue, seen = Queue(polls=10**6), []

    def watch(runs) -> None:
        seen.append(runs[0].state)
        if len(seen) == 3:
            signal.raise_signal(signal.SIGINT)

    (outcome,) = run([job], watch, launcher=queue)
    assert (outcome.state, outcome.message, queue.levels) == ("waiting", "", [1])
    assert not (job.directory / "argv.json").exists()


def test_what_a_scheduler_lost_is_tried_again(tmp_path):
    (job,) = make_jobs(tmp_path, "done")
    watcher = Watcher()
    assert run([job], watcher, launcher=Queue(lost=2))[0].state == "done"
    assert "to be tried again (2 of 2): its node went away" in [runs[0].message for runs in watcher.seen]
    (other,) = make_jobs(tmp_path / "other", "done")
    (outcome,) = run([other], launcher=Queue(lost=9), retries=1)
    assert (outcome.state, outcome.message) == ("error", "its node went away; tried 2 times")


def test_what_a_scheduler_does_not_take_is_an_error_and_stops_no_other(tmp_path):
    refused, done = run(make_jobs(tmp_path, "done", "done"), launcher=Queue(refused=1))
    assert (refused.state, refused.message) == ("error", "no such partition")
    assert done.state == "done"


def test_a_process_hears_what_its_parent_does_not_and_not_what_is_meant_for_it(tmp_path):
    """A Ray worker has SIGINT blocked, and what it starts would inherit that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        code = "import os, signal; print(*signal.pthread_sigmask(0, ())), print(os.environ['ONE'], os.getcwd())"
        process = Process([sys.executable, "-c", code], {"ONE": "1"}, tmp_path / "log", tmp_path, blocked=UNHEARD)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before | {signal.SIGINT}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    while process.poll() is None:
        time.sleep(0.02)
    mask, rest = (tmp_path / "log").read_text().splitlines()
    assert {int(number) for number in mask.split()} == set(UNHEARD)
    assert rest == f"1 {tmp_path}"


@pytest.mark.parametrize(("executor", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch, capsys, executor, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "small.toml").write_text(SUITE)
    assert fetchbench(["run", "small", "--executor", executor]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --executor {executor} needs a package (import of {package} halted")
    assert line.endswith(f": pip install 'fetchbench[{executor}]'")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--executor-option", "time=60"], "error: --executor-option time: --executor local has no options"),
        (["--executor-option", "time"], "error: --executor-option 'time': write NAME=VALUE, partition=gpu say"),
        (["--executor-option", "=60"], "error: --executor-option '=60': write NAME=VALUE, partition=gpu say"),
        (
            ["--executor", "ray", "--executor-option", "adress=auto"],
            "error: unknown option of --executor ray 'adress'; did you mean 'address'? Known: address.",
        ),
        (
            ["--executor", "slurm", "--executor-option", "partitoin=gpu"],
            "error: unknown option of --executor slurm 'partitoin'; did you mean 'partition'? Known: account, ",
        ),
        (
            ["--executor", "slurm", "--executor-option", "cpus_per_task=8"],
            "error: unknown option of --executor slurm 'cpus_per_task'",
        ),
    ],
)
def test_wrong_options_stop_it_before_anything_is_written(tmp_path, monkeypatch, capsys, arguments, message):
    if "--executor" in arguments:
        pytest.importorskip({"ray": "ray", "slurm": "submitit"}[arguments[1]])
    monkeypatch.chdir(tmp_path)
    assert fetchbench(["run", "small", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)
    assert not list(tmp_path.iterdir())


def test_choosing_what_is_built_in_imports_no_scheduler():
    code = "import sys; from fetchbench.execution import launcher; launcher('local', {}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert not {"ray", "submitit"} & set(done.stdout.split())
    assert isinstance(launcher("local", {}), LocalProcesses)


def test_the_adapters_are_small():
    """What a run is, and what is made of its end, stays in one place."""
    folder = Path(sys.modules[launcher.__module__].__file__ or "").parent
    for name in ("on_ray.py", "on_slurm.py"):
        assert len((folder / name).read_text().splitlines()) < 150
