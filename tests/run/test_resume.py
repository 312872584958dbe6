"""Killed, interrupted, damaged: the same command continues, and the result is that of an undisturbed run."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fetchbench.records.schema import Execution
from fetchbench.records.store import record_text, write_atomically
from fetchbench.run.checkpoint import Checkpoint
from fetchbench.run.interrupts import BUSY

from .conftest import RunFolder, make_request


@pytest.fixture(scope="module")
def undisturbed(registry, tmp_path_factory) -> RunFolder:
    """A run of 400 steps from pixels that nothing disturbs."""
    run = RunFolder(tmp_path_factory.mktemp("undisturbed"), make_request(registry))
    run.finish()
    return run


@pytest.fixture
def disturbed(registry, run_folder) -> RunFolder:
    return run_folder(make_request(registry))


def assert_same_result(run: RunFolder, other: RunFolder) -> None:
    assert run.record.result.model_dump_json() == other.record.result.model_dump_json()
    assert run.record.result.sha256 == run.record.result.digest()


def test_a_finished_run(undisturbed):
    record = undisturbed.record
    assert record.result.status == "done"
    assert (record.result.steps, record.result.episodes, record.result.updates) == (400, 8, 150)
    assert [point.steps for point in record.result.evaluations] == [200, 400]
    assert record.result.parameters.keys() == {"encoder", "actor", "critic"}
    assert record.cost.attempts == 1
    assert record.cost.core_s > 1
    assert record.cost.peak_memory_mb > 200
    assert record.cost.frames_on == "cpu"
    assert record.provenance.renderer["backend"] in ("egl", "osmesa")
    assert record.provenance.packages["mujoco"].startswith("3.")
    # What only resuming needs is gone, the final weights stay.
    assert [path.name for path in sorted((undisturbed.folder / "checkpoint").iterdir())] == [
        "manifest.json",
        "state-00000008.pt",
    ]


def test_running_a_finished_run_again_does_nothing(undisturbed):
    before = (undisturbed.folder / "metrics.jsonl").read_bytes()
    undisturbed.finish()
    assert (undisturbed.folder / "metrics.jsonl").read_bytes() == before


def test_kill_9_at_and_between_checkpoints(undisturbed, disturbed):
    folder = disturbed.folder / "checkpoint"
    moments = [
        disturbed.has_checkpoint,
        # While one is written, or soon after.
        lambda: len(disturbed.lines("start")) == 2 and (any(folder.glob(".*.tmp")) or bool(disturbed.lines("evaluation"))),
    ]
    for moment in moments:
        assert disturbed.stop_when(moment, signal.SIGKILL) == -signal.SIGKILL
    disturbed.finish()
    assert_same_result(disturbed, undisturbed)
    assert disturbed.record.cost.attempts == 3
    evaluations = [line["steps"] for line in disturbed.lines("evaluation")]
    assert evaluations == [200, 400]  # metrics written after the last checkpoint were cut


@pytest.mark.parametrize(
    "execution",
    [
        Execution(precision="bfloat16"),
        pytest.param(Execution(precision="bfloat16", compile="inductor"), marks=pytest.mark.slow),
    ],
    ids=["bfloat16", "compiled"],
)
def test_a_fast_run_goes_on_to_the_same_result(registry, run_folder, execution):
    request = make_request(registry, execution=execution)
    whole, parts = run_folder(request, "whole"), run_folder(request, "parts")
    whole.finish()
    parts.stop_when(lambda: parts.has_checkpoint() and bool(parts.lines("evaluation")), signal.SIGKILL)
    parts.finish()
    assert parts.record.cost.attempts == 2
    assert_same_result(parts, whole)


def test_an_interrupt_leaves_a_checkpoint_at_the_next_episode_end(undisturbed, disturbed):
    assert disturbed.stop_when(lambda: bool(disturbed.lines("progress")), signal.SIGINT) == 130
    assert disturbed.has_checkpoint()
    assert not (disturbed.folder / "record.json").exists()
    disturbed.finish()
    assert disturbed.lines("start")[-1]["resumed_at"] > 0
    assert_same_result(disturbed, undisturbed)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(("which", "damage"), [("state", flip_a_bit), ("state", truncate), ("manifest", truncate)])
def test_a_damaged_checkpoint_goes_back_to_the_one_before_and_says_so(undisturbed, disturbed, which, damage):
    folder = disturbed.folder / "checkpoint"
    disturbed.stop_when((folder / "manifest-before.json").exists, signal.SIGTERM)
    before = json.loads((folder / "manifest-before.json").read_text())
    last = json.loads((folder / "manifest.json").read_text())
    damage(folder / ("manifest.json" if which == "manifest" else last["state"]["file"]))
    disturbed.finish()
    notice = disturbed.lines("notice")[0]["text"]
    assert notice.startswith("the last checkpoint cannot be used, the run goes on from the one before: ")
    assert str(folder) in notice
    episodes = int(before["state"]["file"].removeprefix("state-").removesuffix(".pt"))
    assert disturbed.lines("start")[-1]["resumed_at"] == 50 * episodes
    assert_same_result(disturbed, undisturbed)


def test_where_both_checkpoints_are_damaged_the_run_starts_again_and_says_so(undisturbed, disturbed):
    disturbed.stop_when(lambda: len(disturbed.lines("evaluation")) > 0 and disturbed.has_checkpoint(), signal.SIGTERM)
    flip_a_bit(min((disturbed.folder / "checkpoint").glob("replay-*.pt")))
    disturbed.finish()
    notice = disturbed.lines("notice")[0]["text"]
    assert "the run starts again" in notice
    assert "its checksum does not match" in notice
    assert_same_result(disturbed, undisturbed)


def test_a_checkpoint_that_cannot_be_read_this_time_stays(undisturbed, disturbed):
    disturbed.stop_when(disturbed.has_checkpoint, signal.SIGTERM)
    state = max((disturbed.folder / "checkpoint").glob("state-*.pt"))
    state.rename(state.with_suffix(".aside"))
    state.mkdir()
    metrics = (disturbed.folder / "metrics.jsonl").read_bytes()
    error = disturbed.finish(code=2)
    assert error.count("\n") == 1
    assert f"could not read {state}: Is a directory; the checkpoint stays as it is: run the same command again" in error
    assert (disturbed.folder / "metrics.jsonl").read_bytes() == metrics
    state.rmdir()
    state.with_suffix(".aside").rename(state)
    disturbed.finish()
    assert disturbed.lines("notice") == []
    assert disturbed.lines("start")[-1]["resumed_at"] == 50 * int(state.stem.removeprefix("state-"))
    assert_same_result(disturbed, undisturbed)


def test_a_checkpoint_whose_episodes_were_dropped_is_not_gone_on_from(undisturbed, disturbed):
    """As a run leaves it that diverged after its last checkpoint, and whose record was then deleted."""
    disturbed.stop_when(disturbed.has_checkpoint, signal.SIGTERM)
    Checkpoint(disturbed.folder / "checkpoint").drop_replay()
    disturbed.finish()
    assert "the run starts again: " in disturbed.lines("notice")[0]["text"]
    assert "without the episodes" in disturbed.lines("notice")[0]["text"]
    assert disturbed.lines("start")[-1]["resumed_at"] == 0
    assert_same_result(disturbed, undisturbed)


def test_one_run_is_of_one_arithmetic(disturbed):
    """Its request was lost, say, and written anew by a command with other options: the key is the same."""
    disturbed.stop_when(disturbed.has_checkpoint, signal.SIGTERM)
    path = disturbed.folder / "request.json"
    request = json.loads(path.read_text())
    request["execution"]["threads"] += 1
    path.write_text(json.dumps(request))
    disturbed.finish()
    assert (
        "device cpu, threads 1, precision float32, compile none, not device cpu, threads 2"
        in disturbed.lines("notice")[0]["text"]
    )
    assert disturbed.lines("start")[-1]["resumed_at"] == 0
    assert disturbed.record.request.execution.threads == 2


def test_a_full_disk_is_one_clear_line_and_costs_nothing(undisturbed, disturbed):
    disturbed.stop_when(disturbed.has_checkpoint, signal.SIGTERM)
    metrics = disturbed.folder / "metrics.jsonl"
    kept = metrics.read_bytes()
    metrics.unlink()
    metrics.symlink_to("/dev/full")
    error = disturbed.finish(code=2)
    assert error.count("\n") == 1
    assert "metrics.jsonl: No space left on device; free some space and run the same command again" in error
    metrics.unlink()
    metrics.write_bytes(kept)
    disturbed.finish()
    assert_same_result(disturbed, undisturbed)


def test_a_full_disk_that_holds_the_log_too_still_gives_exit_code_2(disturbed):
    (disturbed.folder / "request.json").unlink()  # so that there is something to say
    with Path("/dev/full").open("w") as log:
        done = subprocess.run(disturbed.command, stderr=log, timeout=120, check=False)
    assert done.returncode == 2


def test_a_run_dies_with_the_command_that_started_it_and_goes_on(undisturbed, disturbed):
    """The command is a Python process of its own here, which is killed."""
    starter = (
        f"import os, subprocess; os.environ['FETCHBENCH_PARENT'] = str(os.getpid()); subprocess.run({disturbed.command!r})"
    )
    command = subprocess.Popen([sys.executable, "-c", starter], start_new_session=True)
    while not disturbed.has_checkpoint():
        assert command.poll() is None
        time.sleep(0.01)
    pid = disturbed.lines("start")[0]["pid"]
    command.kill()
    command.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    disturbed.finish()
    assert_same_result(disturbed, undisturbed)


def test_two_processes_never_run_the_same_run(registry, run_folder, monkeypatch):
    run = run_folder(make_request(registry, None))
    first = run.start()
    while not run.lines("start"):
        assert first.poll() is None
    holder = subprocess.run(
        [
            *run.command[:1],
            "-c",
            "import fetchbench.run.process as p, fetchbench.run.__main__ as m; p.LOCK_WAIT_S = 0.1; m.main()",
            *run.command[3:],
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    first.communicate(timeout=120)
    assert first.returncode == 0
    if holder.returncode == 0:  # it came too late and found the record
        assert len(run.lines("start")) == 1
    else:
        assert holder.returncode == BUSY
        assert "another process is running this" in holder.stderr
    assert run.record.cost.attempts == 1


def test_a_record_is_not_believed_when_it_was_edited(undisturbed, tmp_path):
    from fetchbench.errors import RecordError
    from fetchbench.records.store import read_record

    edited = json.loads(record_text(undisturbed.record))
    edited["result"]["score"] = 1.0
    path = Path(tmp_path / "record.json")
    write_atomically(path, json.dumps(edited))
    with pytest.raises(RecordError, match="damaged or edited"):
        read_record(path)


def test_the_trained_policy_acts_from_python_as_it_did_in_evaluation(undisturbed, registry):
    import numpy as np

    from fetchbench import load_policy
    from fetchbench.environment import VectorEnvironment
    from fetchbench.run.prepare import build_request
    from fetchbench.run.rollout import Rollout

    policy = load_policy(undisturbed.folder)
    request = undisturbed.record.request
    built = build_request(request, registry)
    assert policy.pixels == built.rendered
    built.learner.load_state_dict(Checkpoint(undisturbed.folder / "checkpoint").state()["learner"])
    with VectorEnvironment(policy.task, request.scene, policy.pixels, 1) as environment:
        rollout = Rollout(environment, policy.task, built, [5])
        policy.reset()
        for step in range(4):
            action = rollout.act()
            state = (rollout.observation[0, step], rollout.achieved[0, step], rollout.desired[0])
            np.testing.assert_allclose(policy(*state, rollout.frames[0, step]), action[0], atol=1e-6)
            rollout.begin(action)
            rollout.finish()
    with pytest.raises(ValueError, match=r"frame is None: this policy sees frames \(3, 16, 16\)"):
        policy(*state)


def test_a_checkpoint_of_other_networks_is_one_clear_line(disturbed):
    import torch

    from fetchbench.errors import FetchbenchError
    from fetchbench.run.policy import load_policy

    disturbed.stop_when(disturbed.has_checkpoint, signal.SIGTERM)
    checkpoint = Checkpoint(disturbed.folder / "checkpoint")
    state = checkpoint.state()
    critic = state["learner"]["modules"]["critic"]
    critic["renamed"] = critic.pop(next(iter(critic)))
    manifest = json.loads((checkpoint.folder / "manifest.json").read_text())
    torch.save(state, checkpoint.folder / "state-other.pt")
    digest = hashlib.sha256((checkpoint.folder / "state-other.pt").read_bytes()).hexdigest()
    manifest["state"] = {"file": "state-other.pt", "sha256": digest}
    (checkpoint.folder / "manifest.json").write_text(json.dumps(manifest))
    error = disturbed.finish(code=2)
    assert "another version of fetchbench wrote it" in error
    assert "Traceback" not in error
    with pytest.raises(FetchbenchError, match="another version of fetchbench wrote its checkpoint"):
        load_policy(disturbed.folder)
