"""Methods: components, the template, what each track takes."""

from __future__ import annotations

import pytest

from fetchbench.records.schema import Component, Method
from fetchbench.specs import PIXEL_PRESETS, PixelSpec

from .conftest import SECTIONS

SPELLINGS = '"name", "outer(inner)" or { name = "name", option = value }'


def method(load, lines: str, **sections: str | None) -> Method:
    """The one method of a suite."""
    [found] = load(methods=f"[methods.m]\n{lines}", **sections).methods
    return found


@pytest.mark.parametrize(
    ("text", "component"),
    [
        ('"nature"', Component(name="nature")),
        ('"coordconv(nature)"', Component(name="coordconv", wraps=Component(name="nature"))),
        ('"a ( b( c-d ) )"', Component(name="a", wraps=Component(name="b", wraps=Component(name="c-d")))),
        ('{ name = "nature" }', Component(name="nature")),
        ('{ name = "nature", dim = 100, mode = "x" }', Component(name="nature", options={"dim": 100, "mode": "x"})),
        (
            '{ name = "a", wraps = { name = "b", dim = 2, wraps = "c(d)" }, list = [1, 2.5] }',
            Component(
                name="a",
                options={"list": [1, 2.5]},
                wraps=Component(
                    name="b",
                    options={"dim": 2},
                    wraps=Component(name="c", wraps=Component(name="d")),
                ),
            ),
        ),
    ],
)
def test_the_spellings_of_a_component(load, text, component):
    assert method(load, f"encoder = {text}").encoder == component


@pytest.mark.parametrize(
    ("value", "place", "problem"),
    [
        ("3", "", f"must be {SPELLINGS}, not 3"),
        ("false", "", f"must be {SPELLINGS}, not false"),
        ('""', "", f"must be {SPELLINGS}, not ''"),
        ('"Nature"', "", f"must be {SPELLINGS}, not 'Nature'"),
        ('"a(b"', "", f"must be {SPELLINGS}, not 'a(b'"),
        ('"a(b))"', "", f"must be {SPELLINGS}, not 'a(b))'"),
        ('"a()"', "", f"must be {SPELLINGS}, not 'a()'"),
        ('"nature(dim=3)"', "", f"must be {SPELLINGS}, not 'nature(dim=3)'; options go into a table"),
        ("{ dim = 3 }", ".name", "missing"),
        ("{ name = 3 }", ".name", "must be a component's name (lower-case, digits, hyphens), not 3"),
        ('{ name = "a(b)" }', ".name", "must be a component's name (lower-case, digits, hyphens), not 'a(b)'"),
        ('{ name = "a", wraps = 3 }', ".wraps", f"must be {SPELLINGS}, not 3"),
        ('{ name = "a", wraps = { x = 1 } }', ".wraps.name", "missing"),
        ('{ name = "a", scale = [1.0, nan] }', ".scale[1]", "must be a finite number, not nan"),
    ],
)
def test_a_component_that_cannot_be_read(problems_of, value, place, problem):
    assert problems_of(methods=f"[methods.m]\nencoder = {value}") == [f"methods.m.encoder{place}: {problem}"]
    assert problems_of(methods=f"[methods.m]\nrouting = {value}") == [f"methods.m.routing{place}: {problem}"]
    # What inherits it is not blamed.
    assert problems_of(template=f'routing = "critic"\nencoder = {value}', methods="[methods.m]") == [
        f"template.encoder{place}: {problem}"
    ]


def test_a_method_takes_from_the_template_what_it_does_not_say(load):
    template = """
        pixels = { stack = 2 }
        encoder = { name = "manipulation", dim = 20 }
        augmentation = "crop"
        views = 2
        target_views = 3
        auxiliary_loss = "reconstruction"
        auxiliary_weight = 0.5
        routing = "joint"
        goal_space = "latent"
        trunk = 40
    """
    suite = load(template=template, methods='[methods.as-it-is]\n[methods.other]\nencoder = "nature"\nviews = 1\ntrunk = 0')
    expected = Method(
        name="as-it-is",
        track="pixels-only",
        pixels=PixelSpec(size=64, stack=2),
        encoder=Component(name="manipulation", options={"dim": 20}),
        augmentation=Component(name="crop"),
        views=2,
        target_views=3,
        auxiliary_loss=Component(name="reconstruction"),
        auxiliary_weight=0.5,
        routing=Component(name="joint"),
        goal_space=Component(name="latent"),
        trunk=40,
    )
    other = expected.model_copy(update={"name": "other", "encoder": Component(name="nature"), "views": 1, "trunk": 0})
    assert suite.methods == (expected, other)


