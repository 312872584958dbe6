"""Each routing, on real networks: which loss sends how much into which encoder, and what moves."""

from __future__ import annotations

import copy

import pytest
import torch

from fetchbench.errors import FetchbenchError, RoutingError
from fetchbench.records.schema import Component
from fetchbench.registry import Provider, Registered, Registry
from fetchbench.run.audit import Audit, FrozenCheck
from fetchbench.specs import GradientRoutingSpec, Schedule

PATHS = {
    "separate": {"critic -> critic encoder": 1, "actor -> actor encoder": 1},
    "actor": {"critic -> encoder": 0, "actor -> encoder": 1},
    "critic": {"critic -> encoder": 1, "actor -> encoder": 0},
    "joint": {"critic -> encoder": 1, "actor -> encoder": 1},
    "frozen": {"critic -> encoder": 0, "actor -> encoder": 0},
}


def with_routing(spec: GradientRoutingSpec) -> Registry:
    provider = Provider("test", "1", "test", "0")
    return Registry({("gradient-routing", spec.name): Registered("gradient-routing", spec, provider)})


def changed(before, after) -> set[str]:
    return {n for n in before if any(not torch.equal(a, b) for a, b in zip(before[n], after[n], strict=True))}


@pytest.mark.parametrize("routing", PATHS)
def test_the_audit_sees_what_is_declared(rig, routing):
    r = rig(routing)
    audit = Audit(r.learner)
    r.update(audit)
    audit.verify()
    seen = {path: 0 if norm is None else 1 for path, norm in audit.gradient_norm.items()}
    assert seen == PATHS[routing]
    assert all(norm is None or norm > 0 for norm in audit.gradient_norm.values())
    for optimiser, groups in audit.moved.items():
        assert groups == [{"entropy": "log_alpha"}.get(optimiser, optimiser)]


@pytest.mark.parametrize("routing", PATHS)
def test_an_observed_update_is_the_same_update(rig, routing):
    a, b = rig(routing), rig(routing)
    a.update(Audit(a.learner))
    b.update()
    assert not changed(a.parameters(), b.parameters())


@pytest.mark.parametrize(("routing", "moves"), [("critic", True), ("joint", True), ("frozen", False)])
def test_the_encoder_moves_where_it_should(rig, routing, moves):
    r = rig(routing)
    before = r.parameters()
    r.update()
    assert ("encoder" in changed(before, r.parameters())) is moves


def encoder_gradient(r) -> list[torch.Tensor]:
    """The encoder's gradient in one update, read at its optimiser's step."""
    seen = []

    class Reader(Audit):
        def stepping(self):
            optimiser = r.learner.optimisers["encoder"]
            seen[:] = [p.grad.clone() for g in optimiser.param_groups for p in g["params"] if p.grad is not None]

        def stepped(self, optimiser):
            pass

    r.update(Reader(r.learner))
    return seen


@pytest.mark.parametrize(("critic", "actor"), [(2.0, 3.0), (0.5, 0.0), (0.0, 0.25)])
def test_the_encoder_gets_the_weighted_sum(rig, critic, actor):
    spec = GradientRoutingSpec("weighted", critic=critic, actor=actor, auxiliary=0)
    from_critic = encoder_gradient(rig("critic"))
    from_actor = encoder_gradient(rig("actor"))
    both = encoder_gradient(rig("weighted", extra=with_routing(spec)))
    for c, a, total in zip(from_critic, from_actor, both, strict=True):
        torch.testing.assert_close(total, critic * c + actor * a, rtol=1e-4, atol=1e-6)


def test_the_heads_take_the_same_first_step_under_every_routing(rig):
    """A routing changes what the encoder learns, not what the heads do with one batch and equal features."""
    stepped = {}
    for routing in PATHS:
        r = rig(routing, trunk=0)
        r.update()
        stepped[routing] = r.parameters()["actor"] + r.parameters()["critic"]
    for routing, parameters in stepped.items():
        for a, b in zip(parameters, stepped["critic"], strict=True):
            torch.testing.assert_close(a, b, msg=routing)


def test_separate_starts_from_equal_copies_and_averages_the_critics_alone(rig):
    r = rig("separate")
    start = r.parameters()
    for a, b in zip(start["actor encoder"], start["critic encoder"], strict=True):
        assert torch.equal(a, b)
    r.update()
    after, rate = r.parameters(), r.learner.settings.target_rate
    for old, new, target in zip(start["critic encoder"], after["critic encoder"], after["target encoder"], strict=True):
        torch.testing.assert_close(target, old + rate * (new - old))
    assert any(not torch.equal(a, b) for a, b in zip(after["actor encoder"], after["critic encoder"], strict=True))


def test_the_actor_loss_reaches_the_encoder_through_the_policy_alone(rig):
    """With a policy that ignores its features no gradient arrives, though Q reads them."""
    r = rig("actor", trunk=0)
    with torch.no_grad():
        r.learner.actor.net[0].weight[:, : r.built.feature_dim] = 0
    audit = Audit(r.learner)
    r.update(audit)
    assert audit.gradient_norm["actor -> encoder"] == 0.0


