"""What a suite still needs and what it will take, from folders and past records."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path

import pytest
from leaderboard.factory import make_record, write_published

from fetchbench.execution import forecast, prepare
from fetchbench.execution.forecast import Detection, Hardware, detection, predict, read_past, states
from fetchbench.protocol import Budget, Evaluation, LearnerSettings
from fetchbench.records.schema import Component, Method, Record
from fetchbench.records.store import record_text
from fetchbench.registry import bundled_folder
from fetchbench.specs import PixelSpec
from fetchbench.statistics import binomial_variance
from fetchbench.suite import Suite, load_suite, run_key

SUITE = """
title = "Small"
tasks = ["FetchReach-v4"]
track = "pixels-only"
seeds = 5
[pixels]
preset = "reach-cpu"
[learner]
preset = "reach-cpu"
[budget]
steps = 4000
[evaluation]
every_steps = 500
last = 2
[template]
routing = "critic"
[methods.nature]
encoder = "nature"
[methods.joint]
encoder = "nature"
routing = "joint"
[methods.large]
encoder = { name = "nature", dim = 512 }
[methods.state]
track = "state"
"""
HERE = Hardware("cpu", "Example CPU 9000", 2)
NATURE = Method(
    name="nature",
    track="pixels-only",
    pixels=PixelSpec(size=64),
    encoder=Component(name="nature"),
    routing=Component(name="critic"),
)
PUBLISHED = Path("leaderboard", "records")


@pytest.fixture
def suite(tmp_path, monkeypatch) -> Suite:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(SUITE)
    return load_suite("mine.toml")


def past(*records: Record) -> list[forecast.Past]:
    return [forecast.Past.model_validate_json(record.model_dump_json()) for record in records]


def one(suite: Suite, name: str) -> Method:
    (method,) = [method for method in suite.methods if method.name == name]
    return method


def predicted(suite: Suite, name: str, *records: Record, here: Hardware = HERE) -> forecast.Prediction | None:
    return predict(suite, one(suite, name), "FetchReach-v4", past(*records), here)


# -- prediction -------------------------------------------------------------------------------------------------------


def test_the_same_method_with_more_steps_takes_more(suite):
    # 2,000 steps with 1,000 updates took 252 core-seconds; 4,000 steps have 3,000 updates.
    found = predicted(suite, "nature", make_record(NATURE))
    assert found is not None
    assert found.hours == pytest.approx(252 * 3 / 3600)
    # Its replay, 25 of 812 MB, has room for twice as much.
    assert found.memory_mb == pytest.approx(812 + 25)
    assert (found.near, found.gpu_memory_mb) == (False, None)
    assert found.basis == "a run of nature (reach-v1)"


def test_several_runs_give_their_median(suite):
    records = [make_record(NATURE, seed=seed, cost={"core_s": core_s}) for seed, core_s in enumerate((100, 200, 1000))]
    found = predicted(suite, "nature", *records)
    assert found is not None
    assert found.hours == pytest.approx(200 * 3 / 3600)
    assert found.basis == "3 runs of nature (reach-v1)"


def test_the_nearest_method_is_taken_and_what_differs_is_said(suite):
    actor = NATURE.model_copy(update={"name": "actor", "routing": Component(name="actor"), "trunk": 3})
    found = predicted(suite, "joint", make_record(actor), make_record(NATURE, cost={"core_s": 100}))
    assert found is not None
    assert (found.basis, found.near) == ("a run of nature (reach-v1); other routing", True)
    assert found.hours == pytest.approx(100 * 3 / 3600)
    pushed = make_record(NATURE, task="FetchPush-v4", request={"evaluation": Evaluation(every_steps=100, last=2)})
    found = predicted(suite, "nature", pushed)
    assert found is not None
    assert found.basis == "a run of nature (reach-v1); other task, share of evaluation"


@pytest.mark.parametrize(
    "other",
    [
        make_record(NATURE.model_copy(update={"encoder": Component(name="nature", options={"dim": 512})})),
        make_record(NATURE.model_copy(update={"pixels": PixelSpec(size=64, stack=2)})),
        make_record(NATURE.model_copy(update={"auxiliary_loss": Component(name="curl")})),
        make_record(NATURE.model_copy(update={"views": 2, "augmentation": Component(name="shift")})),
        make_record(NATURE, request={"learner": LearnerSettings(batch_size=64)}),
        make_record(NATURE, request={"learner": LearnerSettings(updates_per_step=0.5)}),
        make_record(NATURE, request={"learner": LearnerSettings(hidden=(64,))}),
        make_record(NATURE, provenance={"processor": "Another CPU"}),
        make_record(make_record("state", request={}).request.method.model_copy(update={"track": "state"})),
    ],
    ids=["options", "stack", "loss", "views", "batch", "updates", "heads", "processor", "encoder"],
)
def test_what_is_not_near_enough_says_nothing(suite, other):
    assert predicted(suite, "nature", other) is None


def test_another_precision_is_another_run_where_there_are_frames(suite):
    here = Hardware("cpu", "Example CPU 9000", 2, "bfloat16")
    found = predicted(suite, "nature", make_record(NATURE), here=here)
    assert found is not None
    assert found.basis == "a run of nature (reach-v1); other precision"
    state = predicted(suite, "state", make_record(Method(name="state", track="state")), here=here)
    assert state is not None
    assert not state.near


def test_a_run_that_never_learned_says_nothing(suite):
    record = make_record(NATURE)
    record = record.model_copy(update={"result": record.result.model_copy(update={"updates": 0})})
    assert predicted(suite, "nature", record) is None


def ended(status, steps: int, updates: int) -> Record:
    record = make_record(NATURE, status=status)
    result = record.result.model_copy(update={"steps": steps, "updates": updates})
    return record.model_copy(update={"result": result})


@pytest.mark.parametrize(
    ("status", "steps", "updates"),
    [("diverged", 1050, 12), ("failed", 1050, 12), ("diverged", 1900, 900), ("censored", 1000, 500)],
)
def test_a_run_that_ended_early_says_nothing(suite, status, steps, updates):
    assert predicted(suite, "nature", ended(status, steps, updates)) is None
    found = predicted(suite, "nature", ended(status, steps, updates), make_record(NATURE, seed=1))
    assert found is not None
    assert (found.basis, found.hours) == ("a run of nature (reach-v1)", pytest.approx(252 * 3 / 3600))


def test_a_run_that_was_censored_late_tells_what_a_whole_one_takes(suite):
    found = predicted(suite, "nature", ended("censored", 1500, 500))
    assert found is not None
    assert found.hours == pytest.approx(252 * 6 / 3600)


def test_a_method_is_known_by_the_suites_own_file_whatever_frame_size_it_needed(suite):
    sized = NATURE.model_copy(update={"pixels": PixelSpec(size=256)})
    assert predicted(suite, "nature", make_record(sized)) is None
    found = predicted(suite, "nature", make_record(sized, provenance={"suite_sha256": suite.sha256}))
    assert found is not None
    assert not found.near


def test_on_a_gpu_time_is_the_clocks_and_memory_is_the_gpus(suite):
    gpu = Hardware("cuda", "Example GPU", 16)
    cost = {"peak_gpu_memory_mb": 900.0, "frames_on": "cuda", "wall_s": 60.0}
    made = make_record(NATURE, cost=cost, provenance={"gpu": "Example GPU"})
    execution = made.request.execution.model_copy(update={"device": "cuda"})
    made = made.model_copy(update={"request": made.request.model_copy(update={"execution": execution})})
    found = predicted(suite, "nature", made, here=gpu)
    assert found is not None
    assert found.hours == pytest.approx(60 * 3 / 3600)
    assert (found.memory_mb, found.gpu_memory_mb) == (812.0, 925.0)
    assert gpu.unit == "GPU-hours"
    assert predicted(suite, "nature", made) is None
    assert predicted(suite, "nature", made, here=Hardware("cuda", "Another GPU", 16)) is None


# -- what it can show -------------------------------------------------------------------------------------------------


def scored(method: Method, *scores: float, task: str = "FetchReach-v4") -> list[Record]:
    return [make_record(method, seed=seed, successes=(0, score, score), task=task) for seed, score in enumerate(scores)]


def test_without_records_a_deviation_is_assumed(suite):
    found = detection(suite, [])
    assert (found.seeds, found.deviation, found.basis) == (5, 0.1, "assumed: too few records of these tasks")
    assert found.difference == pytest.approx(0.20, abs=0.005)
    few = past(*scored(NATURE, 0.5, 0.7))
    assert detection(suite, few) == found


def test_the_deviation_is_pooled_within_methods(suite):
    joint = NATURE.model_copy(update={"name": "joint"})
    state = Method(name="state", track="state")
    records = [*scored(NATURE, 0.2, 0.4, 0.6), *scored(joint, 0.8, 0.9, 1.0), *scored(state, 1, 1, 1, 1)]
    found = detection(suite, past(*records, *scored(NATURE, 0.0, 1.0, 0.0, task="FetchPush-v4")))
    assert found.deviation == pytest.approx(((0.04 + 0.01) / 2) ** 0.5)
    assert found.basis == "of 6 past runs of 2 methods on the same task"
    assert found.difference is not None
    assert found.difference > 0.2


def test_runs_of_an_earlier_form_of_the_suite_are_no_further_seeds(suite):
    now = scored(NATURE, 0.2, 0.4, 0.6)
    budget = Budget(steps=1000, checkpoint_every_steps=500)
    before = [
        record.model_copy(update={"request": record.request.model_copy(update={"budget": budget})})
        for record in scored(NATURE, 0.0, 0.1, 0.2)
    ]
    found = detection(suite, past(*now, *before))
    assert found.deviation == pytest.approx(((0.04 + 0.01) / 2) ** 0.5)
    assert found.basis == "of 6 past runs of 1 method on the same task"


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_seeds_that_agree_still_have_the_evaluations_error(suite, score):
    agreeing = past(*scored(NATURE, *[score] * 5))
    found = detection(suite, agreeing)
    assert found.deviation == pytest.approx(binomial_variance(score, 2 * 50) ** 0.5)
    assert found.difference is not None
    assert found.difference > 0.01
    Path("short.toml").write_text(SUITE.replace("last = 2", "last = 100\nepisodes = 3"))
    assert detection(load_suite("short.toml"), agreeing).deviation == pytest.approx(binomial_variance(score, 8 * 3) ** 0.5)


def test_seeds_that_all_diverged_make_nothing_exact(suite):
    diverged = [make_record(NATURE, seed=seed, status="diverged") for seed in range(5)]
    assert detection(suite, past(*diverged)).deviation == pytest.approx(binomial_variance(0.0, 100) ** 0.5)


@pytest.mark.parametrize("seeds", ["seeds = 1", "seeds = 3"])
def test_too_few_seeds_can_show_nothing(suite, seeds):
    Path("few.toml").write_text(SUITE.replace("seeds = 5", seeds))
    found = detection(load_suite("few.toml"), [])
    assert found == Detection(None, int(seeds[-1]), 0.1, "assumed: too few records of these tasks")


def test_no_difference_above_one_is_claimed(suite):
    wild = past(*scored(NATURE, 0, 1, 0, 1, 0, 1), *scored(NATURE.model_copy(update={"name": "b"}), 0, 1, 0, 1))
    Path("four.toml").write_text(SUITE.replace("seeds = 5", "seeds = 4"))
    assert detection(load_suite("four.toml"), wild).difference is None


# -- what is done -----------------------------------------------------------------------------------------------------


def request_of(suite: Suite, seed: int = 0, **changes):
    """A request as ``fetchbench run`` would write it, with the digest of a plugin file that is there."""
    file = bundled_folder("plugins") / "nature.py"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    ours = {"provider": "fetchbench", "version": "1", "source_sha256": changes.pop("digest", digest)}
    method = one(suite, "nature")
    assert method.encoder
    assert method.routing
    resolved = {"encoder": method.encoder.model_copy(update=ours), "routing": method.routing}
    fields = {
        "suite": changes.pop("of", "another"),
        "seed": seed,
        "method": method.model_copy(update=resolved),
        "learner": suite.learner,
        "budget": suite.budget,
        "evaluation": suite.evaluation,
        "mujoco": importlib.metadata.version("mujoco"),
    }
    made = make_record(NATURE).request.model_copy(update=fields | changes)
    return made.model_copy(update={"key": run_key(made)})


def leave(runs: Path, request, done: bool = True) -> Path:
    [job] = prepare(runs, [request])
    if done:
        record = make_record(NATURE).model_copy(update={"request": request})
        (job.directory / "record.json").write_text(record_text(record))
    return job.directory


def state_of(suite: Suite, seed: int = 0, method: str = "nature"):
    [found] = [run for run in states(Path("runs"), suite, None) if (run.method, run.seed) == (method, seed)]
    return found


def test_nothing_is_done_at_first(suite):
    found = states(Path("runs"), suite, None)
    assert [(run.seed, run.method) for run in found[:5]] == [
        (0, "nature"), (0, "joint"), (0, "large"), (0, "state"), (1, "nature"),
    ]  # fmt: skip
    assert {run.state for run in found} == {"waiting"}


def test_a_run_that_another_suite_left_counts(suite):
    folder = leave(Path("runs"), request_of(suite))
    assert (state_of(suite).state, state_of(suite).directory) == ("done", folder)
    assert state_of(suite, seed=1).state == "waiting"
    leave(Path("runs"), request_of(suite, seed=1), done=False)
    assert state_of(suite, seed=1).state == "waiting"


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "0" * 64},
        {"mujoco": "2.1.0"},
        {"learner": LearnerSettings(batch_size=7)},
        {"budget": Budget(steps=3000)},
        {"learner_version": 99},
    ],
    ids=["plugin", "mujoco", "learner", "budget", "version"],
)
def test_another_run_does_not_count(suite, changes):
    leave(Path("runs"), request_of(suite, **changes))
    assert state_of(suite).state == "waiting"


def test_the_installed_version_is_looked_up_once(suite, monkeypatch):
    for seed in range(3):
        leave(Path("runs"), request_of(suite, seed=seed))
    asked: list[str] = []
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: asked.append(name) or version(name))
    assert [run.state for run in states(Path("runs"), suite, None) if run.method == "nature"].count("done") == 3
    assert asked == ["mujoco"]


def test_records_are_read_once_each_and_what_is_no_record_is_passed_over(suite):
    request = request_of(suite)
    folder = leave(Path("runs"), request)
    record = make_record(NATURE).model_copy(update={"request": request})
    write_published(Path(), [record])
    assert len(read_past(Path("runs"), PUBLISHED)) == 1
    (folder / "record.json").write_text("{")
    Path("leaderboard/records/x/y/z").mkdir(parents=True)
    Path("leaderboard/records/x/y/z/seed0.json").write_text(json.dumps({"request": 3}))
    assert len(read_past(Path("runs"), PUBLISHED)) == 1
    assert read_past(Path("nowhere"), Path("nowhere")) == []


def test_published_runs_are_told_if_they_are_still_asked_for(suite):
    ours = request_of(suite, of="mine")
    changed = request_of(suite, seed=1, of="mine", budget=Budget(steps=3000))
    write_published(Path(), [make_record(NATURE).model_copy(update={"request": r}) for r in (ours, changed)])
    assert forecast.in_records(PUBLISHED, suite) == {(0, "nature", "FetchReach-v4")}


# -- rows -------------------------------------------------------------------------------------------------------------


def test_what_is_left_of_a_run_that_has_begun(suite):
    folder = leave(Path("runs"), request_of(suite), done=False)
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "manifest.json").write_text("{}")
    (folder / "metrics.jsonl").write_text('{"kind": "progress", "steps": 3000}\n')
    found = states(Path("runs"), suite, None)
    rows = forecast.rows(suite, found, set(), lambda method, task: forecast.Prediction(2.0, 100.0))
    assert [row.method for row in rows] == ["nature", "joint", "large", "state"]
    assert (len(rows[0].runs), len(rows[0].missing)) == (5, 5)
    assert rows[0].hours_left(suite.budget.steps) == [0.5, 2.0, 2.0, 2.0, 2.0]
    unknown = forecast.rows(suite, found, set(), lambda method, task: None)
    assert unknown[0].hours_left(suite.budget.steps) == []


def test_the_hardware_is_told_without_torch(monkeypatch):
    monkeypatch.setattr(forecast, "gpu_name", lambda: "Example GPU")
    assert (forecast.hardware().device, forecast.hardware().name) == ("cuda", "Example GPU")
    assert forecast.hardware("cpu").device == "cpu"
    monkeypatch.setattr(forecast, "gpu_name", lambda: None)
    assert forecast.hardware().device == "cpu"
    assert forecast.hardware("cuda").name == "no GPU found"
