"""Runs on a Ray cluster: two nodes on this machine, one of which dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from execution import killing
from execution.scheduler import wait_for
from execution.stand_in import Watcher, make_jobs, run, starts
from fetchbench.errors import FetchbenchError
from fetchbench.execution import Job, begin, execute, launcher, plan
from fetchbench.execution.on_ray import ENVIRONMENT, OnRay

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'fetchbench[ray]'")
pytest.importorskip("ray.cluster_utils", reason="Ray's cluster of several nodes on one machine is not installed")

LASTING = (sys.executable, "-P", str(Path(__file__).with_name("lasting.py")))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head with one core, and beside it a node with one core and what Ray takes for a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        # Ray's processes inherit it. By default it takes a quarter of a minute to miss a node.
        for name, value in (ENVIRONMENT | {"RAY_health_check_period_ms": "300"}).items():
            patch.setenv(name, value)
        cluster = begun()
    try:
        yield cluster
    finally:
        cluster.shutdown()


def begun(tries: int = 5) -> Any:
    """A cluster. Ray gives up on a node that has not begun in half a minute, which it may not on a machine with much to do."""
    from ray.cluster_utils import Cluster

    cluster, sizes = Cluster(), {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    try:
        cluster.add_node(**sizes, num_gpus=0, include_dashboard=False)
        cluster.other = cluster.add_node(**sizes, num_gpus=1)
    except Exception:
        cluster.shutdown()
        if tries > 1:
            return begun(tries - 1)
        raise
    return cluster


@pytest.fixture
def on_ray(nodes) -> Iterator[OnRay]:
    with launcher("ray", {"address": nodes.address}) as entered:
        yield entered


def on_cuda(job: Job, threads: int = 1) -> Job:
    execution = job.request.execution.model_copy(update={"device": "cuda", "threads": threads})
    return Job(job.request.model_copy(update={"execution": execution}), job.directory)


def test_runs_come_to_their_records_and_are_tried_again_as_on_one_machine(tmp_path, on_ray, capfd):
    jobs = make_jobs(tmp_path, "done", "flaky", "error")
    assert on_ray.slots(jobs[0].request.execution, 3) == 2
    watcher = Watcher()
    done, flaky, error = run(jobs, watcher, launcher=on_ray)
    assert (done.state, flaky.state, starts(jobs[1])) == ("done", "done", 2)
    assert (error.state, error.message) == ("error", "the encoder is gone")
    assert next(runs[0] for runs in watcher.seen if runs[0].state == "waiting").message == "queued by Ray"
    # Ray says nothing between our lines.
    assert capfd.readouterr() == ("", "")


def test_a_run_on_cuda_gets_a_gpu(tmp_path, on_ray):
    (job,) = make_jobs(tmp_path, "done")
    job = on_cuda(job)
    assert on_ray.slots(job.request.execution, 3) == 1
    assert run([job], launcher=on_ray)[0].state == "done"
    assert (job.directory / "gpu").read_text() == "0"
    with pytest.raises(FetchbenchError, match=r"^no node of the Ray cluster has 2 CPU and 1 GPU, which each run needs; "):
        on_ray.slots(on_cuda(job, threads=2).request.execution, 3)


def test_an_interrupt_reaches_a_run_on_a_node_and_takes_others_from_the_queue(tmp_path, on_ray):
    jobs = make_jobs(tmp_path, "wait", "wait", "wait")
    outcomes = run(jobs, Watcher(lambda: signal.raise_signal(signal.SIGINT), runs=2), launcher=on_ray, slots=3)
    assert sorted(outcome.state for outcome in outcomes) == ["stopped", "stopped", "waiting"]
    stopped = [outcome.job for outcome in outcomes if outcome.state == "stopped"]
    assert all((job.directory / "checkpoint" / "manifest.json").exists() for job in stopped)


def test_further_interrupts_leave_at_once(tmp_path, on_ray):
    jobs = make_jobs(tmp_path, "stubborn", "deaf")
    outcomes = run(jobs, Watcher(*[lambda: signal.raise_signal(signal.SIGINT)] * 3, runs=2), launcher=on_ray)
    assert [outcome.state for outcome in outcomes] == ["stopped", "stopped"]
    assert not any((job.directory / "checkpoint").exists() for job in jobs)


def test_a_cluster_that_is_not_there():
    text = r"^could not reach the Ray cluster at 'nowhere'; name another with --executor-option address=HOST:PORT: "
    with pytest.raises(FetchbenchError, match=text) as raised:
        launcher("ray", {"address": "nowhere"}).__enter__()
    assert "\n" not in str(raised.value)


@pytest.mark.slow  # Ray's own processes take a minute to see that they are alone
def test_no_process_outlives_a_command_that_was_killed(tmp_path):
    """Neither a run nor what Ray started for it."""
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[3]); from execution.stand_in import make_jobs\n"
        "from fetchbench.execution import execute, launcher\n"
        "jobs = make_jobs(Path(sys.argv[1]), 'done')\n"
        "with launcher('ray', {'address': 'local'}) as on_ray:\n"
        "    execute(jobs, slots=1, plugins=(), suite_sha256='', watch=print, launcher=on_ray,\n"
        "            command=(sys.executable, '-P', sys.argv[2]))\n"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "runs"), LASTING[-1], str(Path(__file__).parent.parent)]
    with (tmp_path / "log").open("wb") as log:
        command = subprocess.Popen(arguments, stdout=log, stderr=log)
    try:
        wait_for(lambda: list(tmp_path.rglob("metrics.jsonl")) or command.poll() is not None)
        family = [pid for pid, _ in killing.family(command.pid)]
        (metrics,) = tmp_path.rglob("metrics.jsonl")
        assert json.loads(metrics.read_text().splitlines()[0])["pid"] in family
    finally:
        command.kill()
        command.wait()
    wait_for(lambda: not any(alive(pid) for pid in family))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_run_whose_node_dies_is_taken_up_on_the_other_with_the_same_result(tmp_path, monkeypatch, capfd, nodes):
    """The last test of this module: it leaves one node."""
    from ray._private.ray_constants import PROCESS_TYPE_RAYLET

    raylet = nodes.other.all_processes[PROCESS_TYPE_RAYLET][0].process

    class Busy:
        def is_there(self) -> bool:
            return True

    results = []
    for name in ("undisturbed", "disturbed"):
        monkeypatch.chdir(killing.prepare(tmp_path / name, seeds=1, steps=400))
        planned = plan("killed", Path("runs"), methods=("state",), device="cpu", precision="float32")
        (job,) = begin(planned, Path("runs"))
        options = {"slots": 1, "plugins": (), "suite_sha256": planned.suite.sha256, "poll_s": 0.05}
        if name == "undisturbed":
            (outcome,) = execute([job], watch=lambda runs: None, **options)
        else:
            killed = []
            # Entered here: pytest puts its own standard output back between a fixture and its test.
            with launcher("ray", {"address": nodes.address}) as on_ray:
                # The head is busy, so that the run begins on the node that is going to die.
                busy = ray.remote(Busy).options(num_cpus=1, scheduling_strategy=on(nodes.head_node)).remote()
                ray.get(busy.is_there.remote())

                def kill(runs, job=job, busy=busy, killed=killed) -> None:
                    if not killed and (job.directory / "checkpoint" / "manifest.json").exists():
                        killed.append(runs[0].state)
                        ray.kill(busy)
                        # All of it at once, as where the power fails.
                        for pid, _ in killing.family(raylet.pid):
                            os.kill(pid, signal.SIGKILL)
                        raylet.wait()

                (outcome,) = execute([job], watch=kill, launcher=on_ray, **options)
            assert killed == ["running"]
            assert len((job.directory / "attempts.jsonl").read_text().splitlines()) == 2
            begun = [json.loads(line) for line in (job.directory / "metrics.jsonl").read_text().splitlines()]
            assert [line["resumed_at"] > 0 for line in begun if line["kind"] == "start"][-1]
            assert "error: Ray lost it: " in (job.directory / "stderr.log").read_text()
        assert outcome.state == "done", outcome.message
        results.append(killing.results(Path.cwd()))
    assert results[0] == results[1]
    assert len(results[0]) == 1
    # Ray says so on the standard output, in many lines, where the results of commands stand.
    assert capfd.readouterr().out == ""


def on(node: Any) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node.node_id, soft=False)
