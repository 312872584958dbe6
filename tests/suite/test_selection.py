"""Methods that plugin files bring, and selecting."""

from __future__ import annotations

import pytest

from fetchbench.errors import PluginError, SuiteError, UnknownNameError
from fetchbench.records.schema import Component
from fetchbench.run.plugins import load_plugins
from fetchbench.suite import requests, select, with_plugins


@pytest.fixture
def extended(load):
    """``extended(files, methods="...")``: the suite of these sections with the methods of these files."""

    def make(files, **sections):
        return with_plugins(load(**sections), load_plugins(files), files)

    return make


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        ("encoders", 'EncoderSpec("mine", build=build)', "encoder"),
        ("augmentations", 'AugmentationSpec("mine", build=build, draws=2)', "augmentation"),
        ("auxiliary_losses", 'AuxiliaryLossSpec("mine", build=build)', "auxiliary_loss"),
        ("gradient_routings", 'GradientRoutingSpec("mine", critic=1, actor=0, auxiliary=1)', "routing"),
        ("goal_spaces", 'GoalSpaceSpec("mine", build=build, tracks=("pixels-only",))', "goal_space"),
    ],
)
def test_a_new_component_of_any_kind_becomes_a_method_on_the_template(extended, plugin, kind, spec, field):
    suite = extended([plugin(f"yield {spec}", kind)], methods="[methods.template]\n[methods.blind]\ntrack = 'blind'")
    template, _, added = suite.methods
    assert added == template.model_copy(update={"name": "mine", field: Component(name="mine")})


def test_the_templates_other_fields_reach_it(extended, plugin):
    file = plugin('yield AugmentationSpec("mine", build=build, draws=2)', "augmentations")
    template = 'encoder = "nature"\nrouting = "joint"\nviews = 2\npixels = { stack = 4 }\ntrunk = 9'
    added = extended([file], template=template).methods[-1]
    assert (added.views, added.pixels.stack, added.routing.name, added.trunk) == (2, 4, "joint", 9)


def test_an_encoder_that_wraps_wraps_the_templates(extended, plugin):
    file = plugin('yield EncoderSpec("outer", build=wrapper, wraps=True)')
    suite = extended([file], template='encoder = { name = "nature", dim = 9 }\nrouting = "critic"', methods="[methods.m]")
    inner = Component(name="nature", options={"dim": 9})
    assert suite.methods[-1].encoder == Component(name="outer", wraps=inner)
    assert requests(suite, load_plugins([file]))[-1].method.encoder.wraps.provider == "fetchbench"


def test_several_components_of_several_files_named_in_any_way(extended, plugin, workspace):
    one = plugin('yield from [EncoderSpec("one", build=build), EncoderSpec("two", build=build)]', name="a.py")
    other = plugin('yield EncoderSpec("three", build=build)', name="b.py")
    relative = workspace / "x" / ".." / "b.py"
    (workspace / "x").mkdir()
    assert [m.name for m in extended([one, relative]).methods] == ["nature", "one", "two", "three"]
    assert other.samefile(relative)


def test_a_file_that_lies_in_plugins_too(extended, plugin, workspace):
    (workspace / "plugins").mkdir()
    file = plugin('yield EncoderSpec("mine", build=build)', name="plugins/mine.py")
    assert [m.name for m in extended([]).methods] == ["nature"]
    assert [m.name for m in extended([file]).methods] == ["nature", "mine"]


def test_a_component_that_the_suite_names_already_is_not_new(extended, plugin):
    file = plugin('yield from [EncoderSpec(name, build=build) for name in ("mine", "inner", "new")]')
    methods = '[methods.mine]\nencoder = { name = "mine", dim = 9 }\n[methods.wrapped]\nencoder = "outer(inner)"'
    assert [m.name for m in extended([file], methods=methods).methods] == ["mine", "wrapped", "new"]


def test_a_name_that_a_method_of_the_suite_has(extended, plugin):
    file = plugin('yield from [EncoderSpec("plain", build=build), EncoderSpec("two", build=build)]')
    with pytest.raises(SuiteError) as caught:
        extended([file], methods="[methods.plain]")
    assert list(caught.value.problems) == [
        f"methods.plain: encoder 'plain' of {file} would become a method of that name, which is the suite's own already; "
        "rename one of them"
    ]


