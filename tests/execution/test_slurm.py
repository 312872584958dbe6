"""Runs as jobs of SLURM: by submitit's local executor, and by a scheduler where one can be brought up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from execution import killing
from execution.scheduler import SCANCEL, SQUEUE, Scheduler, lacking, stand_in, wait_for
from execution.stand_in import Watcher, make_jobs, run, starts
from fetchbench.errors import FetchbenchError
from fetchbench.execution import Job, execute, launcher, on_slurm, scheduling, slurm_queue
from fetchbench.records.schema import Execution

submitit = pytest.importorskip("submitit", reason="submitit is not installed: pip install 'fetchbench[slurm]'")

LASTING = (sys.executable, "-P", str(Path(__file__).with_name("lasting.py")))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(on_slurm, "GRACE_S", 0.2)
    monkeypatch.setattr(slurm_queue, "LOOK_S", 0.1)
    monkeypatch.setattr(scheduling, "_ELSEWHERE_S", 0.1)


def lasting(jobs: list[Job], watch: Any, **options: Any) -> list[Any]:
    """Run jobs that take as long as they are let."""
    return execute(jobs, slots=len(jobs), plugins=(), suite_sha256="", watch=watch, command=LASTING, poll_s=0.05, **options)


def let(*jobs: Job) -> None:
    """Let them come to their end."""
    for job in jobs:
        (job.directory / "go").touch()


# -- what SLURM is asked for, and what it says ------------------------------------------------------------------------


@pytest.fixture
def commands(tmp_path, monkeypatch) -> Path:
    """A folder of SLURM's commands: jobs are taken, and never begin."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    stand_in(tmp_path / "bin", "srun", "")
    stand_in(tmp_path / "bin", "squeue", "")
    stand_in(tmp_path / "bin", "sbatch", "print('Submitted batch job 12')")
    return tmp_path / "bin"


def hand_over(job: Job, **options: str) -> Any:
    with launcher("slurm", options) as slurm:
        return slurm.start(["one", "run"], job, {}, job.directory / "stderr.log", 0)


def submission(job: Job) -> str:
    return (job.directory / "slurm" / "12_submission.sh").read_text()


def with_execution(job: Job, **execution: Any) -> Job:
    changed = job.request.execution.model_copy(update=execution)
    return Job(job.request.model_copy(update={"execution": changed}), job.directory)


def test_a_job_asks_for_what_its_request_says(tmp_path, commands):
    (job,) = make_jobs(tmp_path, "done")
    hand_over(with_execution(job, threads=3, device="cuda"), partition="gpu", time="90", exclusive="true")
    lines = submission(job).splitlines()
    asked = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert {"cpus-per-task=3", "gpus-per-node=1", "partition=gpu", "time=90", "exclusive"} < asked
    # What the user did not say is the site's to decide.
    assert not {name for name in asked if name.startswith(("wckey", "mem", "account"))}
    (step,) = [line for line in lines if line.startswith("srun")]
    assert "--cpus-per-task=3" in step
    assert f"{sys.executable} -P -u -m submitit" in step


def test_by_default_there_is_no_gpu_and_no_time(tmp_path, commands):
    (job,) = make_jobs(tmp_path, "done")
    handle = hand_over(job)
    assert "--gpus" not in submission(job)
    assert "--time" not in submission(job)
    assert (handle.pid, handle.queued) == (None, "queued as SLURM job 12")
    with launcher("slurm", {}) as slurm:
        assert slurm.slots(Execution(device="cpu", threads=1, precision="float32"), 40) == 40


def test_gpus_may_be_asked_for_otherwise(tmp_path, commands):
    (job,) = make_jobs(tmp_path, "done")
    hand_over(with_execution(job, device="cuda"), gres="gpu:a100:1")
    assert "--gres=gpu:a100:1" in submission(job)
    assert "--gpus" not in submission(job)


def test_what_slurm_refuses_is_told_in_its_words(tmp_path, commands):
    (job,) = make_jobs(tmp_path, "done")
    text = "sbatch: error: invalid partition specified: nowhere\\nsbatch: error: Batch job submission failed: Invalid partition"
    stand_in(commands, "sbatch", f"sys.exit('{text}')")
    with pytest.raises(FetchbenchError, match=r"^SLURM did not take it: .*invalid partition specified: nowhere") as raised:
        hand_over(job, partition="nowhere")
    assert "\n" not in str(raised.value)


