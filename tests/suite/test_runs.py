"""The runs that a suite asks for, and what makes two of them the same."""

from __future__ import annotations

import importlib.metadata
import textwrap
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from fetchbench.errors import SuiteError
from fetchbench.learner.goals import VECTOR_GOALS
from fetchbench.records.schema import Component, Execution, RunRequest
from fetchbench.records.store import read_record
from fetchbench.registry import load_registry
from fetchbench.specs import EncoderSpec, GoalSpaceSpec, PixelSpec
from fetchbench.suite import load_suite, requests, run_directory, run_key
from fetchbench.suite.runs import protocol_key

COMMITTED = Path(__file__).resolve().parents[2] / "leaderboard" / "records"

KEYS = {
    "blind": "b6f96832c796f232bac47beddb2a79f898aac6c5278177faad1e14c47399baae",
    "manipulation": "32b8a71c808b91de7365c3078968918d838942c09f434b191d28bc9ea855e75d",
    "spatial-softmax": "8fc28f0977d91ac36011bace9905a7be8f34d699b1e8d9eec98e1a1240d50964",
    "state": "e4e9c8beb2aaf1cf8bda977b0b6e20b3dc3e3e87b97ff23f03ba17e81b98bac0",
}

HEAD = 'title = "A test"\ntasks = ["FetchReach-v4", "FetchPush-v4"]\ntrack = "pixels-only"\nseeds = [1, 0]'
METHODS = '[methods.nature]\nencoder = { name = "nature", dim = 32 }\n[methods.blind]\ntrack = "blind"'


@pytest.fixture
def request_(load, registry) -> RunRequest:
    """One run with an encoder that wraps another (no registry has it)."""
    found = requests(load(), registry)[0]
    assert found.method.encoder
    inner = found.method.encoder
    method = found.method.model_copy(update={"encoder": inner.model_copy(update={"name": "outer", "wraps": inner})})
    return found.model_copy(update={"method": method})


def test_the_order_of_runs(load, registry):
    found = requests(load(head=HEAD, methods=METHODS), registry)
    assert [(r.seed, r.method.name, r.task) for r in found] == [
        (1, "nature", "FetchReach-v4"),
        (1, "nature", "FetchPush-v4"),
        (1, "blind", "FetchReach-v4"),
        (1, "blind", "FetchPush-v4"),
        (0, "nature", "FetchReach-v4"),
        (0, "nature", "FetchPush-v4"),
        (0, "blind", "FetchReach-v4"),
        (0, "blind", "FetchPush-v4"),
    ]


def test_what_a_request_holds(load, registry):
    suite = load(methods=METHODS)
    execution = Execution(threads=2)
    found, blind = requests(suite, registry, execution)
    assert (found.suite, found.pixel_track, found.scene) == ("mine", "pixels-only", suite.scene)
    assert (found.learner, found.budget, found.evaluation) == (suite.learner, suite.budget, suite.evaluation)
    assert found.execution == execution
    assert found.mujoco == importlib.metadata.version("mujoco")
    provider = registry.get("encoder", "nature").provider
    assert found.method.encoder == Component(
        name="nature",
        options={"dim": 32},
        provider=provider.name,
        version=provider.version,
        source_sha256=provider.source_sha256,
    )
    assert found.method.goal_space.provider == "fetchbench"
    assert (blind.method.encoder, blind.method.routing, blind.method.pixels) == (None, None, None)
    assert found.key == run_key(found) == run_key(RunRequest.model_validate_json(found.model_dump_json()))
    assert requests(suite, registry)[0].execution == Execution()


