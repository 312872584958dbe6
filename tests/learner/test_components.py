"""The contracts of augmentations and auxiliary losses, held by small components made for the test."""

from __future__ import annotations

import pytest
import torch
from small import DARKEN, PREDICT, Predict, loss, registry
from torch import nn

from fetchbench.errors import PluginError, RoutingError
from fetchbench.records.schema import Component
from fetchbench.registry import Registry
from fetchbench.run.audit import Audit
from fetchbench.specs import AuxiliaryLossSpec, EncoderSpec


def test_views_draw_apart_and_the_actor_sees_the_first(rig):
    r = rig("critic", extra=DARKEN, augmentation=Component(name="darken"), views=2, target_views=3)
    r.update()
    frames = (8, r.learner.stack, 3, 32, 32)
    assert r.learner.augmentation.seen == [(frames, (8, 1))] * 5


def test_views_average_targets_and_losses(rig):
    """An augmentation that changes nothing leaves the critic's step as it was, however many views there are."""
    one = rig("critic", extra=DARKEN)
    two = rig("critic", extra=DARKEN, augmentation=Component(name="darken", options={"floor": 1.0}), views=2)
    batch, draws, wide = one.batch(), one.draws(), two.draws()
    one.learner.update(batch, draws)
    wide = wide.__class__(**{**vars(wide), "noise": draws.noise, "next_noise": draws.next_noise})
    two.learner.update(batch, wide)
    for a, b in zip(one.learner.critic.parameters(), two.learner.critic.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_views_without_an_augmentation_are_refused(rig):
    with pytest.raises(Exception, match="views need an augmentation"):
        rig("critic", views=2)


@pytest.mark.parametrize("routing", ["critic", "actor", "separate", "joint", "aux"])
def test_an_auxiliary_loss_reaches_the_critics_encoder(rig, routing):
    r = rig(routing, extra=loss(), auxiliary_loss=PREDICT)
    audit = Audit(r.learner)
    metrics = r.update(audit)
    audit.verify()
    name = "critic encoder" if routing == "separate" else "encoder"
    assert audit.gradient_norm[f"auxiliary -> {name}"] > 0
    assert audit.moved["auxiliary"] == ["auxiliary"]
    assert {"auxiliary_loss", "auxiliary_error"} <= metrics.keys()


def test_a_frozen_encoder_gets_nothing_of_it(rig):
    r = rig("frozen", extra=loss(), auxiliary_loss=PREDICT)
    audit = Audit(r.learner)
    r.update(audit)
    audit.verify()
    assert audit.gradient_norm["auxiliary -> encoder"] is None
    assert audit.moved["auxiliary"] == ["auxiliary"]


def test_a_loss_that_never_touches_the_encoder_fails_the_audit(rig):
    class Elsewhere(Predict):
        def forward(self, inputs):
            return self.net.weight.square().sum(), {}

    extra = registry("auxiliary-loss", AuxiliaryLossSpec("predict", Elsewhere))
    r = rig("critic", extra=extra, auxiliary_loss=PREDICT)
    audit = Audit(r.learner)
    r.update(audit)
    with pytest.raises(RoutingError, match="auxiliary -> encoder: declared 1, but there is no path"):
        audit.verify()


def test_the_horizon_and_the_mask(rig):
    r = rig("critic", extra=loss(), auxiliary_loss=Component(name="predict", options={"steps": 5}))
    uniform = torch.zeros(8, 4, dtype=torch.float64)
    uniform[:, 0] = torch.tensor([0, 45, 46, 47, 48, 49, 50, 51], dtype=torch.float64) / 150 + 1e-9
    sequences = r.sampler(uniform).sequences
    assert sequences.frames.shape == (8, r.learner.stack + 5, 3, 32, 32)
    assert sequences.mask.sum(1).tolist() == [5, 5, 4, 3, 2, 1, 5, 5]
    assert (sequences.actions[~sequences.mask] == 0).all()


def test_its_own_batch_period_views_and_draws(rig):
    spec = loss(batch_size=5, period=2, views=2, uniform_draws=3, normal_draws="feature", momentum=0.5)
    r = rig("critic", extra=Registry({**spec.components, **DARKEN.components}), auxiliary_loss=PREDICT,
            augmentation=Component(name="darken"))  # fmt: skip
    assert "auxiliary_loss" in r.update()
    seen = r.learner.auxiliary.module.inputs
    assert seen.frames.shape[0] == 5
    assert [v.shape for v in seen.views] == [seen.frames.shape] * 2
    assert seen.uniform.shape == (5, 3)
    assert seen.normal.shape == (5, r.built.feature_dim)
    assert "auxiliary_loss" not in r.update()
    assert "auxiliary_loss" in r.update()


def test_the_momentum_encoder_follows_at_its_own_rate(rig):
    r = rig("critic", extra=loss(momentum=0.5), auxiliary_loss=PREDICT)
    before = r.parameters()
    r.update()
    after = r.parameters()
    for old, online, momentum in zip(before["encoder"], after["encoder"], after["momentum encoder"], strict=True):
        torch.testing.assert_close(momentum, (old + online) / 2)


def test_pretraining_moves_encoder_and_loss_alone(rig):
    r = rig("aux", extra=loss(), auxiliary_loss=PREDICT)
    before = r.parameters()
    r.learner.pretrain(r.batch().sequences, r.draws())
    moved = {n for n, a in r.parameters().items() if any(not torch.equal(x, y) for x, y in zip(a, before[n], strict=True))}
    assert moved == {"encoder", "target encoder", "auxiliary"}
    assert r.learner.updates == 0


def test_a_loss_that_needs_more_of_the_encoder_says_so(rig):
    with pytest.raises(PluginError, match=r"needs an encoder that offers moments\(frames\), and 'manipulation' does not"):
        rig("critic", extra=loss(requires=("moments",)), auxiliary_loss=PREDICT)


def encoder(build, **fields) -> dict:
    return {"extra": registry("encoder", EncoderSpec("odd", build, **fields)), "encoder": "odd"}


class Flat(nn.Module):
    def __init__(self, shape, dim: int = 3) -> None:
        super().__init__()
        self.shape, self.net = shape, nn.Linear(shape.frames * 3 * shape.height * shape.width, dim)

    def forward(self, frames):
        return self.net(frames.flatten(1).float() / 255)


def test_a_frame_encoder_sees_one_frame_at_a_time(rig):
    r = rig("critic", **encoder(Flat, input="frame"))
    assert r.built.feature_dim == 3 * r.learner.stack
    frames = torch.randint(0, 256, (2, r.learner.stack, 3, 32, 32), dtype=torch.uint8)
    per_frame, inner = r.learner.encoders.critic, r.learner.encoders.critic.encoder
    assert inner.shape.frames == 1
    torch.testing.assert_close(per_frame(frames)[:, 3:], inner(frames[:, 1:]))


def test_an_encoder_that_wants_a_size_gets_it_rendered(rig):
    r = rig("critic", **encoder(Flat, frame_size=64))
    assert (r.built.rendered.size, r.learner.stack) == (64, 2)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda z: z[..., None], r"returns shape \(2, 3, 1\) for frames of shape \(2, 2, 3, 32, 32\); it must return \(2, dim"),
        (lambda z: z[:1], r"returns shape \(1, 3\)"),
        (lambda z: z.double(), "returns torch.float64; it must return torch.float32"),
        (lambda z: [z], "returns list"),
    ],
)  # fmt: skip
def test_a_wrong_output_is_one_clear_line(rig, output, message):
    class Wrong(Flat):
        def forward(self, frames):
            return output(super().forward(frames))

    with pytest.raises(PluginError, match=message) as caught:
        rig("critic", **encoder(Wrong))
    assert "\n" not in str(caught.value)


