"""The table ``[stop]``: what it says, what is refused, and that suites without it are as they were."""

from __future__ import annotations

import json

import pytest

from fetchbench.errors import SuiteError
from fetchbench.protocol import STOP_PRESETS, Budget, StopRule
from fetchbench.records.schema import Record
from fetchbench.registry import bundled_folder
from fetchbench.suite import load_suite, requests
from fetchbench.suite.runs import protocol_key, run_key

HEAD = """
title = "T"
tasks = ["FetchPush-v4"]
track = "pixels"
seeds = 1

[learner]
preset = "push"

[budget]
steps = {steps}

[evaluation]
every_steps = 100000

[methods.blind]
track = "blind"
"""


def suite(steps: int = 8_000_000, **stop: object) -> str:
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in stop.items())
    return HEAD.format(steps=steps) + (f"\n[stop]\n{lines}" if stop else "")


def test_without_the_table_there_is_no_rule(write):
    write("plain", suite())
    assert load_suite("plain").stop is None


@pytest.mark.parametrize(
    ("stop", "rule"),
    [
        ({"preset": "seed"}, STOP_PRESETS["seed"]),
        ({"preset": "seed", "after_steps": 4_000_000}, StopRule(after_steps=4_000_000, critic_loss="not-rising")),
        ({"after_steps": 200_000}, StopRule(after_steps=200_000)),
        (
            {"after_steps": 200_000, "at_most_success": 0.05, "evaluations": 5, "critic_loss": "not-rising"},
            StopRule(after_steps=200_000, at_most_success=0.05, evaluations=5, critic_loss="not-rising"),
        ),
    ],
)
def test_what_the_table_says(write, registry, stop, rule):
    write("stopping", suite(**stop))
    loaded = load_suite("stopping")
    assert loaded.stop == rule
    assert [request.stop for request in requests(loaded, registry)] == [rule]


@pytest.mark.parametrize(
    ("steps", "stop", "problem"),
    [
        (8_000_000, {"preset": "sed"}, "stop.preset: unknown preset 'sed'; did you mean 'seed'?"),
        (8_000_000, {"at_most_success": 0.1}, "stop.after_steps: missing"),
        (8_000_000, {"after_step": 10}, "stop.after_step: unknown field 'after_step'; did you mean 'after_steps'?"),
        (8_000_000, {"after_steps": 200_000, "evaluations": 0}, "stop.evaluations: must be 1 or more, not 0"),
        (8_000_000, {"after_steps": 200_000, "at_most_success": 1.0}, "stop.at_most_success: must be less than 1, not 1.0"),
        (8_000_000, {"after_steps": 200_000, "critic_loss": "rising"}, "stop.critic_loss: must be 'any' or 'not-rising'"),
        (200_000, {"after_steps": 200_000}, "stop.after_steps: must be less than budget.steps, 200000, not 200000"),
        (2_000_000, {"preset": "seed"}, "not 3000000, as the preset 'seed' has it"),
        (
            400_000,
            {"after_steps": 200_000, "evaluations": 4},
            "stop.evaluations: 4 in a row never come: a run of this budget has 3 before its last, which stops nothing",
        ),
        (
            100_000,
            {"after_steps": 50_000},
            "stop.evaluations: 3 in a row never come: a run of this budget has 0 before its last",
        ),
        (8_000_000, {"after_steps": 1000}, "stop.after_steps: must be more than learner.warmup_steps, 1000, not 1000"),
    ],
)
def test_what_is_refused(write, steps, stop, problem):
    write("wrong", suite(steps, **stop))
    with pytest.raises(SuiteError) as error:
        load_suite("wrong")
    assert problem in str(error.value)
    assert len(error.value.problems) == 1 + ("after_step" in stop)


def test_as_many_evaluations_as_there_are_before_the_last(write):
    write("stopping", suite(400_001, after_steps=200_000, evaluations=4))
    assert load_suite("stopping").stop == StopRule(after_steps=200_000, evaluations=4)


def test_a_rule_makes_another_run_and_another_table(write, registry):
    write("plain", suite())
    write("stopping", suite(after_steps=200_000))
    write("later", suite(after_steps=300_000))
    asked = [requests(load_suite(name), registry)[0] for name in ("plain", "stopping", "later")]
    assert len({request.key for request in asked}) == 3
    assert len({protocol_key(request) for request in asked}) == 3
    assert protocol_key(asked[1].model_copy(update={"stop": None})) == protocol_key(asked[0])


def test_published_records_keep_their_keys():
    """One of the demo's, literally, and all that are committed."""
    folder = bundled_folder("suites").parent / "leaderboard"
    manipulation = folder / "records" / "demo" / "manipulation" / "FetchReach-v4" / "seed0.json"
    request = Record.model_validate_json(manipulation.read_bytes()).request
    assert run_key(request) == "32b8a71c808b91de7365c3078968918d838942c09f434b191d28bc9ea855e75d"
    paths = [*folder.glob("records/**/*.json"), *folder.glob("evidence/**/record.json")]
    assert len(paths) > 10
    for path in paths:
        record = Record.model_validate_json(path.read_bytes())
        assert run_key(record.request) == record.request.key, path
        assert record.result.digest() == record.result.sha256, path


def test_a_run_of_another_budget_shows_that_the_key_can_change():
    path = bundled_folder("suites").parent / "leaderboard/records/demo/blind/FetchReach-v4/seed0.json"
    request = Record.model_validate_json(path.read_bytes()).request
    assert run_key(request.model_copy(update={"budget": Budget(steps=4001)})) != request.key
