"""The bundled gradient routings: the table that plugins/README.md prints, and the one that changes."""

from __future__ import annotations

import pytest

from fetchbench.registry import load_registry
from fetchbench.specs import GradientRoutingSpec

REGISTRY = load_registry()

TABLE = {
    "separate": (2, 1, 1, 1),
    "actor": (1, 0, 1, 1),
    "critic": (1, 1, 0, 1),
    "joint": (1, 1, 1, 1),
    "aux": (1, 0, 0, 1),
    "frozen": (1, 0, 0, 0),
}


def routing(name: str) -> GradientRoutingSpec:
    spec = REGISTRY.get("gradient-routing", name).spec
    assert isinstance(spec, GradientRoutingSpec)
    return spec


@pytest.mark.parametrize("name", TABLE)
def test_the_six_that_do_not_change(name):
    spec = routing(name)
    assert (spec.encoders, spec.critic, spec.actor, spec.auxiliary) == TABLE[name]
    assert spec.summary


def test_critic_then_joint_lets_the_actor_in_at_its_update():
    spec = routing("critic-then-joint")
    assert spec.encoders == 1
    assert [spec.at("actor", update) for update in (0, 19_999, 20_000, 10**6)] == [0, 0, 1, 1]
    assert {spec.at(loss, update) for loss in ("critic", "auxiliary") for update in (0, 20_000)} == {1}
    assert spec.trains_encoder


def test_its_update_is_where_one_percent_is_left_of_the_first_q():
    """The target critic follows at tau, and its own value comes back times gamma: 1 - tau (1 - gamma) per update."""
    start = routing("critic-then-joint").actor.stages[1][1]
    assert (1 - 0.005 * (1 - 0.95)) ** start < 0.01 < (1 - 0.005 * (1 - 0.95)) ** (start - 2000)
