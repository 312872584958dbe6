"""A matrix of methods written as factors."""

from __future__ import annotations

import pytest

from fetchbench.errors import SuiteError
from fetchbench.records.schema import Component
from fetchbench.suite import load_suite, requests, select, with_plugins

from .conftest import SECTIONS

ROUTINGS = 'routing = ["critic", "actor", "joint"]'
HEADS = """
[factors.head]
flat = { encoder = "manipulation" }
softmax = { encoder = { name = "spatial-softmax", filters = 8 } }
"""


def matrix(*factors: str, settings: str = "", methods: str = "") -> str:
    return "\n".join(["[factors]", settings, *factors, methods])


def names(suite) -> list[str]:
    return [method.name for method in suite.methods]


def test_all_combinations_in_the_order_of_the_factors(load):
    suite = load(methods=matrix(ROUTINGS, HEADS))
    assert names(suite) == [
        "critic-flat", "critic-softmax", "actor-flat", "actor-softmax", "joint-flat", "joint-softmax",
    ]  # fmt: skip
    assert suite.levels["actor-softmax"] == {"routing": "actor", "head": "softmax"}
    method = suite.methods[3]
    assert method.routing == Component(name="actor")
    assert method.encoder == Component(name="spatial-softmax", options={"filters": 8})
    assert [factor.name for factor in suite.factors] == ["routing", "head"]
    assert names(load(methods=matrix(ROUTINGS, HEADS))) == names(suite)


def test_one_factor_at_a_time_from_the_first_levels(load):
    suite = load(methods=matrix(ROUTINGS, HEADS, settings='design = "one-at-a-time"'))
    assert names(suite) == ["critic-flat", "actor-flat", "joint-flat", "critic-softmax"]


def test_levels_may_set_any_field_and_lie_over_the_template_and_each_other(load):
    factors = """
    [factors.stack]
    one = {}
    three = { pixels = { stack = 3 } }

    [factors.size]
    small = { pixels = { size = 32 }, trunk = 10 }
    seen = { track = "pixels", views = 2, augmentation = "shift", auxiliary_loss = "curl", auxiliary_weight = 0.5 }
    """
    suite = load(methods=matrix(factors))
    found = {method.name: method for method in suite.methods}
    assert (found["one-small"].pixels.stack, found["one-small"].pixels.size, found["one-small"].trunk) == (1, 32, 10)
    assert (found["three-small"].pixels.stack, found["three-small"].pixels.size) == (3, 32)
    seen = found["three-seen"]
    assert (seen.pixels.size, seen.track, seen.views, seen.auxiliary_weight) == (64, "pixels", 2, 0.5)
    assert (seen.encoder.name, seen.routing.name) == ("manipulation", "critic")


def test_a_level_that_is_no_table_is_a_value_of_the_field_that_the_factor_is_named_after(load):
    factors = """
    [factors.augmentation]
    none = false
    shift = "shift"

    [factors.trunk]
    bare = 0
    wide = 50
    """
    suite = load(template='encoder = "manipulation"\nrouting = "critic"\naugmentation = "crop"', methods=matrix(factors))
    assert [(m.name, m.augmentation and m.augmentation.name, m.trunk) for m in suite.methods] == [
        ("none-bare", None, 0),
        ("none-wide", None, 50),
        ("shift-bare", "shift", 0),
        ("shift-wide", "shift", 50),
    ]


def test_combinations_that_come_out_equal_are_one_method(load):
    weights = '[factors.weights]\nscratch = {}\npretrained = { encoder = "r3m-18", routing = "frozen" }'
    suite = load(methods=matrix(ROUTINGS, HEADS, weights))
    assert [name for name in names(suite) if "pretrained" in name] == ["critic-flat-pretrained"]
    assert len(suite.methods) == 7


def test_a_combination_that_equals_a_method_of_the_file_is_that_one(load):
    methods = '[methods.reference]\n[methods.state]\ntrack = "state"'
    suite = load(methods=matrix(ROUTINGS, HEADS, methods=methods))
    assert names(suite)[:2] == ["reference", "state"]
    assert "critic-flat" not in names(suite)
    assert suite.levels["reference"] == {"routing": "critic", "head": "flat"}
    assert "state" not in suite.levels


