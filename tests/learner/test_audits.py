"""What each routing declares is what happens, with every encoder and every loss that comes with fetchbench."""

from __future__ import annotations

import pytest

from fetchbench.records.schema import Component
from fetchbench.registry import load_registry
from fetchbench.run.audit import Audit
from fetchbench.specs import EncoderSpec, GradientRoutingSpec

REGISTRY = load_registry()


def from_scratch(name: str) -> bool:
    spec = REGISTRY.get("encoder", name).spec
    assert isinstance(spec, EncoderSpec)
    return spec.frame_size is None and not spec.wraps


ENCODERS = [Component(name=name) for name in REGISTRY.names("encoder") if from_scratch(name)]
ENCODERS += [Component(name="coordconv", wraps=Component(name="manipulation"))]
PRETRAINED = Component(name="r3m-18", options={"weights": "random"})
ROUTINGS = REGISTRY.names("gradient-routing")
LOSSES = REGISTRY.names("auxiliary-loss")
# `aux` without a loss is refused: nothing would train the encoder.
WITH_AND_WITHOUT = [(r, loss) for r in ROUTINGS for loss in (None, "inverse-dynamics") if (r, loss) != ("aux", None)]


def audited(rig, encoder: Component, routing: str, loss: str | None, **fields):
    """One audited update; returns the audit and the routing."""
    auxiliary = {"auxiliary_loss": Component(name=loss)} if loss else {}
    r = rig(routing, encoder=encoder, size=48, **auxiliary, **fields)
    audit = Audit(r.learner)
    r.update(audit)
    audit.verify()
    return audit, r.learner.routing


def assert_as_declared(audit: Audit, routing: GradientRoutingSpec, loss: str | None) -> None:
    """Not only no contradiction: every path that is declared, and has a loss, is there, and no other."""
    two = routing.encoders == 2
    ends = {"critic": "critic encoder", "actor": "actor encoder", "auxiliary": "critic encoder"}
    expected = {f"{which} -> {end if two else 'encoder'}": routing.at(which, 0) > 0 for which, end in ends.items()}
    if loss is None:
        del expected[f"auxiliary -> {'critic encoder' if two else 'encoder'}"]
    assert {path: norm is not None for path, norm in audit.gradient_norm.items()} == expected
    assert all(groups in ([], [optimiser], ["log_alpha"]) for optimiser, groups in audit.moved.items())


@pytest.mark.parametrize(("routing", "loss"), WITH_AND_WITHOUT)
@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda c: c.label)
def test_a_network_from_scratch(rig, encoder, routing, loss):
    assert_as_declared(*audited(rig, encoder, routing, loss), loss)


@pytest.mark.parametrize(("routing", "loss"), WITH_AND_WITHOUT)
def test_a_pretrained_network(rig, routing, loss):
    assert_as_declared(*audited(rig, PRETRAINED, routing, loss, stack=1), loss)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_loss(rig, routing, loss):
    encoder = Component(name="vae" if loss == "vae" else "manipulation")
    assert_as_declared(*audited(rig, encoder, routing, loss), loss)
