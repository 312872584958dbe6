"""Whatever a plugin says of itself, a suite of a component, or a request of a run: it is taken, or refused with a message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetchbench.cli.plugins import _listed
from fetchbench.cli.text import listing
from fetchbench.errors import FetchbenchError
from fetchbench.execution.jobs import read_request
from fetchbench.records.schema import MOST_NESTED, Component, RunRequest
from fetchbench.registry import Provider, Registered, Registry, load_registry
from fetchbench.specs import AugmentationSpec, EncoderSpec, GradientRoutingSpec, WeightsSpec
from fetchbench.suite import run_key
from fetchbench.suite.components import read_component
from fetchbench.suite.problems import Problems, json_only
from properties.strategies import HOSTILE, ROOT, assert_clear, changed, json_values, scalars, some, texts

# -- components -------------------------------------------------------------------------------------------------------

names = st.sampled_from(["plain", "wrapper", "pretrained", "chain", "routing", "none-such", "x" * 200])
spelled = st.lists(names | st.text("ab-() =1", max_size=6), max_size=12).map("(".join)
chains = st.lists(names, min_size=1, max_size=12).map(lambda parts: "(".join(parts) + ")" * (len(parts) - 1))
options = st.dictionaries(texts | st.sampled_from(["dim", "shape", "weights", "self", "inner"]), json_values, max_size=3)
tables = st.recursive(
    st.fixed_dictionaries({"name": names | scalars}).flatmap(lambda table: options.map(lambda more: {**more, **table})),
    lambda inner: st.fixed_dictionaries({"name": names, "wraps": inner | chains}),
    max_leaves=12,
)
values = spelled | chains | tables | json_values


def plain(shape, dim=5, weights="published"): ...


def wrapper(shape, inner, **anything): ...


WEIGHTS = WeightsSpec("w.pt", "https://example.org/w.pt", "MIT")
SPECS = {
    "encoder": [
        EncoderSpec("plain", plain),
        EncoderSpec("wrapper", wrapper, wraps=True, frame_size=64),
        EncoderSpec("pretrained", plain, weights=WEIGHTS, trunk=50),
    ],
    "augmentation": [AugmentationSpec("chain", plain, draws=2), AugmentationSpec("plain", plain, draws=0)],
    "gradient-routing": [GradientRoutingSpec("routing", 1.0, 0.0, 0.0)],
}
PROVIDER = Provider("a test", "1", "a file", "a" * 64)
REGISTRY = Registry({(kind, spec.name): Registered(kind, spec, PROVIDER) for kind, found in SPECS.items() for spec in found})


@given(st.sampled_from(sorted(SPECS)), values)
@example("encoder", "plain(" * 500 + "plain" + ")" * 500)
@example("encoder", {"name": "plain", "wraps": "plain(" * 7 + "plain" + ")" * 7})
@example("encoder", {"name": "pretrained", "weights": [1]})
@example("encoder", {"name": "plain", "shape": 1})
def test_a_component_is_read_and_resolved_or_refused(kind, value):
    problems = Problems("mine.toml")
    component = read_component(problems, "encoder", json_only(problems, value, "encoder") if value is not None else value)
    if component is None:
        assert problems.items()
    for place, text in problems.items():
        assert_clear(f"{place}: {text}", "encoder")
    if component is None or problems.items():
        return
    assert component.label.count("(") >= len(list(_chain(component))) - 1 <= MOST_NESTED
    assert Component.model_validate_json(component.model_dump_json()) == component
    try:
        found = REGISTRY.resolve(kind, component)
    except FetchbenchError as error:
        assert_clear(str(error))
    else:
        assert found.declaration() == component.declaration()
        if kind == "encoder":
            assert REGISTRY.frame_size(found) in (None, 64)


def _chain(component: Component | None):
    while component is not None:
        yield component
        component = component.wraps


@given(chains)
def test_a_chain_without_options_is_named_as_it_is_written(text):
    problems = Problems("mine.toml")
    component = read_component(problems, "encoder", text)
    if text.count("(") < MOST_NESTED:
        assert component is not None
        assert component.label == text
    else:
        assert [place for place, _ in problems.items()] == ["encoder"]


# -- what plugins say of themselves -----------------------------------------------------------------------------------

PLUGIN = """
from fetchbench import {spec}, hookimpl
def build(shape, **options): ...
inf, nan = float("inf"), float("nan")
@hookimpl
def fetchbench_{hook}():
    yield {spec}(**{{"name": "mine", {build}**{fields!r}}})
