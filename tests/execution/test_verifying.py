"""Published records, held against this machine: a real one run again, edited ones, and ones of elsewhere."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from leaderboard.factory import make_method, make_record
from run.conftest import TINY, RunFolder, make_request

from fetchbench.errors import FetchbenchError, UnknownNameError
from fetchbench.execution.jobs import prepare
from fetchbench.execution.repeating import comparable, compare, prediction_interval, run_again
from fetchbench.execution.verifying import Examined, choose, examine, installed, row_of
from fetchbench.records.schema import Component, Execution, Record, Signal
from fetchbench.records.store import record_text
from fetchbench.registry import Registry
from fetchbench.suite import run_key

MUJOCO = importlib.metadata.version("mujoco")
LOSSES = Signal(steps=500, updates=1, critic_loss=0.1, actor_loss=0.1, q=-1.0, entropy=1.0)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return installed()


def keyed(record: Record, **changes: Any) -> Record:
    """With a request that gives its key."""
    request = record.request.model_copy(update={"mujoco": MUJOCO, **changes, "key": ""})
    return record.model_copy(update={"request": request.model_copy(update={"key": run_key(request)})})


def state(seed: int = 0, successes: Sequence[float] = (0.0, 0.3, 0.8, 0.8), **fields: Any) -> Record:
    return keyed(make_record(make_method("state", track="state"), seed, successes, **fields))


def publish(folder: Path, record: Record, **places: str) -> Path:
    request = record.request
    own = {"suite": request.suite, "method": request.method.name, "task": request.task, "file": f"seed{request.seed}.json"}
    path = folder.joinpath(*(own | places).values())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record_text(record))
    return path


def only(folder: Path, registry: Registry) -> Examined:
    (found,) = examine(folder, registry)
    return found


# -- a real run -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(registry, tmp_path_factory) -> Record:
    """A run of 200 steps from state."""
    request = make_request(registry, None, track="state", mujoco=MUJOCO, **TINY)
    run = RunFolder(tmp_path_factory.mktemp("real"), request.model_copy(update={"key": run_key(request)}))
    run.finish()
    return run.record


def test_a_real_record_is_verified_as_identical(real, registry, tmp_path):
    publish(tmp_path / "records", real)
    examined = examine(tmp_path / "records", registry)
    assert [one.standing for one in examined] == ["verifiable"]
    again = run_again(real, tmp_path / "again")
    found = compare(real, again, row_of(examined, examined[0]))
    assert (found.verdict, found.differences) == ("identical", ())
    assert found.reason == f"the results' sha256 is {real.result.sha256[:12]} in both"
    # An honest number changed and sealed again is found out by running it.
    points = [point.model_copy(update={"distance_m": point.distance_m + 0.001}) for point in real.result.evaluations]
    forged = real.model_copy(update={"result": real.result.model_copy(update={"evaluations": points}).sealed()})
    found = compare(forged, again, [forged])
    assert found.verdict == "differs"
    assert "have to be equal, and are not: evaluations[0].distance_m: " in found.reason


def test_a_run_that_comes_to_no_record_is_one_clear_line(tmp_path):
    command = (sys.executable, "-c", "import sys; sys.exit('error: out of luck')")
    with pytest.raises(FetchbenchError, match=r"state FetchReach-v4 seed 0: could not be run again: .*out of luck"):
        run_again(state(), tmp_path, command=command)


def test_an_interrupt_while_another_process_is_at_its_folder_is_an_interrupt(tmp_path):
    [job] = prepare(tmp_path, [state().request])
    with (job.directory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(KeyboardInterrupt):
            run_again(state(), tmp_path, watch=lambda runs: os.kill(os.getpid(), signal.SIGINT))


# -- which can be verified --------------------------------------------------------------------------------------------


def test_a_sound_record_can_be_verified(registry, tmp_path):
    path = publish(tmp_path, state())
    found = only(tmp_path, registry)
    assert (found.path, found.standing, found.reason) == (path.relative_to(tmp_path), "verifiable", "")
    assert found.suite == "reach-v1"


def test_hidden_files_are_left_alone(registry, tmp_path):
    publish(tmp_path, state(), suite=".old")
    assert examine(tmp_path, registry) == []


def edit(path: Path, *place: str, value: Any) -> None:
    data = json.loads(path.read_text())
    inner = data
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    path.write_text(json.dumps(data))


def test_a_score_that_was_edited_is_named(registry, tmp_path):
    edit(publish(tmp_path, state()), "result", "score", value=1.0)
    found = only(tmp_path, registry)
    assert found.standing == "edited"
    assert found.reason.startswith("the result does not match its sha256: it was damaged or edited")


def test_a_score_that_was_edited_and_sealed_again_is_named(registry, tmp_path):
    record = state()
    publish(tmp_path, record.model_copy(update={"result": record.result.model_copy(update={"score": 1.0}).sealed()}))
    found = only(tmp_path, registry)
    assert found.standing == "edited"
    assert "its score 1.0 is not what its evaluations give (0.8)" in found.reason


def test_a_request_that_was_edited_is_named(registry, tmp_path):
    edit(publish(tmp_path, state()), "request", "learner", "updates_per_step", value=0.25)
    found = only(tmp_path, registry)
    assert (found.standing, found.reason[:39]) == ("edited", "its request does not give its key: what")


def test_a_file_that_is_no_record_or_lies_elsewhere_is_named(registry, tmp_path):
    publish(tmp_path, state(), file="seed3.json")
    publish(tmp_path, state(1)).write_text("{")
    found = examine(tmp_path, registry)
    assert [one.standing for one in found] == ["edited", "edited"]
    assert found[0].reason.startswith("not a valid record")
    assert found[1].reason.startswith("holds the record of state/FetchReach-v4/seed0.json")
    assert found[0].record is None


def encoder(**fields: str) -> Any:
    return make_method("four-conv", encoder=Component(name="manipulation", **fields), routing=Component(name="critic"))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            keyed(make_record(encoder(source_sha256="b" * 64))),
            "the source of encoder 'manipulation' is not the one that was run",
        ),
        (
            keyed(make_record(make_method("four-conv"))),
            "encoder 'four-conv' is not here; name its file with --plugin, or install",
        ),
        (keyed(make_record("state"), mujoco="3.2.1"), "run with MuJoCo 3.2, and "),
        (keyed(state(), learner_version=99), "of protocol and learner version 1 and 99; this fetchbench has 1 and "),
    ],
    ids=["source", "gone", "mujoco", "version"],
)
def test_what_cannot_be_verified_here_says_why(registry, tmp_path, record, reason):
    publish(tmp_path, record)
    found = only(tmp_path, registry)
    assert found.standing == "elsewhere"
    assert found.reason.startswith(reason)


def test_a_gpu_and_a_compiler_are_needed_where_the_run_had_them(registry, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("fetchbench.execution.verifying.can_compile", lambda: False)
    publish(tmp_path, keyed(state(), execution=Execution(device="cuda")))
    publish(tmp_path, keyed(state(1), execution=Execution(compile="inductor")))
    assert [(one.standing, one.reason) for one in examine(tmp_path, registry)] == [
        ("elsewhere", "run on a GPU, and there is none here"),
        ("elsewhere", "run with torch.compile, which needs g++ and Python's headers here"),
    ]


def test_an_old_versions_key_is_not_held_against_it(registry, tmp_path):
    record = keyed(state(), learner_version=99)
    publish(tmp_path, record.model_copy(update={"request": record.request.model_copy(update={"key": "f" * 64})}))
    assert only(tmp_path, registry).standing == "elsewhere"


# -- which one is chosen ----------------------------------------------------------------------------------------------


@pytest.fixture
def examined(registry, tmp_path) -> list[Examined]:
    """Two suites of three seeds, the last of each edited."""
    for suite in ("one", "two"):
        for seed in range(3):
            publish(tmp_path, state(seed, suite=suite))
        edit(tmp_path / suite / "state" / "FetchReach-v4" / "seed2.json", "result", "steps", value=1)
    return examine(tmp_path, registry)


def test_a_draw_is_repeated_by_its_number_and_never_takes_an_edited_record(examined):
    found = [choose(examined, draw=number)[0] for number in range(40)]
    assert {one.path.parts[0] + one.path.name for one in found} == {f"{s}seed{k}.json" for s in ("one", "two") for k in (0, 1)}
    assert found == [choose(examined, draw=number)[0] for number in range(40)]
    one, number = choose(examined)
    assert choose(examined, draw=number) == (one, number)
    assert {choose(examined, suite="two", draw=number)[0].suite for number in range(9)} == {"two"}


def test_a_run_can_be_named(examined):
    one, number = choose(examined, suite="two", run=("state", "FetchReach-v4", 1))
    assert (str(one.path), number) == ("two/state/FetchReach-v4/seed1.json", None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"suite": "three"}, "unknown suite with published records 'three'"),
        ({"run": ("state", "FetchReach-v4", 1)}, "state FetchReach-v4 seed 1 stands in one and two; say which with --suite"),
        ({"run": ("state", "FetchReach-v4", 7)}, "no record of state FetchReach-v4 seed 7 is published"),
        (
            {"suite": "one", "run": ("state", "FetchReach-v4", 2)},
            "seed2.json: cannot be verified here: the result does not match",
        ),
    ],
)
def test_what_cannot_be_chosen(examined, options, message):
    with pytest.raises(FetchbenchError, match=message):
        choose(examined, **options)


def test_where_nothing_can_be_verified_it_says_where_to_look(examined):
    with pytest.raises(FetchbenchError, match="none of 2 records can be run again here; `fetchbench verify --check-only` says"):
        choose([one for one in examined if one.standing == "edited"])
    with pytest.raises(UnknownNameError):
        choose([], suite="one")


def test_a_row_is_the_seeds_of_one_method_that_were_not_edited(examined):
    one = choose(examined, draw=0)[0]
    assert [record.request.seed for record in row_of(examined, one)] == [0, 1]


# -- what the new record says -----------------------------------------------------------------------------------------

ROW = [state(seed, (0.0, 0.3, score, score)) for seed, score in enumerate((0.7, 0.8, 0.9))]
OTHER = {"processor": "Another CPU"}


def test_elsewhere_a_score_among_those_of_the_seeds_is_consistent_and_never_identical():
    again = state(0, (0.0, 0.3, 0.72, 0.72), provenance=OTHER)
    found = compare(ROW[0], again, ROW)
    assert found.verdict == "consistent"
    assert found.differences == ("processor Example CPU 9000 then, Another CPU now",)
    # t(0.975, 2) * 0.1 * sqrt(4 / 3) = 0.497
    assert found.interval == pytest.approx((0.303, 1.0), abs=1e-3)
    assert "score 0.72, 0.70 in the record; one more seed of this method falls into [0.30, 1.00] 19 times in 20" in found.reason
    assert "by its 3 seeds; not the record's machine (processor Example CPU 9000 then, Another CPU now)" in found.reason


def test_elsewhere_a_score_far_from_the_seeds_differs():
    found = compare(ROW[0], state(0, (0.0, 0.0, 0.1, 0.1), provenance=OTHER), ROW)
    assert found.verdict == "differs"


def test_elsewhere_one_seed_decides_nothing():
    found = compare(ROW[0], state(0, (0.0, 0.3, 0.72, 0.72), provenance=OTHER), ROW[:1])
    assert (found.verdict, found.interval) == ("undecided", None)


def test_on_the_same_machine_another_result_differs_however_close():
    found = compare(ROW[0], state(0, (0.0, 0.3, 0.7, 0.71)), ROW)
    assert found.verdict == "differs"
    assert found.reason.endswith("have to be equal, and are not: score: 0.7 then, 0.705 now")


def test_an_equal_result_is_identical_wherever_it_was_made():
    found = compare(ROW[0], state(0, (0.0, 0.3, 0.7, 0.7), provenance=OTHER), ROW)
    assert (found.verdict, len(found.differences)) == ("identical", 1)


def test_on_a_gpu_the_bits_are_not_asked_for():
    execution = {"execution": Execution(device="cuda")}
    row = [record.model_copy(update={"request": record.request.model_copy(update=execution)}) for record in ROW]
    found = compare(row[0], state(0, (0.0, 0.3, 0.7, 0.71)), row)
    assert found.verdict == "consistent"
    assert found.reason.endswith("a GPU's sums have no fixed order")


def test_other_weights_are_another_method():
    again = state(0, (0.0, 0.3, 0.7, 0.71), provenance={"weights": {"encoder": "f" * 64}})
    assert compare(ROW[0], again, ROW).reason.startswith("the networks began with other pretrained weights")


@pytest.mark.parametrize(("now", "verdict"), [("failed", "consistent"), ("done", "differs")])
def test_a_run_without_a_score_is_compared_by_how_it_ended(now, verdict):
    published = state(0, status="failed")
    again = state(0, (0.0, 0.3, 0.7, 0.7), status=now, provenance=OTHER)
    assert compare(published, again, [published]).verdict == verdict


def test_what_older_records_do_not_have_is_not_held_against_them():
    old = state().result
    new = old.model_copy(update={"signals": [LOSSES]}).sealed()
    assert new.sha256 != old.sha256
    assert comparable(new, old).digest() == old.sha256
    assert comparable(new, new) == new
    assert comparable(old, new).digest() != new.sha256


def test_the_machine_is_all_that_may_change_the_last_bits():
    before = state().provenance
    now = before.model_copy(
        update={
            "packages": {"torch": "2.16.0", "mujoco": "3.11.0", "timm": "1.0"},
            "python": "3.12.0",
            "gpu": "A GPU",
            "renderer": {"backend": "egl"},
            "cores": 64,
            "commit": "f" * 40,
            "finished": "2027-01-01T00:00:00Z",
        }
    )
    found = compare(ROW[0], ROW[0].model_copy(update={"provenance": now}), ROW)
    assert found.differences == (
        "torch 2.15.0 then, 2.16.0 now",
        "Python 3.11.7 then, 3.12.0 now",
        "GPU none then, A GPU now",
        "renderer none then, egl now",
    )


def test_the_interval_has_the_evaluations_error_as_its_least_width():
    low, high = prediction_interval([1.0, 1.0, 1.0], 50)
    # Laplace's rule takes 50 of 50 for 51 of 52: t(0.975, 2) * sqrt(51 / 52 / 52 / 50 * 4 / 3) = 0.0965
    assert (low, high) == (pytest.approx(0.9035, abs=1e-4), 1.0)
    assert prediction_interval([0.5], 50) is None


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_one_more_seed_falls_into_the_interval_as_often_as_it_says(seeds):
    draws = np.random.default_rng(seeds).normal(0.5, 0.08, size=(2000, seeds + 1)).clip(0, 1)
    inside = 0
    for *scores, following in draws.tolist():
        low, high = prediction_interval(scores, 1000)
        inside += low <= following <= high
    assert inside / len(draws) == pytest.approx(0.95, abs=0.02)
