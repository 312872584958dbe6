"""Goals that are images: seen by the encoder, under the routing, beside what is observed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fetchbench.environment import get_task
from fetchbench.learner.build import InitialisationSeeds, build
from fetchbench.learner.goals import IMAGE_GOALS, VECTOR_GOALS, ImageGoals, UnseenGoals, VectorGoals
from fetchbench.learner.sac import Weights
from fetchbench.protocol import LearnerSettings
from fetchbench.records.schema import Method
from fetchbench.registry import load_registry
from fetchbench.replay import sample_indices
from fetchbench.run.audit import Audit
from fetchbench.specs import GoalIndices, Pursued
from fetchbench.testing.stand_ins import registry_of, stand_in_encoder
from fetchbench.testing.trial import Trial

REGISTRY = load_registry()
ENCODER = ("encoder", stand_in_encoder())
SHIFT = ("augmentation", REGISTRY.get("augmentation", "shift").spec)
DIM = 16


def routing(name: str):
    return "gradient-routing", REGISTRY.get("gradient-routing", name).spec


def trial(name: str = "critic", *more, **options) -> Trial:
    return Trial(ENCODER, routing(name), *more, track="image-goal", size=32, **options)


@pytest.mark.parametrize("name", ["critic", "actor", "joint", "separate", "frozen"])
def test_a_goal_is_seen_through_the_same_encoder(name):
    t = trial(name)
    batch, draws = t.batch(), t.draws()
    e = t.learner.encoders
    z, z_actor, z_next_actor, z_next_target = t.learner._features(batch, draws, weights(t))
    goal = batch.goal_frames[:, None].expand(-1, 2, -1, -1, -1)
    for found, encoder, frames in (
        (z, e.critic, batch.frames[:, :2]),
        (z_actor, e.actor, batch.frames[:, :2]),
        (z_next_actor, e.actor, batch.frames[:, 1:]),
        (z_next_target, e.target or e.critic, batch.frames[:, 1:]),
    ):
        assert torch.allclose(found, torch.cat([encoder(frames), encoder(goal)], dim=1), atol=1e-6)
    assert z.shape == (8, 2 * DIM)
    assert t.learner.actor.inputs.width == (50 if name == "frozen" else 2 * DIM)


def weights(t: Trial):
    return Weights(**{loss: t.learner.routing.at(loss, 0) for loss in ("critic", "actor", "auxiliary")})


@pytest.mark.parametrize("name", ["critic", "actor", "joint", "separate", "frozen", "critic-then-joint"])
def test_the_routing_holds_for_goals_too(name):
    t = trial(name)
    audit = Audit(t.learner)
    t.update(audit)
    audit.verify()


def test_both_passes_send_their_gradient():
    """What arrives in the encoder is the sum of what each half of z would send."""
    t = trial("critic")
    batch, draws = t.batch(), t.draws()
    encoder = t.learner.encoders.critic
    z = t.learner._features(batch, draws, weights(t))[0]
    arriving = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    goal = batch.goal_frames[:, None].expand(-1, 2, -1, -1, -1)
    parts = (encoder(batch.frames[:, :2]), encoder(goal))
    separate = [torch.autograd.grad(p, encoder.parameters(), a) for p, a in zip(parts, arriving.chunk(2, dim=1), strict=True)]
    together = torch.autograd.grad(z, encoder.parameters(), arriving)
    for whole, one, other in zip(together, *separate, strict=True):
        assert torch.allclose(whole, one + other, atol=1e-5)
        assert float(one.abs().max()) > 0 < float(other.abs().max())


def test_a_goal_moves_with_what_is_observed():
    """Under a shift both halves move alike, and the next observation's pair moves apart from them."""
    t = trial("critic", SHIFT)
    batch, draws = t.batch(), t.draws()
    same = replace(batch, goal_frames=batch.frames[:, 0].clone(), frames=batch.frames[:, :1].expand(-1, 3, -1, -1, -1).clone())
    z, _, z_next, _ = t.learner._features(same, draws, weights(t))
    assert torch.equal(*z.chunk(2, dim=1))
    assert torch.equal(*z_next.chunk(2, dim=1))
    assert not torch.equal(z, z_next)


def test_views_are_in_one_order():
    t = trial("critic", SHIFT, views=2)
    batch, draws = t.batch(), t.draws()
    z = t.learner._features(batch, draws, weights(t))[0]
    encoder, shift = t.learner.encoders.critic, t.learner.augmentation
    goal = batch.goal_frames[:, None].expand(-1, 2, -1, -1, -1).contiguous()
    for view, own in zip(draws.views, z.chunk(2), strict=True):
        expected = torch.cat([encoder(shift(frames, view)) for frames in (batch.frames[:, :2], goal)], dim=1)
        assert torch.allclose(own, expected, atol=1e-6)