def test_the_frame_size_that_an_encoder_needs_is_what_is_recorded(load):
    spec = EncoderSpec("fixed", lambda shape: None, frame_size=96, licence="CC-BY-NC-4.0")
    wrapper = EncoderSpec("wrapper", lambda shape, inner: inner, wraps=True)
    registry = load_registry(builtin=[("encoder", spec), ("encoder", wrapper), ("goal-space", VECTOR_GOALS)])
    methods = """
    [methods.fixed]
    encoder = "fixed"
    pixels = { stack = 2 }

    [methods.wrapped]
    encoder = "wrapper(fixed)"
    pixels = { render_size = 80 }

    [methods.free]
    encoder = "nature"
    """
    head = HEAD.replace(', "FetchPush-v4"', "").replace("[1, 0]", "[0]")
    fixed, wrapped, free = requests(load(head=head, methods=textwrap.dedent(methods)), registry)
    assert fixed.method.pixels == PixelSpec(size=96, stack=2)
    assert wrapped.method.pixels == PixelSpec(size=96, render_size=96)
    assert free.method.pixels == PixelSpec(size=64)
    assert fixed.key == run_key(fixed)
    assert (fixed.method.encoder.licence, free.method.encoder.licence) == ("CC-BY-NC-4.0", "")


def test_what_rewards_a_method_is_what_its_goal_space_says(load):
    learned = GoalSpaceSpec("learned", lambda task: None, tracks=("pixels-only",), reward="latent")
    registry = load_registry(builtin=[("goal-space", learned), ("goal-space", VECTOR_GOALS)])
    methods = '[methods.usual]\n[methods.own]\ngoal_space = "learned"\n[methods.state]\ntrack = "state"'
    found = requests(load(head=HEAD, methods=methods), registry)
    assert len(found) == 12
    assert {(r.method.name, r.reward) for r in found} == {("usual", "task"), ("own", "latent"), ("state", "task")}


def test_every_component_that_does_not_resolve_is_reported_where_it_is_written(load, registry):
    suite = load(
        template='encoder = "manipulaton"\nrouting = "critic"',
        methods="""
            [methods.a]
            [methods.b]
            trunk = 3
            [methods.c]
            encoder = { name = "nature", dims = 3 }
            routing = "critical"
            [methods.d]
            encoder = "nature(manipulation)"
            augmentation = "crops"
            [methods.e]
            track = "blind"
            goal_space = { name = "vector", scale = 2 }
        """,
    )
    with pytest.raises(SuiteError) as caught:
        requests(suite, registry)
    assert caught.value.where == "suites/mine.toml"
    found = [problem.split(": ", 1) for problem in caught.value.problems]
    expected = [
        ("template.encoder", "unknown encoder 'manipulaton'; did you mean 'manipulation'?"),
        ("methods.c.encoder", "encoder 'nature': got an unexpected keyword argument 'dims'; its options: dim"),
        ("methods.c.routing", "unknown gradient routing 'critical'; did you mean 'critic'?"),
        ("methods.d.encoder", "encoder 'nature' does not wrap another encoder"),
        ("methods.d.augmentation", "unknown augmentation 'crops'; did you mean 'crop'?"),
        ("methods.e.goal_space", "goal space 'vector': got an unexpected keyword argument 'scale'"),
    ]
    assert [place for place, _ in found] == [place for place, _ in expected]
    for (_, text), (_, start) in zip(found, expected, strict=True):
        assert text.startswith(start)


def change(request: RunRequest, block: str, **fields: Any) -> RunRequest:
    return request.model_copy(update={block: getattr(request, block).model_copy(update=fields)})


def change_encoder(request: RunRequest, inner: bool = False, **fields: Any) -> RunRequest:
    encoder = request.method.encoder
    assert encoder
    assert encoder.wraps
    new = {"wraps": encoder.wraps.model_copy(update=fields)} if inner else fields
    return change(request, "method", encoder=encoder.model_copy(update=new))


@pytest.mark.parametrize(
    "changed",
    [
        lambda r: r.model_copy(update={"suite": "another"}),
        lambda r: r.model_copy(update={"key": "another"}),
        lambda r: r.model_copy(update={"mujoco": ".".join([*r.mujoco.split(".")[:2], "99"])}),
        lambda r: r.model_copy(update={"execution": Execution(device="cuda", threads=8)}),
        lambda r: r.model_copy(update={"reward": "latent"}),
        lambda r: change_encoder(r, provider="somebody", version="9"),
        lambda r: change_encoder(r, inner=True, provider="somebody", version="9"),
    ],
)
def test_what_does_not_change_a_runs_key(request_, changed):
    other = changed(request_)
    assert other != request_
    assert run_key(other) == run_key(request_)