def test_what_cannot_be_is_excluded(load):
    exclude = 'exclude = [{ routing = "actor", head = "flat" }, { routing = ["joint"] }]'
    assert names(load(methods=matrix(ROUTINGS, HEADS, settings=exclude))) == ["critic-flat", "critic-softmax", "actor-softmax"]


def test_an_undeclared_combination_that_cannot_be_is_an_error_that_says_which(load, problems_of, registry):
    shift = (
        "[factors.views]\none = {}\ntwo = { views = 2 }\n[factors.augmentation]\nnone = false\nshift = {augmentation='shift'}"
    )
    [problem] = problems_of(methods=matrix(shift))
    assert problem == "factors[two-none].views: means nothing without augmentation; name one, or remove this"
    settings = 'exclude = [{ views = "two", augmentation = "none" }]'
    assert names(load(methods=matrix(shift, settings=settings))) == ["one-none", "one-shift", "two-shift"]
    # Which routings need a loss only the registry knows.
    routings = (
        '[factors.routing]\ncritic = "critic"\naux = "aux"\n[factors.loss]\nnone = {}\ncurl = { auxiliary_loss = "curl" }'
    )
    with pytest.raises(SuiteError) as caught:
        requests(load(methods=matrix(routings)), registry)
    [problem] = caught.value.problems
    assert problem.startswith("factors[aux-none]: routing 'aux' trains the encoder by an auxiliary loss alone")
    assert 'exclude = [{ routing = "aux", loss = "none" }]' in problem
    settings = 'exclude = [{ routing = "aux", loss = "none" }]'
    assert len(requests(load(methods=matrix(routings, settings=settings)), registry)) == 3


def test_the_same_mistake_of_many_combinations_is_told_once(problems_of):
    template = 'encoder = "manipulation"'  # no routing
    [problem] = problems_of(template=template, methods=matrix(HEADS))
    assert problem.startswith("factors[flat].routing: missing; a method on track 'pixels-only' needs one")
    assert problem.endswith("(so in 2 combinations; `exclude` leaves some out)")


def test_every_mistake_is_told_at_once_with_its_place(problems_of):
    factors = """
    routing = ["critic", "Actor", "critic"]
    single = { a = {} }
    head = ["a", "b"]
    "Bad name" = { a = {}, b = {} }
    number = 3
    [factors.encoder]
    flat = "manipulation("
    softmax = { encoders = "spatial-softmax" }
    wrong = { views = 9 }
    "Up" = {}
    """
    found = problems_of(methods=matrix(factors, settings='design = "fulll"\nexclude = [{ rooting = "critic" }, {}, 3]'))
    assert [problem.split(": ")[0] for problem in found] == [
        "factors.routing[1]",
        "factors.routing[2]",
        "factors.single",
        "factors.head.a",
        "factors.head.b",
        'factors."Bad name"',
        "factors.number",
        "factors.encoder.flat",
        "factors.encoder.softmax.encoders",
        "factors.encoder.wrong.views",
        "factors.encoder.Up",
        "factors.design",
        "factors.exclude[0].rooting",
        "factors.exclude[1]",
        "factors.exclude[2]",
    ]
    text = "\n".join(found)
    assert "unknown design 'fulll'; did you mean 'full'?" in text
    assert "unknown factor 'rooting'; did you mean 'routing'?" in text
    assert "unknown field 'encoders'; did you mean 'encoder'?" in text
    assert "which no method has" in text


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('exclude = [{ routing = "critics" }]', "factors.exclude[0].routing: unknown level 'critics'; did you mean 'critic'?"),
        ('exclude = [{ routing = ["critic", "actor", "joint"] }]', "factors.exclude: leaves nothing"),
        ("exclude = [{ routing = [] }]", "factors.exclude[0].routing: names no level: it would leave out nothing"),
        ('exclude = "critic"', "factors.exclude: must be a list of tables"),
        ("design = 1", "factors.design: must be 'full' or 'one-at-a-time', not 1"),
    ],
)
def test_mistakes_in_the_settings(problems_of, settings, problem):
    [found] = problems_of(methods=matrix(ROUTINGS, HEADS, settings=settings))
    assert found.startswith(problem)