def test_an_encoder_that_fails_is_one_clear_line(rig):
    class Fails(Flat):
        def forward(self, frames):
            return self.net(frames.flatten(1))  # uint8 into a float layer

    with pytest.raises(PluginError, match=r"encoder 'odd' fails on frames of shape \(2, 2, 3, 32, 32\): RuntimeError"):
        rig("critic", **encoder(Fails))

    def broken(shape):
        raise KeyError("weights")

    with pytest.raises(PluginError, match="encoder odd does not build: KeyError: 'weights'"):
        rig("critic", **encoder(broken))
    with pytest.raises(PluginError, match=r"build returns int; it must return an nn\.Module"):
        rig("critic", **encoder(lambda shape: 3))


def test_a_wrapping_encoder_gets_the_inner_one(rig):
    class Double(nn.Module):
        def __init__(self, shape, inner, factor: float = 2.0) -> None:
            super().__init__()
            self.inner, self.factor = inner, factor

        def forward(self, frames):
            return self.factor * self.inner(frames)

    extra = registry("encoder", EncoderSpec("double", Double, wraps=True))
    component = Component(name="double", wraps=Component(name="manipulation", options={"dim": 7}))
    assert rig("critic", encoder=component, extra=extra).built.feature_dim == 7


def test_the_trunk_behind_a_wrapper_is_that_of_the_encoder_inside(rig):
    plain, wrapped = (
        rig("critic", encoder=component, stack=1)
        for component in (Component(name="drqv2"), Component(name="coordconv", wraps=Component(name="drqv2")))
    )
    assert plain.learner.actor.inputs.width == wrapped.learner.actor.inputs.width == 50 + 3
