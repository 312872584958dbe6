"""Requests and records as data: strict, finite, sealed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from leaderboard.factory import make_method, make_points, make_record
from pydantic import ValidationError

from fetchbench.protocol import LEARNER_VERSION, PROTOCOL_VERSION, StopRule
from fetchbench.records.schema import (
    Component,
    GoalDistance,
    Method,
    Probe,
    Record,
    Result,
    RunRequest,
    Signal,
    canonical_json,
    sha256_of,
)
from fetchbench.records.store import read_record, record_text

COMMITTED = Path(__file__).resolve().parents[2] / "leaderboard" / "records"


def result(**changes) -> Result:
    fields = {
        "status": "done",
        "steps": 100,
        "updates": 50,
        "episodes": 2,
        "score": 0.5,
        "evaluations": [],
        "audit": [],
        "parameters": {"actor": 3},
    }
    return Result(**fields | changes)


def test_canonical_json_is_one_text_per_value():
    assert canonical_json({"b": [1, 2.5], "a": "ü"}) == '{"a":"ü","b":[1,2.5]}'
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


PROBE = Probe(
    steps=0,
    updates=0,
    encoder="encoder",
    scenes=20,
    r2={"gripper_xyz": 0.5},
    error_cm={"gripper_xyz": 3.0},
    mean_error_cm={"gripper_xyz": 6.0},
    effective_rank=4.5,
    dead_units=1,
)

SIGNAL = Signal(steps=100, updates=50, critic_loss=0.1, actor_loss=1.0, q=-2.0, entropy=3.0)
DISTANCE = GoalDistance(pairs=100, rank_correlation=0.3, gripper_rank_correlation=0.6, metric="euclidean")


def test_the_digest_is_that_of_the_other_fields():
    """Without probes, goal distance and signals: records from before there were any keep theirs."""
    text = (
        '{"audit":[],"episodes":2,"evaluations":[],"feature_dim":null,"parameters":{"actor":3},"reason":"",'
        '"score":0.5,"status":"done","steps":100,"updates":50}'
    )
    assert result().sealed().sha256 == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"status": "censored"},
        {"reason": "why"},
        {"steps": 101},
        {"updates": 51},
        {"episodes": 3},
        {"score": 0.5000000000000001},
        {"score": None},
        {"evaluations": make_points([0.5])},
        {"parameters": {"actor": 4}},
        {"feature_dim": 50},
        {"probes": [PROBE]},
        {"probes": [PROBE, PROBE]},
        {"goal_distance": DISTANCE},
        {"signals": [SIGNAL]},
        {"signals": [SIGNAL, SIGNAL]},
    ],
)
def test_every_change_of_a_result_changes_its_digest(change):
    assert result(**change).digest() != result().digest()


def test_what_a_goal_distance_says_is_sealed():
    sealed = result(goal_distance=DISTANCE, probes=[PROBE]).sealed()
    for field in ("pairs", "rank_correlation", "gripper_rank_correlation", "metric"):
        value = "cosine" if field == "metric" else 0
        edited = sealed.model_copy(update={"goal_distance": DISTANCE.model_copy(update={field: value})})
        assert edited.digest() != sealed.sha256, field
    assert Result.model_validate_json(sealed.model_dump_json()).digest() == sealed.sha256


@pytest.mark.parametrize("method", ["manipulation", "state"])
def test_records_from_before_a_field_was_there_still_hold(tmp_path, method):
    """What rewards a method, and what its distance is worth: taken out of a published record, where they are."""
    data = json.loads((COMMITTED / "demo" / method / "FetchReach-v4" / "seed0.json").read_text())
    data["request"].pop("reward", None)
    data["request"].pop("stop", None)
    assert data["result"].pop("goal_distance", None) is None
    if not data["result"].get("signals"):
        data["result"].pop("signals", None)
    (tmp_path / "record.json").write_text(json.dumps(data))
    record = read_record(tmp_path / "record.json")  # which takes the digest
    assert (record.request.reward, record.result.goal_distance) == ("task", None)
    assert Record.model_validate_json(record_text(record)).result.digest() == data["result"]["sha256"]


def test_sealing_twice_changes_nothing():
    once = result().sealed()
    assert once.sealed() == once
    assert once.digest() == once.sha256


def test_a_record_survives_its_own_text():
    record = make_record(successes=(0.1, 1 / 3, 0.7))
    again = Record.model_validate_json(record_text(record))
    assert again == record
    assert record_text(again) == record_text(record)
    assert again.result.digest() == record.result.sha256


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    "place",
    [
        ("request", "learner", "target_entropy"),
        ("request", "method", "auxiliary_weight"),
        ("request", "method", "encoder", "options", "temperature"),
        ("request", "method", "encoder", "options", "nested"),
        ("result", "score"),
        ("result", "evaluations", 0, "distance_m"),
        ("cost", "wall_s"),
    ],
)
def test_every_number_is_finite(number, place):
    data = json.loads(record_text(make_record()))
    inner = data
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = [{"deep": ["@"]}] if place[-1] == "nested" else "@"
    with pytest.raises(ValidationError, match="finite"):
        Record.model_validate_json(json.dumps(data).replace('"@"', number))


def test_unknown_fields_and_other_types_are_refused():
    data = json.loads(record_text(make_record()))
    for block, field, value in (
        ("request", "sed", 0),
        ("request", "seed", "0"),
        ("request", "seed", -1),
        ("request", "format", 2),
        ("request", "reward", "dense"),
        ("result", "steps", 1.5),
        ("result", "score", 1.5),
        ("result", "status", "great"),
    ):
        with pytest.raises(ValidationError, match=field):
            Record.model_validate_json(json.dumps(data | {block: data[block] | {field: value}}))


def test_a_request_names_the_versions_that_it_was_made_for():
    request = make_record().request
    assert (request.protocol_version, request.learner_version) == (PROTOCOL_VERSION, LEARNER_VERSION)


def test_the_protocol_is_what_rows_share():
    one = make_record("four-conv", seed=0, task="FetchReach-v4").request
    other = make_record(make_method("state", track="state"), seed=3, task="FetchPush-v4", suite="other").request
    assert one.protocol() == other.protocol()
    assert one.protocol() != one.model_copy(update={"pixel_track": "pixels"}).protocol()
    assert one.protocol() == one.model_copy(update={"reward": "latent"}).protocol()


def test_a_stop_rule_is_part_of_the_protocol_where_it_is_set_and_nowhere_else():
    request = make_record().request
    assert request.stop is None
    assert "stop" not in request.protocol()
    ruled = request.model_copy(update={"stop": StopRule(after_steps=1000)})
    assert ruled.protocol()["stop"] == {
        "after_steps": 1000,
        "at_most_success": 0.1,
        "evaluations": 3,
        "critic_loss": "any",
    }
    assert {name: value for name, value in ruled.protocol().items() if name != "stop"} == request.protocol()


@pytest.mark.parametrize(
    ("component", "label"),
    [
        (Component(name="nature"), "nature"),
        (Component(name="spatial-softmax", options={"temperature": 1.0}), "spatial-softmax(temperature=1.0)"),
        (Component(name="coordconv", wraps=Component(name="nature", options={"dim": 9})), "coordconv(nature(dim=9))"),
        (Component(name="coordconv", wraps=Component(name="x"), options={"a": 1, "b": "c"}), "coordconv(x, a=1, b=c)"),
    ],
)
def test_labels(component, label):
    assert component.label == label


def test_a_declaration_leaves_out_who_provides_it():
    origin = {"provider": "p", "version": "1", "source_sha256": "f"}
    component = Component(name="outer", wraps=Component(name="inner", options={"k": [1]}, **origin), **origin)
    bare = Component(name="outer", wraps=Component(name="inner", options={"k": [1]}))
    assert sha256_of(component.declaration()) == sha256_of(bare.declaration())
    assert component.declaration() == {
        "name": "outer",
        "options": {},
        "wraps": {"name": "inner", "options": {"k": [1]}, "wraps": None},
    }


@pytest.mark.parametrize("name", ["", "Big", "a_b", "a/b", "..", "-a", "a--b", "a\n", "a b", "ä"])
def test_a_method_has_a_name_that_can_be_a_folder_and_stand_in_a_table(name):
    with pytest.raises(ValidationError, match="name"):
        Method(name=name, track="blind")


def test_a_request_survives_its_own_text():
    request = make_record(make_method(trunk=50, views=2)).request
    assert RunRequest.model_validate_json(request.model_dump_json(indent=1)) == request
