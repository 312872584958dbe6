"""What plugins say about themselves: checked when it is said."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fetchbench import specs
from fetchbench.registry import HookSpecs
from fetchbench.specs import (
    HOOKS,
    KINDS,
    PIXEL_PRESETS,
    AugmentationSpec,
    AuxiliaryLossSpec,
    EncoderSpec,
    FrameShape,
    GoalSpaceSpec,
    GradientRoutingSpec,
    PixelSpec,
    Schedule,
)

MINIMAL: dict[type, dict[str, Any]] = {
    EncoderSpec: {"build": print},
    AugmentationSpec: {"build": print, "draws": 2},
    AuxiliaryLossSpec: {"build": print},
    GradientRoutingSpec: {"critic": 1, "actor": 0.5, "auxiliary": 0},
    GoalSpaceSpec: {"build": print, "tracks": ("pixels",)},
}


def test_frame_shapes_unpack_as_tensors_do():
    frames, channels, height, width = FrameShape(frames=4, height=64, width=84)
    assert (frames, channels, height, width) == (4, 3, 64, 84)
    assert (2, *FrameShape(1, 5, 6)) == (2, 1, 3, 5, 6)


# -- pixels -----------------------------------------------------------------------------------------------------------


def test_pixel_presets_are_those_that_were_published():
    assert PIXEL_PRESETS["reach-cpu"] == PixelSpec(size=64, stack=1, render_size=None, offsamples=0)
    assert PIXEL_PRESETS["push"] == PixelSpec(size=84, stack=4, render_size=None, offsamples=0)
    assert PIXEL_PRESETS["seed"] == PixelSpec(size=84, stack=4, render_size=480, offsamples=4)


def test_pixels_have_a_shape():
    assert PixelSpec(size=84, stack=4, render_size=480).shape == FrameShape(4, 84, 84)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 15}, "size = 15: must be 16 to 512"),
        ({"size": 513}, "size = 513: must be 16 to 512"),
        ({"stack": 0}, "stack = 0: must be 1 to 16"),
        ({"stack": 17}, "stack = 17: must be 1 to 16"),
        ({"offsamples": -1}, "offsamples = -1: must be 0 to 16"),
        ({"size": 84, "render_size": 83}, r"render_size = 83: must be 84 \(size\) to 1024"),
        ({"render_size": 1025}, "render_size = 1025: must be 84"),
    ],
)
def test_pixels_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        PixelSpec(**fields)


# -- what all kinds have in common -------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", MINIMAL)
@pytest.mark.parametrize("name", ["", "Nature", "spatial_softmax", "a--b", "-a", "a-", "a b", "ä", None, 3])
def test_names(spec, name):
    with pytest.raises(ValueError, match="use lower-case letters, digits and single hyphens"):
        spec(name, **MINIMAL[spec])


@pytest.mark.parametrize("spec", MINIMAL)
def test_good_names(spec):
    for name in ("nature", "r3m-50", "3x3"):
        assert spec(name, **MINIMAL[spec]).name == name


@pytest.mark.parametrize("spec", [s for s in MINIMAL if s is not GradientRoutingSpec])
def test_build_is_called_and_must_be_callable(spec):
    with pytest.raises(TypeError, match=r"'x': build must be callable, got str"):
        spec("x", **MINIMAL[spec] | {"build": "NatureCNN"})


@pytest.mark.parametrize("spec", MINIMAL)
def test_specs_do_not_change(spec):
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec("x", **MINIMAL[spec]).name = "y"


@pytest.mark.parametrize("spec", [*MINIMAL, PixelSpec, specs.WeightsSpec, specs.AuxiliaryInputs, specs.GoalIndices, Schedule])
def test_every_field_is_documented(spec):
    missing = [field.name for field in dataclasses.fields(spec) if f"{field.name}:" not in spec.__doc__]
    assert not missing


# -- single kinds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input": "frames"}, "encoder 'x': input = 'frames': must be 'stack' or 'frame'"),
        ({"frame_size": 0}, "encoder 'x': frame_size = 0: must be 16 to 512"),
        ({"frame_size": 1024}, "encoder 'x': frame_size = 1024: must be 16 to 512"),
    ],
)
def test_encoders(fields, message):
    with pytest.raises(ValueError, match=message):
        EncoderSpec("x", print, **fields)


@pytest.mark.parametrize("draws", [-1, 1.5, "2"])
def test_augmentations(draws):
    with pytest.raises(ValueError, match=r"augmentation 'x': draws = .*: must be an integer, 0 or more"):
        AugmentationSpec("x", print, draws=draws)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"period": 0}, "period = 0: must be 1 or more"),
        ({"horizon": 0}, "horizon = 0: must be 1 or more"),
        ({"batch_size": 1}, "batch_size = 1: must be 2 or more"),
        ({"views": -1}, "views = -1: must be 0 or more"),
        ({"pretraining_updates": -1}, "pretraining_updates = -1: must be 0 or more"),
        ({"uniform_draws": -1}, "uniform_draws = -1: must be 0 or more"),
        ({"normal_draws": -1}, "normal_draws = -1: must be 0 or more"),
        ({"momentum": 0.0}, "momentum = 0.0: must be above 0, at most 1"),
        ({"momentum": 1.5}, "momentum = 1.5: must be above 0, at most 1"),
    ],
)
def test_auxiliary_losses(fields, message):
    with pytest.raises(ValueError, match=f"auxiliary loss 'x': {message}"):
        AuxiliaryLossSpec("x", print, **fields)


def test_what_an_auxiliary_loss_may_say():
    spec = AuxiliaryLossSpec("x", print, horizon="steps", normal_draws="feature", batch_size=None, momentum=1.0)
    assert (spec.horizon, spec.normal_draws) == ("steps", "feature")


def test_goal_spaces():
    assert GoalSpaceSpec("x", print, tracks=("state",)).shares == {"hindsight": 1.0}
    assert GoalSpaceSpec("x", print, tracks=(), shares={"rollout": 0.1, "prior": 0.5, "hindsight": 0.4}).reward == "task"
    with pytest.raises(ValueError, match=r"goal space 'x': shares \{'prior': 0.5\} must sum to 1"):
        GoalSpaceSpec("x", print, tracks=(), shares={"prior": 0.5})


# -- gradient routings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [-0.1, float("inf"), float("nan"), True, "1", None])
def test_weights_are_numbers(weight):
    with pytest.raises(ValueError, match=r"gradient routing 'x': actor = .*: must be a number, 0 or more"):
        GradientRoutingSpec("x", critic=1, actor=weight, auxiliary=0)
    with pytest.raises(ValueError, match=r"gradient routing 'x': critic = .*: must be a number, 0 or more"):
        GradientRoutingSpec("x", critic=Schedule((("a", 0, 1.0), ("b", 5, weight))), actor=0, auxiliary=0)


def test_encoders_are_one_or_two():
    with pytest.raises(ValueError, match="gradient routing 'x': encoders = 3: must be 1 or 2"):
        GradientRoutingSpec("x", critic=1, actor=1, auxiliary=1, encoders=3)  # type: ignore[arg-type]


def test_a_schedule_holds_each_weight_from_its_update_on():
    schedule = Schedule((("critic", 0, 0.0), ("joint", 10, 0.5), ("late", 20, 1.0)))
    assert [schedule.at(n) for n in (0, 9, 10, 19, 20, 10**9)] == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("starts", [(), (1,), (0, 0), (0, 5, 3)])
def test_schedules_that_cannot_be(starts):
    with pytest.raises(ValueError, match="the first must be 0 and each later than the last"):
        Schedule(tuple((f"s{i}", start, 1.0) for i, start in enumerate(starts)))


def test_weights_over_time():
    spec = GradientRoutingSpec("x", critic=2, actor=Schedule((("off", 0, 0.0), ("on", 3, 0.5))), auxiliary=0)
    assert spec.values("actor") == (0.0, 0.5)
    assert [spec.at("actor", n) for n in (2, 3)] == [0.0, 0.5]
    assert spec.values("critic") == (2,)
    assert spec.at("critic", 7) == 2.0


@pytest.mark.parametrize(
    ("critic", "actor", "auxiliary", "trains"),
    [
        (0, 0, 0, False),
        (0, 0, 1, True),
        (0.1, 0, 0, True),
        (0, Schedule((("off", 0, 0.0), ("on", 99, 1.0))), 0, True),
        (Schedule((("off", 0, 0.0), ("off2", 99, 0.0))), 0, 0, False),
    ],
)
def test_a_routing_knows_whether_it_ever_trains(critic, actor, auxiliary, trains):
    assert GradientRoutingSpec("x", critic=critic, actor=actor, auxiliary=auxiliary).trains_encoder is trains


# -- kinds and hooks --------------------------------------------------------------------------------------------------


def test_every_kind_has_a_hook():
    assert set(KINDS.values()) == set(MINIMAL)
    assert dict(HOOKS) == {
        "encoder": "fetchbench_encoders",
        "augmentation": "fetchbench_augmentations",
        "auxiliary-loss": "fetchbench_auxiliary_losses",
        "gradient-routing": "fetchbench_gradient_routings",
        "goal-space": "fetchbench_goal_spaces",
    }
    assert set(HOOKS.values()) == {name for name in vars(HookSpecs) if name.startswith("fetchbench_")}


def test_the_module_names_all_that_it_defines():
    tree = ast.parse(Path(specs.__file__).read_text())
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert defined <= set(specs.__all__)
    assert all(hasattr(specs, name) for name in specs.__all__)