def test_an_exclusion_of_what_the_design_does_not_have(load, problems_of):
    exclude = 'exclude = [{ routing = "joint" }, { routing = ["actor", "joint"], head = "softmax" }]'
    assert names(load(methods=matrix(ROUTINGS, HEADS, settings=exclude))) == ["critic-flat", "critic-softmax", "actor-flat"]
    settings = f'design = "one-at-a-time"\n{exclude}'
    [problem] = problems_of(methods=matrix(ROUTINGS, HEADS, settings=settings))
    assert problem == "factors.exclude[1]: leaves out nothing: the design has no such combination; remove it"


def test_the_name_of_a_combination_that_is_another_method_hints_at_that(problems_of):
    head = (
        SECTIONS["head"] + '\nbaseline = "critic-flat"\ncontrasts = [["reference", "actor-flat"], ["joint-flat", "reference"]]'
    )
    both = '[methods.reference]\n[methods.other]\nrouting = "joint"'
    assert problems_of(head=head, methods=matrix(ROUTINGS, HEADS, methods=both)) == [
        "baseline: the combination 'critic-flat' equals the method 'reference' and goes by that name; write 'reference'",
        "contrasts[1][0]: the combination 'joint-flat' equals the method 'other' and goes by that name; write 'other'",
    ]


def test_names_that_would_be_taken_twice(problems_of):
    clash = "[factors.a]\nx = {}\nx-y = { pixels = { stack = 2 } }\n[factors.b]\ny-z = { trunk = 2 }\nz = { trunk = 3 }"
    [problem] = problems_of(methods=matrix(clash))
    assert problem.startswith("factors[x-y-z]: another method is named 'x-y-z' already")
    methods = "[methods.critic-flat]\ntrunk = 7"
    [problem] = problems_of(methods=matrix(ROUTINGS, HEADS, methods=methods))
    assert problem.startswith("factors[critic-flat]: another method is named 'critic-flat' already")


def test_an_empty_matrix_and_a_huge_one(problems_of):
    [problem] = problems_of(methods="[factors]")
    assert problem.startswith("factors: names no factor")
    huge = "\n".join(f"[factors.f{i}]\na{i} = {{}}\nb{i} = {{ trunk = {i} }}" for i in range(11))
    [problem] = problems_of(methods=matrix(huge))
    assert problem.startswith("factors: these are 2,048 combinations, and 2,000 are the most")


def test_components_that_do_not_exist_are_told_where_their_level_is_written(load, registry):
    factors = '[factors.routing]\ncritic = "critic"\nbad = "critical"\n[factors.head]\na = { encoder = "nature" }\nb = {}'
    with pytest.raises(SuiteError) as caught:
        requests(load(methods=matrix(factors)), registry)
    [problem] = caught.value.problems
    assert problem.startswith("factors.routing.bad.routing: unknown gradient routing 'critical'")


def test_plugins_and_selections_work_on_a_matrix(load, plugin, registry):
    suite = load(methods=matrix(ROUTINGS, HEADS))
    assert names(select(suite, methods=["joint-flat"])) == ["joint-flat"]
    file = plugin('yield EncoderSpec("mine", build=build)')
    from fetchbench.run.plugins import load_plugins

    extended = with_plugins(suite, load_plugins([file]), [file])
    assert names(extended)[-1] == "mine"
    assert extended.levels == suite.levels


def test_without_a_template_encoder_each_level_brings_its_own(load):
    assert len(load(template=None, methods=matrix(ROUTINGS, HEADS)).methods) == 6


def test_the_two_ablations_have_the_same_factors_and_share_their_runs(registry):
    one, full = load_suite("push-ablation-v1"), load_suite("push-ablation-full-v1")
    assert one.factors == full.factors
    assert set(names(one)) < set(names(full))
    one, full = (select(suite, seeds=[0]) for suite in (one, full))
    assert {r.key for r in requests(one, registry)} < {r.key for r in requests(full, registry)}
    assert {name: one.levels[name] for name in one.levels} == {name: full.levels[name] for name in one.levels}


def test_methods_of_one_name_are_the_same_run_in_all_suites_of_the_push_protocol(registry):
    keys: dict[str, str] = {}
    for name in ("routing", "auxiliary", "pretrained", "details", "ablation"):
        for request in requests(select(load_suite(f"push-{name}-v1"), seeds=[0]), registry):
            assert keys.setdefault(request.method.name, request.key) == request.key
    assert "critic-flat" in keys