def test_a_frozen_encoder_keeps_every_bit(rig):
    r = rig("frozen")
    check = FrozenCheck(r.learner)
    before = copy.deepcopy(r.learner.encoders.critic.state_dict())
    for _ in range(3):
        r.update()
    check.verify()
    for name, value in r.learner.encoders.critic.state_dict().items():
        assert torch.equal(value, before[name])
    with torch.no_grad():
        next(r.learner.encoders.critic.parameters()).add_(1e-6)
    with pytest.raises(RoutingError, match="frozen"):
        check.verify()


def test_a_frozen_method_has_a_trunk_and_no_target_encoder(rig):
    r = rig("frozen")
    assert r.learner.actor.inputs.trunk[0].out_features == 50
    assert r.learner.encoders.target is None
    assert rig("critic").learner.actor.inputs.width == 50 + 3
    assert rig("critic", trunk=7).learner.critic.inputs.width == 7 + 3


def test_a_scheduled_routing_changes_at_its_update(rig):
    schedule = Schedule((("critic", 0, 0.0), ("joint", 2, 1.0)))
    r = rig("later", extra=with_routing(GradientRoutingSpec("later", critic=1, actor=schedule, auxiliary=0)))
    norms = []
    for _ in range(4):
        audit = Audit(r.learner)
        r.update(audit)
        audit.verify()
        norms.append(audit.gradient_norm["actor -> encoder"])
    assert norms[:2] == [None, None]
    assert all(norm > 0 for norm in norms[2:])


def test_the_audit_catches_a_loss_that_goes_where_it_must_not(rig):
    """A learner with a planted fault: the critic loss reaches the encoder past its leaf."""
    r = rig("critic")
    real = r.learner._critic_step

    def leaking(batch, draws, z, *rest):
        return real(batch, draws, r.learner.encoders.critic(batch.frames[:, : r.learner.stack]), *rest)

    r.learner._critic_step = leaking
    audit = Audit(r.learner)
    r.update(audit)
    with pytest.raises(RoutingError, match="the critic loss put a gradient straight into the encoder"):
        audit.verify()


def test_the_audit_catches_an_optimiser_that_moves_what_is_not_its_own(rig):
    r = rig("frozen")
    stolen = list(r.learner.encoders.critic.parameters())
    r.learner.optimisers["critic"].add_param_group({"params": stolen, "weight_decay": 1.0})
    for p in stolen:
        p.grad = torch.zeros_like(p)
    r.learner._zero_encoder_gradients = lambda: None
    r.learner.optimisers["critic"].zero_grad = lambda set_to_none=True: None
    audit = Audit(r.learner)
    r.update(audit)
    with pytest.raises(RoutingError, match="the critic optimiser moved encoder"):
        audit.verify()


def test_the_audit_catches_a_declared_path_that_is_not_there(rig):
    """An encoder that keeps its gradient to itself."""
    r = rig("critic")
    encoder = r.learner.encoders.critic
    forward = encoder.forward
    encoder.forward = lambda frames: forward(frames).detach()
    audit = Audit(r.learner)
    r.update(audit)
    with pytest.raises(RoutingError, match="critic -> encoder: declared 1, but there is no path"):
        audit.verify()


def test_aux_without_a_loss_is_refused(rig):
    with pytest.raises(FetchbenchError, match="trains the encoder by an auxiliary loss alone, and there is none"):
        rig("aux")


def test_the_target_reads_the_online_encoder_where_the_learner_says_so(rig):
    r = rig("critic", settings={"target_features": "online"})
    assert r.learner.encoders.target is None
    r.update()


def test_learning_continues_from_a_state_dict(rig):
    a = rig("separate")
    a.update()
    b = rig("separate", encoder=Component(name="manipulation"))
    b.learner.load_state_dict(copy.deepcopy(a.learner.state_dict()))
    batch, draws = a.batch(), a.draws()
    a.learner.update(batch, draws)
    b.learner.update(batch, draws)
    assert not changed(a.parameters(), b.parameters())
    assert a.learner.updates == b.learner.updates == 2


@pytest.mark.parametrize(
    ("routing", "features", "passes"),
    [
        ("separate", "average", ["critic encoder+", "actor encoder+", "actor encoder", "target"]),
        ("separate", "online", ["critic encoder+", "actor encoder+", "actor encoder", "critic encoder"]),
        ("actor", "average", ["encoder+", "encoder", "target"]),
        ("critic", "average", ["encoder+", "encoder", "target"]),
        ("critic", "online", ["encoder+", "encoder"]),
        ("joint", "average", ["encoder+", "encoder", "target"]),
        ("frozen", "average", ["encoder", "encoder"]),
    ],
)
def test_no_encoder_pass_is_made_twice(rig, routing, features, passes):
    """``+`` is a pass with gradient. These and no other; the actor reads the critic's features."""
    r = rig(routing, settings={"target_features": features})
    e = r.learner.encoders
    names = {id(module): name for name, module in e.named()} | ({id(e.target): "target"} if e.target is not None else {})
    seen = []
    run = r.learner._encode

    def watch(encoder, frames):
        z = run(encoder, frames)
        seen.append(names[id(encoder)] + ("+" if z.requires_grad else ""))
        return z

    r.learner._encode = watch
    r.update()
    assert seen == passes