def test_acting_sees_the_goal():
    t = trial("critic")
    frames = t.batch().frames[:, :2]
    vectors = torch.zeros(len(frames), 0)
    goals = torch.randint(0, 256, (2, len(frames), 3, 32, 32), dtype=torch.uint8)
    one, other = (t.learner.act(frames, vectors, goal_frames=goal) for goal in goals)
    assert one.shape == (8, 4)
    assert not torch.equal(one, other)


def test_relabelled_goals_are_frames_and_the_tasks_reward_is_theirs():
    t = trial("critic")
    goals, replay = t.built.goals, t.replay
    indices = GoalIndices(
        episode=torch.tensor([1, 1]),
        step=torch.tensor([3, 3]),
        relabelled=torch.tensor([True, False]),
        goal_step=torch.tensor([4, 4]),
        source=torch.zeros(2),
        draws=torch.zeros(2, 0),
    )
    seen = goals.goal_frames(replay, indices)
    assert torch.equal(seen[0], replay.frames_at(torch.tensor([1]), torch.tensor([4]))[0])
    assert torch.equal(seen[1], replay.goal_frames[1])
    assert not torch.equal(seen[0], seen[1])
    positions = goals.relabel(replay, indices)
    assert torch.equal(positions, torch.stack([replay.achieved[1, 4], replay.desired[1]]))
    assert goals.reward(replay, indices, positions).tolist()[0] == 0.0
    never = ImageGoals(get_task("FetchReach-v4"), hindsight=False)
    assert torch.equal(never.goal_frames(replay, indices), replay.goal_frames[[1, 1]])


def test_no_number_is_seen_beside_the_images():
    t = trial("critic")
    batch = t.batch()
    assert batch.vectors.shape == batch.next_vectors.shape == (8, 0)
    t.replay.observation.fill_(math.nan)
    assert all(bool(value.isfinite()) for value in t.update().values())


def test_blind_on_such_a_suite_sees_a_constant():
    registry = registry_of(("goal-space", VECTOR_GOALS), ("goal-space", IMAGE_GOALS))
    task, seeds = get_task("FetchReach-v4"), InitialisationSeeds(1, 2, 3, 4)

    def built(pixel_track):
        return build(Method(name="blind", track="blind"), task, pixel_track, LearnerSettings(), registry, seeds)

    blind, sighted = built("image-goal"), built("pixels-only")
    assert (blind.vectors.dim, blind.goals.embedding_dim, blind.goal_images) == (0, 1, False)
    assert (sighted.vectors.dim, sighted.goals.embedding_dim) == (0, 3)
    goals = torch.randn(5, 3)
    assert blind.goals.embed(goals).tolist() == [[0.0]] * 5
    actions = blind.learner.act(None, blind.goals.embed(goals))
    assert torch.allclose(actions, actions[:1].expand(5, -1), atol=1e-6)
    assert not torch.allclose(sighted.learner.act(None, goals), actions, atol=1e-3)


def test_what_is_unseen_is_still_relabelled_and_rewarded():
    vector = VectorGoals(get_task("FetchReach-v4"))
    unseen = UnseenGoals(vector)
    t = Trial(track="state")
    draws = torch.rand(32, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    indices = sample_indices(draws, 2, t.replay.horizon, k=4, strategy="future")
    goals = vector.relabel(t.replay, indices)
    assert torch.equal(unseen.relabel(t.replay, indices), goals)
    assert torch.equal(unseen.reward(t.replay, indices, goals), vector.reward(t.replay, indices, goals))
    asked = Pursued(torch.ones(2, 3))
    assert unseen.sample_exploration(t.replay, asked, torch.zeros(2, 1)) is asked
    assert torch.equal(unseen.from_task(asked.goals, None), asked.goals)


def test_a_frozen_encoder_of_frames_embeds_goals_once_too():
    per_frame = replace(stand_in_encoder(), input="frame")
    t = Trial(("encoder", per_frame), routing("frozen"), track="image-goal", size=32)
    assert t.built.cached
    assert t.replay.goal_frames.shape == (2, DIM)
    batch = t.batch()
    z = t.learner._features(batch, t.draws(), weights(t))[0]
    stacked = batch.goal_frames[:, None].expand(-1, 2, -1)
    assert torch.equal(z, torch.cat([batch.frames[:, :2].flatten(1), stacked.flatten(1)], dim=1))
    t.update()


def test_a_part_that_an_author_keeps_in_evaluation_mode_stays_there():
    t = trial("critic")
    encoder = t.learner.encoders.critic
    encoder.convolutions[1].eval()
    t.learner.act(t.batch().frames[:, :2], torch.zeros(8, 0), goal_frames=t.batch().goal_frames)
    assert (encoder.training, encoder.convolutions[0].training, encoder.convolutions[1].training) == (True, True, False)


def test_other_tracks_are_as_they_were():
    t = Trial(ENCODER, routing("critic"), track="pixels-only", size=32)
    batch = t.batch()
    assert batch.goal_frames is None
    assert t.replay.goal_frames is None
    assert t.learner.actor.inputs.width == DIM + 3
    assert type(t.built.goals) is VectorGoals
