"""Corners of the learner: parts that a plugin froze, crops, losses without parameters, horizons that cannot be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fetchbench.errors import PluginError
from fetchbench.records.schema import Component
from fetchbench.registry import Provider, Registered, Registry
from fetchbench.replay import EpisodeBatch
from fetchbench.run.audit import Audit, FrozenCheck
from fetchbench.specs import AugmentationSpec, AuxiliaryLossSpec, EncoderSpec

PROVIDER = Provider("test", "1", "test", "0")


def registry(kind, *specs) -> Registry:
    return Registry({(kind, spec.name): Registered(kind, spec, PROVIDER) for spec in specs})


class HalfFrozen(nn.Module):
    """A pretrained stem that stays, and a projection that learns."""

    def __init__(self, shape, dim: int = 5) -> None:
        super().__init__()
        self.stem = nn.Linear(shape.frames * 3 * shape.height * shape.width, 7).requires_grad_(False)
        self.projection = nn.Linear(7, dim)

    def forward(self, frames):
        return self.projection(self.stem(frames.flatten(1).float() / 255))


def test_what_a_plugin_froze_stays_frozen(rig):
    r = rig("critic", encoder="half", extra=registry("encoder", EncoderSpec("half", HalfFrozen)))
    encoder = r.learner.encoders.critic
    stem, projection = encoder.stem.weight.clone(), encoder.projection.weight.clone()
    audit = Audit(r.learner)
    r.update(audit)
    audit.verify()
    assert not encoder.stem.weight.requires_grad
    assert torch.equal(encoder.stem.weight, stem)
    assert not torch.equal(encoder.projection.weight, projection)


class Normalised(nn.Module):
    def __init__(self, shape) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(shape.frames * 3, 2, 8, stride=8), nn.BatchNorm2d(2), nn.Flatten())

    def forward(self, frames):
        return self.net(frames.flatten(1, 2).float() / 255)


NORMALISED = registry("encoder", EncoderSpec("normalised", Normalised))


def statistics(module) -> torch.Tensor:
    return module.net[1].running_mean.clone()


def test_acting_leaves_batch_statistics_alone_and_learning_moves_them(rig):
    r = rig("critic", encoder="normalised", extra=NORMALISED)
    encoder, frames = r.learner.encoders.critic, torch.randint(0, 256, (3, r.learner.stack, 3, 32, 32), dtype=torch.uint8)
    before = statistics(encoder)
    alone = r.learner.act(frames[:1], torch.zeros(1, 3))
    together = r.learner.act(frames, torch.zeros(3, 3))
    torch.testing.assert_close(together[:1], alone)  # one environment's action does not depend on the others
    assert torch.equal(statistics(encoder), before)
    r.update()
    assert not torch.equal(statistics(encoder), before)
    assert torch.equal(statistics(r.learner.encoders.target), statistics(encoder))


def test_acting_changes_no_later_update(rig):
    a, b = (rig("critic", encoder="normalised", extra=NORMALISED) for _ in range(2))
    for _ in range(2):
        b.learner.act(torch.zeros((1, b.learner.stack, 3, 32, 32), dtype=torch.uint8), torch.zeros(1, 3))
        a.update()
        b.update()
    for (name, x), y in zip(a.learner.encoders.state_dict().items(), b.learner.encoders.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


def test_frozen_batch_statistics_do_not_move(rig):
    r = rig("frozen", encoder="normalised", extra=NORMALISED)
    check = FrozenCheck(r.learner)
    r.learner.act(torch.zeros((2, r.learner.stack, 3, 32, 32), dtype=torch.uint8), torch.zeros(2, 3))
    r.update()
    check.verify()


class Lazy(nn.Module):
    def __init__(self, shape) -> None:
        super().__init__()
        self.net = nn.LazyLinear(4)

    def forward(self, frames):
        return self.net(frames.flatten(1).float() / 255)


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_layers_that_find_their_size_later_start_from_the_encoders_stream(rig):
    weights = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        r = rig("critic", encoder="lazy", extra=registry("encoder", EncoderSpec("lazy", Lazy)))
        weights.append(r.learner.encoders.critic.net.weight)
    assert torch.equal(*weights)


class Outer(nn.Module):
    def __init__(self, shape, inner) -> None:
        super().__init__()
        self.shape, self.inner = shape, inner

    def forward(self, frames):
        return self.inner(frames)


def test_a_wrapped_encoders_frame_size_is_rendered(rig):
    specs = (EncoderSpec("outer", Outer, wraps=True), EncoderSpec("big", HalfFrozen, frame_size=48))
    r = rig("critic", encoder=Component(name="outer", wraps=Component(name="big")), extra=registry("encoder", *specs))
    assert r.built.rendered.size == 48
    assert r.learner.encoders.critic.shape.height == 48


def test_what_a_frame_encoder_wraps_sees_one_frame_too(rig):
    specs = (EncoderSpec("outer", Outer, wraps=True, input="frame"), EncoderSpec("half", HalfFrozen))
    r = rig("critic", encoder=Component(name="outer", wraps=Component(name="half")), extra=registry("encoder", *specs))
    assert r.built.feature_dim == 5 * r.learner.stack


class Attract(nn.Module):
    """A loss without parameters of its own, whose metrics are plain numbers."""

    def __init__(self, context, steps: int = 1) -> None:
        super().__init__()
        self.shape, self.inputs = context.shape, None

    def forward(self, inputs):
        self.inputs = inputs
        f = self.shape.frames
        return inputs.encode(inputs.frames[:, :f]).square().mean(), {"frames": f}


ATTRACT = Component(name="attract")


def attract(**fields) -> Registry:
    return registry("auxiliary-loss", AuxiliaryLossSpec("attract", Attract, **fields))


@pytest.mark.parametrize("routing", ["critic", "frozen"])
def test_a_loss_without_parameters_of_its_own(rig, routing):
    r = rig(routing, extra=attract(), auxiliary_loss=ATTRACT)
    audit = Audit(r.learner)
    metrics = r.update(audit)
    audit.verify()
    assert (audit.gradient_norm["auxiliary -> encoder"] is None) == (routing == "frozen")
    assert metrics["auxiliary_frames"].item() == r.learner.stack


class Crop:
    """Cuts 32 pixels out of 40: by the draws in training, the centre otherwise."""

    def __init__(self, shape) -> None:
        self.size = shape.height

    def __call__(self, frames, draws):
        corner = int(draws[0, 0] * 8)
        return frames[..., corner : corner + self.size, corner : corner + self.size]

    def evaluate(self, frames):
        return frames[..., 4 : 4 + self.size, 4 : 4 + self.size]


CROP = registry("augmentation", AugmentationSpec("crop", Crop, draws=1, input_size=lambda size: size + 8))


def test_crops_render_larger_and_losses_see_the_encoders_size(rig):
    extra = Registry({**CROP.components, **attract(views=2).components})
    r = rig("critic", extra=extra, augmentation=Component(name="crop"), auxiliary_loss=ATTRACT)
    assert r.built.rendered.size == 40
    batch = 8
    larger = torch.randint(0, 256, (3, 51, 3, 40, 40), dtype=torch.uint8)
    r.replay._frames = larger.flatten(0, 1)
    r.update()
    seen = r.learner.auxiliary.module.inputs
    assert seen.frames.shape == (batch, r.learner.stack + 1, 3, 32, 32)
    assert [view.shape for view in seen.views] == [seen.frames.shape] * 2


def test_a_render_size_too_large_is_one_clear_line(rig):
    spec = AugmentationSpec("crop", Crop, draws=1, input_size=lambda size: 4000)
    with pytest.raises(PluginError, match="augmentation crop asks for frames that cannot be: size = 4000: must be 16 to 512"):
        rig("critic", extra=registry("augmentation", spec), augmentation=Component(name="crop"))


@pytest.mark.parametrize(
    ("horizon", "options", "message"),
    [
        ("stride", {}, "its horizon names the option 'stride', which build does not take"),
        ("steps", {"steps": 0}, "steps = 0 is its horizon: a whole number, 1 or more"),
        ("steps", {"steps": 2.5}, "steps = 2.5 is its horizon"),
        ("steps", {"steps": "3"}, "steps = '3' is its horizon"),
    ],
)
def test_horizons_that_cannot_be(rig, horizon, options, message):
    with pytest.raises(PluginError, match=message):
        rig("critic", extra=attract(horizon=horizon), auxiliary_loss=Component(name="attract", options=options))


def test_numbers_of_a_loss_that_options_set(rig):
    class Counted(Attract):
        def __init__(self, context, each: int = 3, first: int = 2, own: int | None = None) -> None:
            super().__init__(context)

    fields = {"period": "each", "pretraining_updates": "first", "batch_size": "own"}
    extra = registry("auxiliary-loss", AuxiliaryLossSpec("counted", Counted, **fields))

    def numbers(**options):
        r = rig("critic", extra=extra, auxiliary_loss=Component(name="counted", options=options))
        a = r.learner.auxiliary
        return a.period, a.pretraining_updates, a.batch_size, r.built.own_batch, r.built.draws.auxiliary_batch

    assert numbers() == (3, 2, None, None, 8)
    assert numbers(each=1, first=0, own=5) == (1, 0, 5, 5, 5)
    r = rig("critic", extra=extra, auxiliary_loss=Component(name="counted"))
    due = ["auxiliary_loss" in r.update() for _ in range(6)]
    assert due == [True, False, False, True, False, False]
    for options, message in (
        ({"each": 0}, "each = 0 is its period: a whole number, 1 or more"),
        ({"first": -1}, "first = -1 is its pretraining updates: a whole number, 0 or more"),
        ({"own": 1}, "own = 1 is its batch size: a whole number, 2 or more"),
    ):
        with pytest.raises(PluginError, match=message):
            numbers(**options)


def test_an_auxiliary_loss_that_is_no_module(rig):
    extra = registry("auxiliary-loss", AuxiliaryLossSpec("attract", lambda context: 3))
    with pytest.raises(PluginError, match=r"auxiliary loss 'attract': build returns int; it must return an nn\.Module"):
        rig("critic", extra=extra, auxiliary_loss=ATTRACT)


def test_features_of_width_0(rig):
    class Nothing(HalfFrozen):
        def forward(self, frames):
            return super().forward(frames)[:, :0]

    with pytest.raises(PluginError, match=r"returns shape \(2, 0\)"):
        rig("critic", encoder="half", extra=registry("encoder", EncoderSpec("half", Nothing)))


def test_a_replay_with_frames_takes_no_episodes_without(rig):
    r = rig("critic")
    whole = r.replay.episodes(0, 1)
    with pytest.raises(ValueError, match="the replay stores frames, the episodes differ"):
        r.replay.add(EpisodeBatch(**{**vars(whole), "frames": None}))
    assert r.replay.episodes(0, 0).frames.shape == (0, 51, 3, 32, 32)
    assert r.replay.episodes(0, 0).frames.dtype == whole.frames.dtype