@pytest.mark.parametrize(
    "changed",
    [
        lambda r: r.model_copy(update={"task": "FetchPush-v4"}),
        lambda r: r.model_copy(update={"seed": 1}),
        lambda r: r.model_copy(update={"protocol_version": 99}),
        lambda r: r.model_copy(update={"learner_version": 99}),
        lambda r: r.model_copy(update={"pixel_track": "pixels"}),
        lambda r: r.model_copy(update={"mujoco": "2.9.0"}),
        lambda r: change(r, "scene", marker="shown"),
        lambda r: change(r, "learner", batch_size=64),
        lambda r: change(r, "budget", steps=2000),
        lambda r: change(r, "evaluation", episodes=49),
        lambda r: change(r, "method", name="another"),
        lambda r: change(r, "method", track="pixels"),
        lambda r: change(r, "method", pixels=PixelSpec(size=32)),
        lambda r: change(r, "method", trunk=0),
        lambda r: change(r, "method", views=2),
        lambda r: change(r, "method", routing=r.method.routing.model_copy(update={"name": "joint"})),
        lambda r: change(r, "method", augmentation=Component(name="crop")),
        lambda r: change_encoder(r, options={"dim": 1}),
        lambda r: change_encoder(r, source_sha256="0" * 64),
        lambda r: change_encoder(r, inner=True, options={"dim": 1}),
        lambda r: change_encoder(r, inner=True, source_sha256="0" * 64),
        lambda r: change_encoder(r, wraps=None),
    ],
)
def test_what_changes_a_runs_key(request_, changed):
    assert run_key(changed(request_)) != run_key(request_)


def test_what_rewards_a_method_is_no_part_of_its_protocol(request_):
    assert protocol_key(request_.model_copy(update={"reward": "latent"})) == protocol_key(request_)


def test_published_records_keep_the_keys_that_they_were_run_under():
    found = [read_record(path).request for path in sorted(COMMITTED.rglob("seed*.json"))]
    assert found
    assert [run_key(request) for request in found] == [request.key for request in found]


def test_the_keys_of_the_demo_are_those_that_they_always_were():
    """What a suite gains by default must leave the keys of runs alone."""
    found = {path.parts[-3]: read_record(path).request for path in sorted((COMMITTED / "demo").rglob("seed*.json"))}
    keys = {name: request.key for name, request in found.items()}
    assert keys == KEYS


def test_the_baseline_alone_runs_its_further_seeds(load, registry):
    head = HEAD + '\nbaseline = "blind"\nbaseline_seeds = [7]'
    found = requests(load(head=head, methods=METHODS), registry)
    assert [(r.seed, r.method.name) for r in found[8:]] == [(7, "blind")] * 2
    plain = requests(load(head=HEAD, methods=METHODS), registry)
    assert [r.key for r in found[:8]] == [r.key for r in plain]


def test_a_routing_that_needs_a_loss_is_told_where_it_is_written(load, registry):
    with pytest.raises(SuiteError) as caught:
        requests(load(methods='[methods.alone]\nrouting = "aux"'), registry)
    [problem] = caught.value.problems
    assert problem.startswith("methods.alone.routing: routing 'aux' trains the encoder by an auxiliary loss alone")
    assert problem.endswith("name one with `auxiliary_loss`, or take another routing")


def test_no_two_runs_of_a_suite_share_a_key(load, registry):
    keys = [r.key for r in requests(load(head=HEAD, methods=METHODS), registry)]
    assert len(set(keys)) == len(keys) == 8


def test_suites_that_contain_the_same_run_share_its_folder(load, write, registry):
    [mine] = requests(load(), registry)
    write("other", head=HEAD, methods='[methods.extra]\n[methods.nature]\nencoder = "nature"')
    others = requests(load_suite("other"), registry)
    assert len(others) == 8
    assert {r.suite for r in others} == {"other"}
    [shared] = [r for r in others if r.key == mine.key]
    assert run_directory(shared) == run_directory(mine)
    assert run_directory(mine) == PurePosixPath("FetchReach-v4", "nature", f"seed0-{mine.key[:12]}")