def test_a_job_that_an_earlier_command_left_in_the_queue_is_not_submitted_again(tmp_path, commands):
    job, other = make_jobs(tmp_path, "done", "done")
    hand_over(job)
    (name,) = [line.split("=")[1] for line in submission(job).splitlines() if "--job-name" in line]
    stand_in(commands, "squeue", f"print('7 RUNNING {name}'); print('12 PENDING {name}')")
    stand_in(commands, "sbatch", "sys.exit('sbatch: error: not again')")
    (job.directory / "slurm" / "12.code").write_text("71")  # SLURM has put it there again since
    handle = hand_over(job)
    assert (handle.queued, handle.poll()) == ("queued as SLURM job 12", None)
    with pytest.raises(FetchbenchError, match="not again"):
        hand_over(other)


def test_without_slurm_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (job,) = make_jobs(tmp_path, "done")
    with pytest.raises(
        FetchbenchError, match=r"^--executor slurm: there is no squeue here; run this where jobs are submitted$"
    ):
        hand_over(job)


def test_what_the_queue_says():
    queue = slurm_queue.Queue()
    queue._tried = float("inf")
    queue._jobs = {"1": ("PENDING", "a"), "2": ("RUNNING", "a b"), "3": ("NODE_FAIL", "a"), "4": ("COMPLETING", "c")}
    assert [queue.over(number) for number in "12345"] == ["", "", "NODE_FAIL", "", "gone from the queue"]
    assert [queue.waiting(name) for name in ("a", "a b", "d")] == ["1", None, None]


# -- submitit's local executor ----------------------------------------------------------------------------------------


@pytest.fixture
def local(tmp_path, monkeypatch) -> Iterator[Any]:
    """SLURM's place is taken by processes of this machine."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    stand_in(tmp_path / "bin", "squeue", SQUEUE)
    stand_in(tmp_path / "bin", "scancel", SCANCEL)
    monkeypatch.setattr(submitit, "SlurmExecutor", submitit.LocalExecutor)
    with launcher("slurm", {}) as entered:
        yield entered


def tasks(job: Job) -> list[int]:
    """The processes in which a job of submitit's attends to a run."""
    numbers = [path.stem for path in (job.directory / "slurm").glob("*.pid")]
    children = [Path(f"/proc/{number}/task/{number}/children") for number in numbers]
    return [int(child) for path in children if path.exists() for child in path.read_text().split()]


def test_runs_come_to_their_records_and_are_tried_again_as_on_one_machine(tmp_path, local):
    jobs = make_jobs(tmp_path, "flaky", "error")
    watcher = Watcher()
    flaky, error = run(jobs, watcher, launcher=local)
    assert (flaky.state, starts(jobs[0])) == ("done", 2)
    assert (error.state, error.message) == ("error", "the encoder is gone")
    assert watcher.states(1)[0] == "waiting"


def test_an_interrupt_reaches_a_run_once(tmp_path, local):
    jobs = make_jobs(tmp_path, "wait", "stubborn")
    outcomes = run(jobs, Watcher(*[lambda: signal.raise_signal(signal.SIGINT)] * 2, runs=2), launcher=local)
    assert [outcome.state for outcome in outcomes] == ["stopped", "stopped"]
    assert [(job.directory / "checkpoint").exists() for job in jobs] == [True, False]


def test_a_node_that_slurm_takes_back_lets_the_run_stop_first(tmp_path, local):
    """Signals of the time limit come to all processes of a job on some sites, and more than once."""
    (job,) = make_jobs(tmp_path, "done")
    signals = [signal.SIGUSR2, signal.SIGTERM, signal.SIGTERM]
    seen = []

    def watch(runs) -> None:
        seen.append(runs[0].message)
        if runs[0].state == "running" and runs[0].success is not None and signals and tasks(job):
            for number in signals:
                os.kill(tasks(job)[0], number)
            signals.clear()
        if "to be tried again" in runs[0].message:
            let(job)

    assert lasting([job], watch, launcher=local)[0].state == "done"
    assert any("(1 of 2): SLURM took the node back: " in message for message in seen)
    assert (job.directory / "checkpoint" / "manifest.json").exists()


def test_a_job_that_is_gone_without_a_word_is_tried_again_and_its_run_dies_with_it(tmp_path, local):
    (job,) = make_jobs(tmp_path, "done")
    seen, pids = [], []

    def watch(runs) -> None:
        seen.append(runs[0].message)
        if not pids and runs[0].success is not None and tasks(job):
            (number,) = [int(path.stem) for path in (job.directory / "slurm").glob("*.pid")]
            pids.extend([number, *tasks(job)])
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        if "to be tried again" in runs[0].message:
            let(job)

    assert lasting([job], watch, launcher=local)[0].state == "done"
    assert any(f"SLURM job {pids[0]} ended without it: gone from the queue; see " in message for message in seen)


