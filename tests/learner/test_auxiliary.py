"""The bundled auxiliary losses within the learner: under each routing, with an augmentation and without."""

from __future__ import annotations

import copy

import pytest
import torch
from small import DARKEN

from fetchbench.records.schema import Component
from fetchbench.run.audit import Audit

LOSSES = ["autoencoder", "curl", "inverse-dynamics", "spr", "vae"]


def method(name: str, augmented: bool = False) -> dict:
    fields = {"auxiliary_loss": Component(name=name, options={"steps": 3} if name in ("spr", "inverse-dynamics") else {})}
    if augmented:
        fields |= {"extra": DARKEN, "augmentation": Component(name="darken")}
    return fields | {"encoder": "vae" if name == "vae" else Component(name="manipulation", options={"filters": 4})}


def moved(before, after) -> set[str]:
    return {n for n in before if any(not torch.equal(a, b) for a, b in zip(before[n], after[n], strict=True))}


@pytest.mark.parametrize("augmented", [False, True], ids=["plain", "augmented"])
@pytest.mark.parametrize("routing", ["critic", "aux", "joint", "separate"])
@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_learns_and_the_audit_agrees(rig, name, routing, augmented):
    r = rig(routing, **method(name, augmented))
    before = r.parameters()
    for _ in range(2):
        audit = Audit(r.learner)
        metrics = r.update(audit)
        audit.verify()
        assert metrics["auxiliary_loss"].isfinite()
    encoder = "critic encoder" if routing == "separate" else "encoder"
    assert audit.gradient_norm[f"auxiliary -> {encoder}"] > 0
    assert {encoder, "auxiliary"} <= moved(before, r.parameters())
    assert audit.moved["auxiliary"] == ["auxiliary"]


@pytest.mark.parametrize("name", LOSSES)
def test_a_frozen_encoder_stays_and_the_loss_still_learns(rig, name):
    r = rig("frozen", **method(name))
    before = r.parameters()
    audit = Audit(r.learner)
    r.update(audit)
    audit.verify()
    assert audit.gradient_norm["auxiliary -> encoder"] is None
    assert "encoder" not in moved(before, r.parameters())
    assert "auxiliary" in moved(before, r.parameters())


@pytest.mark.parametrize("name", ["curl", "spr"])
def test_the_momentum_encoder_moves_at_its_rate(rig, name):
    r = rig("critic", **method(name))
    before = r.parameters()
    r.update()
    after = r.parameters()
    for old, online, momentum in zip(before["encoder"], after["encoder"], after["momentum encoder"], strict=True):
        torch.testing.assert_close(momentum, old + 0.025 * (online - old))
    assert all(p.grad is None for p in r.learner.modules()["momentum encoder"].parameters())


def test_sprs_projection_moves_as_its_momentum_encoder_does(rig):
    """One update behind where it stands, so at each use no older."""
    r = rig("critic", **method("spr"))
    module = r.learner.auxiliary.module
    expected = [p.detach().clone() for p in module.projection.parameters()]
    for _ in range(3):
        for own, online in zip(expected, module.projection.parameters(), strict=True):
            own.lerp_(online.detach(), 0.025)
        r.update()
        for own, there in zip(expected, module.averaged.buffers(), strict=True):
            torch.testing.assert_close(there, own)
    assert r.learner.auxiliary.momentum is not None


@pytest.mark.parametrize("name", LOSSES)
def test_learning_continues_from_a_state_dict(rig, name):
    a, b = rig("critic", **method(name)), rig("critic", **method(name))
    a.update()
    b.learner.load_state_dict(copy.deepcopy(a.learner.state_dict()))
    for _ in range(2):
        batch, draws = a.batch(), a.draws()
        a.learner.update(batch, draws)
        b.learner.update(batch, draws)
    assert not moved(a.parameters(), b.parameters())


def test_the_scheduled_routing_changes_at_its_update(rig):
    r = rig("critic-then-joint")
    r.learner.updates = 19_999
    norms = []
    for _ in range(2):
        audit = Audit(r.learner)
        r.update(audit)
        audit.verify()
        norms.append(audit.gradient_norm["actor -> encoder"])
    assert norms[0] is None
    assert norms[1] > 0


def test_the_vaes_variance_is_trained_by_its_loss_alone(rig):
    """The critic's and the actor's losses go through the mean."""

    def variance_moves(**fields) -> bool:
        r = rig("joint", encoder="vae", **fields)
        layer = r.learner.encoders.critic.log_variance
        start = layer.weight.detach().clone()
        r.update()
        return not torch.equal(layer.weight, start)

    assert not variance_moves()
    assert variance_moves(auxiliary_loss=Component(name="vae"))