def test_methods_keep_the_files_order(load):
    suite = load(methods='[methods.b]\n[methods.a]\ntrunk = 1\n[methods."c.v2"]\ntrunk = 2')
    assert [m.name for m in suite.methods] == ["b", "a", "c.v2"]


def test_pixels_are_overridden_field_by_field(load):
    assert method(load, "pixels = { stack = 3 }", pixels='preset = "reach-cpu"\nsize = 32').pixels == PixelSpec(32, 3)


def test_a_method_may_start_from_another_preset(load):
    assert method(load, 'pixels = { preset = "seed" }').pixels == PIXEL_PRESETS["seed"]
    assert method(load, 'pixels = { preset = "push", size = 64 }', pixels=None).pixels == PixelSpec(64, 4)


def test_a_larger_size_is_judged_with_its_own_render_size(load):
    pixels = method(load, "pixels = { size = 500, render_size = 600 }", pixels='preset = "seed"').pixels
    assert pixels == PixelSpec(500, 4, 600, 4)


def test_false_takes_away_what_the_template_names_and_what_belongs_to_it(load):
    template = """
        encoder = "nature"
        routing = "critic"
        augmentation = "crop"
        views = 2
        auxiliary_loss = "atc"
        auxiliary_weight = 3.0
    """
    found = method(load, "augmentation = false\nauxiliary_loss = false", template=template)
    assert (found.augmentation, found.views, found.auxiliary_loss, found.auxiliary_weight) == (None, 1, None, 1.0)


def test_the_templates_views_wait_for_an_augmentation(load):
    template = 'encoder = "nature"\nrouting = "critic"\nviews = 2'
    assert method(load, "", template=template).views == 1
    assert method(load, 'augmentation = "crop"', template=template).views == 2


def test_another_track_per_method(load):
    assert method(load, 'track = "pixels"').track == "pixels"


@pytest.mark.parametrize("track", ["state", "blind"])
def test_tracks_without_frames_take_nothing_from_the_template(load, track):
    template = 'encoder = "nature"\nrouting = "critic"\ntrunk = 5\naugmentation = "crop"\ngoal_space = "latent"'
    assert method(load, f'track = "{track}"', template=template) == Method(name="m", track=track)


def test_where_goals_are_images_they_are_the_tasks_own_unless_another_space_is_named(load):
    def goal_space(lines: str, template: str = 'encoder = "nature"\nrouting = "critic"') -> Component:
        return method(load, lines, head=SECTIONS["head"].replace("pixels-only", "image-goal"), template=template).goal_space

    assert goal_space("").name == "image"
    assert goal_space('goal_space = "other"').name == "other"
    assert goal_space("", template='encoder = "nature"\nrouting = "critic"\ngoal_space = "other"').name == "other"
    assert goal_space('track = "blind"', template='encoder = "nature"\ngoal_space = "other"').name == "vector"
    assert goal_space('track = "pixels-only"').name == "vector"