# -- a scheduler ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Scheduler]:
    if reason := lacking():
        pytest.skip(reason)
    found = Scheduler(tmp_path_factory.mktemp("slurm"))
    try:
        try:
            found.begin()
        except TimeoutError:
            log = (found.folder / "slurmctld.out").read_text() if (found.folder / "slurmctld.out").exists() else "no munge"
            pytest.skip(f"slurm-wlm and munge are installed, and SLURM does not come up on this machine: {log[-500:]}")
        yield found
    finally:
        found.end()


@pytest.fixture
def slurm(cluster, monkeypatch) -> Iterator[Any]:
    monkeypatch.setenv("SLURM_CONF", str(cluster.folder / "slurm.conf"))
    with launcher("slurm", {"partition": "tiny"}) as entered:
        yield entered


def test_a_suite_on_slurm(tmp_path, monkeypatch, slurm, cluster):
    """The whole command, with a real run."""
    monkeypatch.chdir(killing.prepare(tmp_path / "whole", seeds=1, steps=400))
    command = [*killing.COMMAND[:-2], "--method", "state", "--executor", "slurm", "--executor-option", "time=30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    assert len(killing.results(Path.cwd())) == 1
    assert "state FetchReach-v4 seed 0: queued as SLURM job " in done.stderr
    wait_for(lambda: not cluster.jobs())


def test_an_interrupt_reaches_running_jobs_and_cancels_those_that_wait(tmp_path, slurm, cluster):
    jobs, asked = make_jobs(tmp_path, "done", "done", "done"), []

    def watch(runs) -> None:
        if not asked and sum(run.success is not None for run in runs) == 2:
            asked.append(1)
            signal.raise_signal(signal.SIGINT)

    outcomes = lasting(jobs, watch, launcher=slurm)
    assert sorted(outcome.state for outcome in outcomes) == ["stopped", "stopped", "waiting"]
    for outcome in outcomes:
        kept = (outcome.job.directory / "checkpoint" / "manifest.json").exists()
        assert kept == (outcome.state == "stopped")
    wait_for(lambda: not cluster.jobs())


def test_a_job_that_somebody_cancels_is_submitted_again(tmp_path, slurm, cluster):
    (job,) = make_jobs(tmp_path, "done")
    cancelled = []

    def watch(runs) -> None:
        if not cancelled and runs[0].success is not None:
            cancelled.extend(cluster.jobs("RUNNING"))
            cluster.says("scancel", *cancelled)
        if "to be tried again" in runs[0].message:
            let(job)

    assert lasting([job], watch, launcher=slurm)[0].state == "done"
    assert len(cancelled) == 1
    assert len(list((job.directory / "slurm").glob("*_submission.sh"))) == 2
    wait_for(lambda: not cluster.jobs())


def test_after_a_command_was_killed_its_jobs_live_on_and_none_is_submitted_again(tmp_path, slurm, cluster):
    jobs = make_jobs(tmp_path / "runs", "done", "done", "done")
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from execution.stand_in import make_jobs; from execution.test_slurm import lasting\n"
        "from fetchbench.execution import launcher\n"
        "with launcher('slurm', {}) as slurm:\n"
        "    lasting(make_jobs(Path(sys.argv[2]), 'done', 'done', 'done'), lambda runs: None, launcher=slurm)\n"
    )
    arguments = [sys.executable, "-c", script, str(Path(__file__).parent.parent), str(tmp_path / "runs")]
    with (tmp_path / "log").open("wb") as log:
        command = subprocess.Popen(arguments, stdout=log, stderr=log)
    wait_for(lambda: len([job for job in jobs if (job.directory / "metrics.jsonl").exists()]) == 2 or command.poll())
    wait_for(lambda: len(cluster.jobs("PENDING")) == 1)
    command.kill()
    command.wait()
    seen = []

    def watch(runs) -> None:
        seen.append(sorted(run.state for run in runs))
        if seen[-1] == ["elsewhere", "elsewhere", "waiting"]:
            let(*jobs)

    assert [outcome.state for outcome in lasting(jobs, watch, launcher=slurm)] == ["done"] * 3
    assert all(len(list((job.directory / "slurm").glob("*_submission.sh"))) == 1 for job in jobs)
    wait_for(lambda: not cluster.jobs())
