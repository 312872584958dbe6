"""The update's arithmetic, worked out apart from it."""

from __future__ import annotations

import copy

import pytest
import torch

from fetchbench.records.schema import Component


def parts(r):
    """One batch, its draws, and what the features of it were before the update."""
    batch, draws = r.batch(), r.draws()
    frames, following = batch.frames[:, : r.learner.stack], batch.frames[:, 1 : r.learner.stack + 1]
    with torch.no_grad():
        e = r.learner.encoders
        features = {"z": e.critic(frames), "next": e.critic(following), "target": e.target(following)}
    return batch, draws, features


@pytest.mark.parametrize(("loss", "factor"), [("sum", 1.0), ("half-sum", 0.5)])
def test_critic_loss_and_target(rig, loss, factor):
    r = rig("critic", settings={"critic_loss": loss})
    r.update()  # so that online and target networks differ
    batch, draws, f = parts(r)
    critic, target = copy.deepcopy(r.learner.critic), copy.deepcopy(r.learner.target_critic)
    actor, alpha = copy.deepcopy(r.learner.actor), r.learner.log_alpha.detach().exp()
    with torch.no_grad():
        action, log_prob = actor(f["next"], batch.next_vectors, draws.next_noise[0])
        q1, q2 = target(f["target"], batch.next_vectors, action)
        y = batch.reward + 0.95 * (torch.minimum(q1, q2) - alpha * log_prob)
        q = critic(f["z"], batch.vectors, batch.action)
        expected = factor * sum(((q[i] - y) ** 2).mean() for i in range(2))
    metrics = r.learner.update(batch, draws)
    torch.testing.assert_close(metrics["critic_loss"], expected)
    torch.testing.assert_close(metrics["target"], y.mean())


def test_the_actor_learns_from_the_new_critics_and_the_old_features(rig):
    r = rig("critic")
    batch, draws, f = parts(r)
    actor = copy.deepcopy(r.learner.actor)
    metrics = r.learner.update(batch, draws)
    with torch.no_grad():
        action, log_prob = actor(f["z"], batch.vectors, draws.noise)
        q = r.learner.critic(f["z"], batch.vectors, action).min(0).values  # the critics as they are now
        expected = (0.1 * log_prob - q).mean()
    torch.testing.assert_close(metrics["actor_loss"], expected)


def test_entropy_moves_towards_its_target(rig):
    r = rig("critic", settings={"target_entropy": 100.0})
    r.update()
    assert r.learner.log_alpha.exp() > 0.1
    r = rig("critic", settings={"target_entropy": -100.0})
    r.update()
    assert r.learner.log_alpha.exp() < 0.1


def test_fixed_entropy_stays(rig):
    r = rig("critic", settings={"entropy": "fixed", "entropy_coefficient": 0.05})
    r.update()
    assert r.learner.log_alpha.exp().item() == pytest.approx(0.05)
    assert "entropy" not in r.learner.optimisers


def test_targets_are_averaged_every_update(rig):
    r = rig("critic", settings={"target_rate": 0.25})
    before = copy.deepcopy(r.learner.target_critic)
    r.update()
    for old, new, online in zip(
        before.parameters(), r.learner.target_critic.parameters(), r.learner.critic.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * online)


def test_equal_draws_give_the_equal_update(rig):
    a, b = rig("joint"), rig("joint")
    for _ in range(2):
        a.update()
        torch.manual_seed(123)  # the global generator plays no part
        torch.rand(7)
        b.update()
    for x, y in zip(a.learner.actor.parameters(), b.learner.actor.parameters(), strict=True):
        assert torch.equal(x, y)


def test_rewards_follow_the_relabelled_goals(rig):
    r = rig("critic")
    batch = r.batch()
    assert set(batch.reward.tolist()) <= {0.0, -1.0}
    uniform = torch.tensor([[0.3, 0.0, 0.0, 0.0]], dtype=torch.float64)  # relabelled with its own outcome
    assert r.sampler(uniform).reward.item() == 0.0


def test_without_hindsight_every_goal_is_the_one_pursued(rig):
    r = rig("critic", goal_space=Component(name="vector", options={"hindsight": False}))
    batch = r.sampler(torch.tensor([[0.3, 0.0, 0.0, 0.0]], dtype=torch.float64))  # relabelled, were it allowed
    episode, step = divmod(int(0.3 * r.replay.transitions), r.replay.horizon)
    pursued = r.replay.desired[episode]
    assert torch.equal(batch.vectors[0, -3:], r.built.goals.embed(pursued))
    assert torch.equal(batch.next_vectors[0, -3:], r.built.goals.embed(pursued))
    distance = (r.replay.achieved[episode, step + 1] - pursued).norm()
    assert batch.reward.item() == -float(distance > 0.05)


def test_acting_is_deterministic_without_noise_and_exploring_with(rig):
    r = rig("critic")
    frames = torch.randint(0, 256, (3, r.learner.stack, 3, 32, 32), dtype=torch.uint8)
    vectors = torch.randn(3, 3)
    assert torch.equal(r.learner.act(frames, vectors), r.learner.act(frames, vectors))
    assert not torch.equal(r.learner.act(frames, vectors), r.learner.act(frames, vectors, torch.randn(3, 4)))


def test_the_critics_fit_a_fixed_batch(rig):
    r = rig("critic", settings={"learning_rate": 1e-3})
    batch, draws = r.batch(), r.draws()
    losses = [r.learner.update(batch, draws)["critic_loss"].item() for _ in range(150)]
    assert losses[-1] < 0.2 * losses[0]