def test_one_name_for_two_new_components(extended, plugin):
    one = plugin('yield EncoderSpec("mine", build=build)', name="a.py")
    other = plugin('yield AugmentationSpec("mine", build=build, draws=0)', "augmentations", name="b.py")
    with pytest.raises(SuiteError) as caught:
        extended([one, other])
    assert list(caught.value.problems) == [
        f"methods.mine: augmentation 'mine' of {other} would become a method of that name, which is encoder 'mine' of {one} "
        "already; rename one of them"
    ]


def test_a_suite_whose_template_lacks_what_a_method_needs(extended, plugin):
    file = plugin('yield AugmentationSpec("mine", build=build, draws=0)', "augmentations")
    with pytest.raises(SuiteError) as caught:
        extended([file], template=None, pixels=None, methods='[methods.state]\ntrack = "state"')
    assert list(caught.value.problems) == [
        "template.encoder: missing; a method on track 'pixels-only' needs one, here or in [template]",
        "template.routing: missing; a method on track 'pixels-only' needs one, here or in [template]",
        "pixels.preset: missing; methods that see frames need one of reach-cpu, push, seed",
    ]


def test_a_wrapping_encoder_without_a_template_to_wrap(extended, plugin):
    file = plugin('yield EncoderSpec("outer", build=wrapper, wraps=True)')
    with pytest.raises(SuiteError, match=r"template\.encoder: missing"):
        extended([file], template='routing = "critic"')


def test_a_file_that_does_not_load(extended, plugin):
    file = plugin("1 / 0")
    with pytest.raises(PluginError, match=r"mine\.py: ZeroDivisionError"):
        extended([file])


METHODS = "[methods.c]\n[methods.a]\ntrunk = 1\n[methods.b]\ntrunk = 2"
HEAD = 'title = "A test"\ntasks = ["FetchSlide-v4", "FetchPush-v4"]\ntrack = "pixels"\nseeds = [5, 0, 3]'


def test_selecting_keeps_the_suites_order(load):
    suite = load(head=HEAD, methods=METHODS)
    assert select(suite) == suite
    chosen = select(suite, methods=["b", "c"], tasks=["FetchPush-v4"], seeds=[3, 5])
    assert [m.name for m in chosen.methods] == ["c", "b"]
    assert (chosen.tasks, chosen.seeds) == (("FetchPush-v4",), (5, 3))
    assert (chosen.name, chosen.template, chosen.sha256) == (suite.name, suite.template, suite.sha256)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"methods": ["a", "d"]}, "unknown method 'd' Known: a, b, c."),
        ({"tasks": ["FetchPsh-v4"]}, "unknown task 'FetchPsh-v4'; did you mean 'FetchPush-v4'?"),
        ({"tasks": ["FetchReach-v4"]}, "unknown task 'FetchReach-v4'"),
        ({"seeds": [5, 1]}, "unknown seed '1'"),
    ],
)
def test_selecting_what_the_suite_does_not_have(load, chosen, message):
    suite = load(head=HEAD, methods=METHODS)
    with pytest.raises(UnknownNameError) as caught:
        select(suite, **chosen)
    assert str(caught.value).startswith(message.partition(" Known")[0])
    assert str(caught.value).endswith("`fetchbench show mine` shows the suite.")


def test_the_baselines_further_seeds_can_be_selected(load):
    head = (
        'title = "A test"\ntasks = ["FetchReach-v4"]\ntrack = "pixels-only"\nseeds = 2\nbaseline = "a"\nbaseline_seeds = [5, 6]'
    )
    suite = load(head=head, methods="[methods.a]\n[methods.b]\ntrunk = 3")
    chosen = select(suite, seeds=[1, 6])
    assert [(seed, method.name) for seed, method, _ in chosen.cells()] == [(1, "a"), (1, "b"), (6, "a")]
    assert [(s, m.name) for s, m, _ in select(suite, methods=["b"], seeds=[0, 5]).cells()] == [(0, "b")]