def test_a_suite_without_frames_needs_neither_pixels_nor_template(load):
    found = method(load, 'track = "state"\ngoal_space = { name = "vector", scaled = true }', pixels=None, template=None)
    assert found == Method(name="m", track="state", goal_space=Component(name="vector", options={"scaled": True}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pixels", "{ size = 64 }"),
        ("encoder", '"nature"'),
        ("augmentation", '"crop"'),
        ("views", "2"),
        ("target_views", "2"),
        ("auxiliary_loss", '"atc"'),
        ("auxiliary_weight", "2.0"),
        ("routing", '"critic"'),
        ("trunk", "50"),
    ],
)
def test_tracks_without_frames_refuse_what_would_mean_nothing(problems_of, field, value):
    found = problems_of(methods=f'[methods.m]\ntrack = "blind"\n{field} = {value}')
    assert found == [f"methods.m.{field}: track 'blind' sees no frames and takes no {field}; remove it"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('routing = "critic"', "encoder: missing; a method on track 'pixels-only' needs one, here or in [template]"),
        ('encoder = "nature"', "routing: missing; a method on track 'pixels-only' needs one, here or in [template]"),
    ],
)
def test_a_method_that_sees_frames_needs_an_encoder_and_a_routing(problems_of, lines, problem):
    assert problems_of(template=None, methods=f"[methods.m]\n{lines}") == [f"methods.m.{problem}"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("views = 2", "views: means nothing without augmentation; name one, or remove this"),
        ("target_views = 2", "target_views: means nothing without augmentation; name one, or remove this"),
        ("auxiliary_weight = 2.0", "auxiliary_weight: means nothing without auxiliary_loss; name one, or remove this"),
        ('augmentation = "crop"\nviews = 9', "views: must be 8 or less, not 9"),
        ("trunk = -1", "trunk: must be 0 or more, not -1"),
        ('trunk = "50"', "trunk: must be an integer, not '50'"),
        ("pixels = 64", "pixels: must be a table, not 64"),
        ("pixels = { size = 8 }", "pixels.size: must be 16 to 512, not 8"),
        (
            'track = "image-goal"',
            'track: needs `track = "image-goal"` for the whole suite: its rows must meet the same episodes',
        ),
        (
            'track = "blnd"',
            "track: unknown track 'blnd'; did you mean 'blind'? Known: blind, image-goal, pixels, pixels-only, "
            "pixels-privileged, state.",
        ),
        (
            'encode = "nature"',
            "encode: unknown field 'encode'; did you mean 'encoder'? Known: augmentation, auxiliary_loss, auxiliary_weight, "
            "encoder, goal_space, pixels, routing, target_views, track, trunk, views.",
        ),
        ('name = "x"', "name: unknown field 'name'"),
    ],
)
def test_a_wrong_field_of_a_method(problems_of, lines, problem):
    [found] = problems_of(methods=f"[methods.m]\n{lines}")
    assert found.startswith(f"methods.m.{problem}")


def test_a_wrong_field_of_the_template(problems_of):
    [found] = problems_of(template='encoder = "nature"\nrouting = "critic"\ntrack = "pixels"')
    assert found.startswith("template.track: unknown field 'track'")
    [found] = problems_of(template='encoder = "nature"\nrouting = "critic"\npixels = { size = 8 }')
    assert found == "template.pixels.size: must be 16 to 512, not 8"


def test_a_broken_component_does_not_make_its_companions_wrong(problems_of):
    [found] = problems_of(methods="[methods.m]\naugmentation = 3\nviews = 2")
    assert found.startswith("methods.m.augmentation: ")


@pytest.mark.parametrize("name", ["Nature", "my method", "a--b", "-a", "a/b", ""])
def test_a_methods_name(problems_of, name):
    [found] = problems_of(methods=f'[methods."{name}"]\ntrunk = 3')
    assert found.startswith("methods.")
    assert found.endswith(": a method's name has lower-case letters and digits, with single hyphens or dots between them")


def test_a_place_is_quoted_as_toml_wants_it(problems_of):
    [found] = problems_of(methods='[methods."crop.v2"]\ntrunk = -1')
    assert found == 'methods."crop.v2".trunk: must be 0 or more, not -1'


def test_two_methods_that_are_the_same(problems_of):
    found = problems_of(methods='[methods.a]\n[methods.b]\ntrunk = 3\n[methods.c]\nencoder = { name = "manipulation" }')
    assert found == ["methods.c: is 'a' under another name; remove one of them"]


def test_an_option_makes_another_method(load):
    assert len(load(methods='[methods.a]\n[methods.c]\nencoder = { name = "manipulation", dim = 9 }').methods) == 2