"""
HOOKS = {
    "encoders": ("EncoderSpec", '"build": build, '),
    "augmentations": ("AugmentationSpec", '"build": build, "draws": 0, '),
    "auxiliary_losses": ("AuxiliaryLossSpec", '"build": build, '),
    "gradient_routings": ("GradientRoutingSpec", '"critic": 1.0, "actor": 0.0, "auxiliary": 0.0, '),
    "goal_spaces": ("GoalSpaceSpec", '"build": build, "tracks": ("pixels",), '),
}
SPEC_FIELDS = {
    "texts": ("name", "summary", "source", "licence", "preprocessing", "control", "input", "reward", "requires", "tracks"),
    "numbers": ("frame_size", "trunk", "draws", "horizon", "views", "momentum", "period", "batch_size", "uniform_draws"),
    "others": ("weights", "wraps", "input_size", "critic", "actor", "auxiliary", "encoders", "shares"),
}
said = st.dictionaries(st.sampled_from(sum(SPEC_FIELDS.values(), ())), scalars | st.lists(scalars, max_size=3), max_size=3)


@pytest.fixture(scope="module")
def _no_others(folder):
    """No plugins but the one that is named: fetchbench's own take seconds to load."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fetchbench.registry.bundled_folder", lambda name: folder / "none")
        yield


@given(st.sampled_from(sorted(HOOKS)), said)
@example("encoders", {"summary": 5})
@example("encoders", {"weights": "x.pt"})
@example("encoders", {"licence": None})
@example("goal_spaces", {"source": ["\x1b[2J"]})
@pytest.mark.usefixtures("_no_others")
def test_a_plugin_is_listed_loaded_or_failed(folder, hook, fields):
    file = folder / "mine.py"
    spec, build = HOOKS[hook]
    file.write_text(PLUGIN.format(hook=hook, spec=spec, build=build, fields=fields))
    registry = load_registry([file])
    assert len(registry.components) + len(registry.failures) == 1
    for failure in registry.failures:
        assert_clear(failure.error)
    entries = _listed(registry)
    table = listing(["kind", "name", "summary"], [[entry["kind"] or "", entry["name"], entry["summary"]] for entry in entries])
    assert all(line.isprintable() for line in table.split("\n"))
    for kind, name in registry.components:
        assert (
            registry.resolve(kind, Component(name=name)).name == name if kind != "encoder" or not fields.get("wraps") else True
        )


@some(0.3)
@given(st.binary(max_size=120) | st.text(max_size=120).map(str.encode))
@example(b"x = '\x1b[2J'; raise ValueError(x)")
@example(b"(" * 3000)
@example(b"raise SystemExit")
@pytest.mark.usefixtures("_no_others")
def test_any_plugin_file_is_loaded_or_failed(folder, content):
    file = folder / "mine.py"
    file.write_bytes(content)
    registry = load_registry([file])
    assert len(registry.failures) == 1
    assert_clear(registry.failures[0].error)


@pytest.mark.parametrize("name", ["../w.pt", "/w.pt", "a/w.pt", "..", ".", "", 3])
def test_published_weights_lie_in_their_folder(name):
    with pytest.raises(ValueError, match="must be the name of a file, without a folder"):
        WeightsSpec(name, "https://example.org/w.pt", "MIT")


# -- requests ---------------------------------------------------------------------------------------------------------

REQUESTS = [json.loads(path.read_text())["request"] for path in sorted((ROOT / "leaderboard" / "records").rglob("*.json"))]


@given(changed(REQUESTS, json_values).map(json.dumps).map(str.encode) | st.binary(max_size=80))
@example(b"[" * 100_000)
@example(json.dumps(REQUESTS[0] | {"seed": 2**70}).encode())
@example(json.dumps(REQUESTS[0] | {HOSTILE[0]: 1}).encode())
def test_a_request_is_read_or_there_is_none(folder: Path, content):
    (folder / "request.json").write_bytes(content)
    request = read_request(folder)
    assert (folder / "request.json").read_bytes() == content
    if request is not None:
        again = RunRequest.model_validate_json(request.model_dump_json())
        assert again == request
        assert run_key(again) == run_key(request)
