"""Latent goals: the autoencoder's bound by hand, rewards for known pairs, shares of the sources, Skew-Fit's weights."""

from __future__ import annotations

import inspect
import math
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from fetchbench.environment import get_task
from fetchbench.errors import FetchbenchError, PluginError
from fetchbench.learner.goals import IMAGE_GOALS
from fetchbench.registry import Registry
from fetchbench.replay import Replay, sample_indices
from fetchbench.run.audit import Audit
from fetchbench.run.plugins import load_plugins
from fetchbench.specs import AuxiliaryContext, AuxiliaryInputs, FrameShape, GoalContext, GoalIndices, Pursued
from fetchbench.testing.trial import Trial

REGISTRY: Registry = load_plugins()
LATENT = REGISTRY.get("goal-space", "latent").spec
LatentGoals = LATENT.build
DIM, HORIZON, SIZE = 3, 12, 8


def spec(kind, name, **options):
    """A built-in spec with other defaults."""
    found = REGISTRY.get(kind, name).spec
    return kind, replace(found, build=partial(found.build, **options))


# -- the bound --------------------------------------------------------------------------------------------------------


class Fixed(nn.Module):
    """An encoder whose moments are given."""

    def __init__(self, mean: torch.Tensor, log_variance: torch.Tensor) -> None:
        super().__init__()
        self.given = mean, log_variance

    def moments(self, frames):
        return self.given


def vae(size=23, dim=2, **options):
    context = AuxiliaryContext(FrameShape(1, size, size), dim, 4)
    torch.manual_seed(0)
    return REGISTRY.get("auxiliary-loss", "vae").spec.build(context, **options)


@pytest.mark.parametrize("beta", [0.0, 1.0, 10 / 128])
def test_the_bound_by_hand(beta):
    loss = vae(beta=beta)
    mean, log_variance = torch.tensor([[1.0, -2.0]] * 2), torch.tensor([[0.0, math.log(0.25)]] * 2)
    frames = torch.full((2, 2, 3, 23, 23), 255, dtype=torch.uint8)  # every pixel is 1: its likelihood is sigmoid(logit)
    noise = torch.tensor([[0.5, -1.0]] * 2)
    value, metrics = loss(inputs(frames, noise, Fixed(mean, log_variance)))
    z = torch.tensor([[1.0 + 0.5, -2.0 - 0.5]])  # mean + deviation * noise
    logits = loss.decoder(z).detach()
    likelihood = -torch.log1p((-logits).exp()).double().sum()
    # 0.5 * (mean^2 + variance - 1 - log variance), summed: 0.5 * (1 + 0) and 0.5 * (4 + 0.25 - 1 + log 4).
    divergence = 0.5 * 1 + 0.5 * (4 + 0.25 - 1 + math.log(4))
    assert float(metrics["kl"]) == pytest.approx(divergence, rel=1e-6)
    assert float(metrics["reconstruction"]) == pytest.approx(-float(likelihood), rel=1e-5)
    assert float(value.detach()) == pytest.approx((-float(likelihood) + beta * divergence) / (3 * 23 * 23), rel=1e-5)


def inputs(frames, noise, encoder):
    nothing = torch.zeros(1)
    return AuxiliaryInputs(frames, (), nothing, nothing, nothing, noise, lambda f: f, lambda f: f, encoder)


def test_a_density_by_hand():
    loss = vae()
    mean, log_variance = torch.tensor([[0.5, 0.0]]), torch.tensor([[math.log(0.25), 0.0]])
    normal = torch.tensor([[[1.0, -1.0], [0.0, 0.0]]])  # two samples
    frames = torch.full((1, 1, 3, 23, 23), 51, dtype=torch.uint8)  # 0.2
    total = 0.0
    for z, u in (([1.0, -1.0], [1.0, -1.0]), ([0.5, 0.0], [0.0, 0.0])):
        error = float((loss.decoder(torch.tensor([z])).detach().sigmoid() - 0.2).double().square().sum())
        prior = sum(-0.5 * a * a for a in z)
        posterior = sum(-0.5 * b * b for b in u) - math.log(0.5) - math.log(1.0)
        total += (prior - posterior - 0.5 * error) / 2
    found = loss.log_density(Fixed(mean, log_variance), frames, normal)
    assert found.shape == (1,)
    assert float(found) == pytest.approx(total, rel=1e-5)


def test_what_it_has_seen_is_likelier_than_what_it_has_not():
    trial = Trial(*PARTS, ("goal-space", LATENT), size=32, stack=1, track="image-goal")
    goals, replay = trial.built.goals, trial.replay
    grey = torch.full_like(replay.frames_at(torch.zeros(4, dtype=torch.int64), torch.arange(4)), 128)
    noise = torch.zeros(4, 1, goals.embedding_dim)
    context = goals._context
    before = context.log_density(grey, noise).mean()
    # The replay becomes grey, and the autoencoder learns that.
    replay._frames.fill_(128)
    for _ in range(60):
        trial.learner.pretrain(trial._sampler.own_sequences(trial._draw(8)), trial.draws())
    assert context.log_density(grey, noise).mean() > before
    assert context.log_density(grey, noise).min() > context.log_density(255 - 0 * grey, noise).max()


PARTS = (
    spec("encoder", "vae", dim=DIM),
    spec("auxiliary-loss", "vae", batch_size=8),
    ("gradient-routing", REGISTRY.get("gradient-routing", "aux").spec),
)


# -- the goal space, over an encoder that reads three numbers off a frame ---------------------------------------------------

LOG_VARIANCE = torch.tensor([[0.25, 0.25, 1.0]]).log()


def latents(frames):
    """The first pixels of a frame are its latent, in eighths."""
    return frames[:, 0, 0, :DIM].float() / 8


def bound(density=None, **options) -> object:
    goals = LatentGoals(get_task("FetchReach-v4"), **options)
    goals.bind(
        GoalContext(
            feature_dim=DIM,
            encode=latents,
            moments=lambda frames: (latents(frames), LOG_VARIANCE.expand(len(frames), -1)),
            reconstruct=lambda z: (z * 8).round().clamp(0, 255).to(torch.uint8)[:, None, None, :].expand(-1, 3, SIZE, -1),
            log_density=density or (lambda frames, noise: latents(frames)[:, 0]),
            own_batch=True,
        )
    )
    return goals


def replay(episodes=2) -> Replay:
    """State t of episode e looks like (e, t, 0) / 8; its own goal like (9 + e, 0, 0) / 8. Positions are not kept."""
    made = Replay(capacity=episodes, horizon=HORIZON, observation_dim=10, action_dim=4, frame=(3, SIZE, SIZE), goal_frames=True)
    made.added = episodes
    made.achieved.fill_(math.nan)
    made.desired.fill_(math.nan)
    made._frames.zero_()
    made.goal_frames.zero_()
    for e in range(episodes):
        made.goal_frames[e, ..., 0] = 9 + e
        for t in range(HORIZON + 1):
            made._frames[e * (HORIZON + 1) + t, :, :, 0] = e
            made._frames[e * (HORIZON + 1) + t, :, :, 1] = t
    return made


def indices(**fields) -> GoalIndices:
    n = len(fields["episode"])
    given = {"relabelled": [True] * n, "goal_step": [1] * n, "source": [0.0] * n, "draws": [[0.5] * DIM] * n} | fields
    return GoalIndices(**{name: torch.tensor(value) for name, value in given.items()})


def test_each_source_gives_its_goal():
    goals = bound(hindsight=0.3, prior=0.5, rollout=0.2)
    chosen = indices(
        episode=[1, 1, 1, 1],
        step=[0, 0, 0, 0],
        goal_step=[7, 7, 7, 7],
        relabelled=[True, True, True, False],
        source=[0.29, 0.31, 0.81, 0.0],
        draws=[[0.5, 0.8413447, 0.1586553]] * 4,
    )
    found = goals.relabel(replay(), chosen)
    expected = [
        [1 / 8, 7 / 8, 0],  # what was seen at step 7
        [0, 1, -1],  # the prior: the normal quantiles of the draws
        [10 / 8, 0, 0],  # the goal that the episode pursued
        [10 / 8, 0, 0],  # and so does what is not relabelled
    ]
    assert torch.allclose(found, torch.tensor(expected), atol=1e-4)


@pytest.mark.parametrize("shares", [(0.375, 0.625, 0.0), (0.3, 0.5, 0.2), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)])
def test_the_shares_over_many_draws(shares):
    count, k = 200_000, 4
    goals = bound(**dict(zip(("hindsight", "prior", "rollout"), shares, strict=True)))
    draws = torch.rand(count, 4 + DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    chosen = sample_indices(draws, 2, HORIZON, k=k, strategy="future")
    found = goals.relabel(replay(), chosen)
    seen = (found[:, 1:] * 8 == torch.stack([chosen.goal_step, torch.zeros(count)], dim=1)).all(dim=1) & (found[:, 0] <= 1 / 8)
    pursued = (found * 8 == torch.stack([9.0 + chosen.episode, torch.zeros(count), torch.zeros(count)], dim=1)).all(dim=1)
    measured = [float(x.double().mean()) for x in (seen, ~seen & ~pursued, pursued)]
    relabelled = 1 - 1 / (k + 1)
    expected = [relabelled * shares[0], relabelled * shares[1], 1 - relabelled * (shares[0] + shares[1])]
    assert measured == pytest.approx(expected, abs=0.005)


def test_prior_goals_are_standard_normal():
    draws = torch.rand(50_000, DIM, generator=torch.Generator().manual_seed(0))
    pursued = bound().sample_exploration(replay(), Pursued(torch.zeros(50_000, 3)), draws)
    assert pursued.goals.mean(dim=0).abs().max() < 0.02
    assert (pursued.goals.std(dim=0) - 1).abs().max() < 0.02
    assert pursued.goals.isfinite().all()
    # What the replay keeps of them is what they decode to.
    assert torch.equal(pursued.frames[:100, 0, 0, 0], (pursued.goals[:100, 0] * 8).round().clamp(0, 255).to(torch.uint8))


def test_rewards_of_known_pairs():
    store, goal = replay(), torch.tensor([[0.0, 0.0, 0.0], [1 / 8, 4 / 8, 0.0]])
    chosen = indices(episode=[1, 1], step=[3, 3])  # the outcome is (1, 4, 0) / 8
    length = math.hypot(1 / 8, 4 / 8)
    assert torch.allclose(bound().reward(store, chosen, goal), torch.tensor([-length, 0.0]))
    assert torch.allclose(bound(scale=2.0).reward(store, chosen, goal), torch.tensor([-2 * length, 0.0]))
    # Deviations of 0.5, 0.5 and 1.
    assert torch.allclose(bound(reward="mahalanobis").reward(store, chosen, goal), torch.tensor([-2 * length, 0.0]))
    aside = torch.tensor([[1 / 8, 4 / 8, 1.0]] * 2)
    assert torch.allclose(bound(reward="mahalanobis").reward(store, chosen, aside), torch.tensor([-1.0, -1.0]))
    for threshold, expected in ((length + 1e-4, 0.0), (length - 1e-4, -1.0)):
        sparse = bound(reward="sparse", threshold=threshold).reward(store, chosen, goal)
        assert sparse.tolist() == [expected, 0.0]


def test_who_reached_a_goal_by_hindsight_earns_the_most():
    goals, store = bound(hindsight=1.0, prior=0.0), replay()
    chosen = indices(episode=[0, 1], step=[4, 4], goal_step=[5, 5])
    assert goals.reward(store, chosen, goals.relabel(store, chosen)).tolist() == [0.0, 0.0]


def test_a_goal_is_embedded_when_it_is_sampled():
    goals, store = bound(hindsight=0.5, prior=0.0, rollout=0.5), replay()
    chosen = indices(episode=[1, 1], step=[0, 0], goal_step=[7, 7], source=[0.0, 0.9])
    before = goals.relabel(store, chosen)
    goals._context.__dict__["encode"] = lambda frames: 2 * latents(frames)
    assert torch.equal(goals.relabel(store, chosen), 2 * before)


# -- Skew-Fit ------------------------------------------------------------------------------------------------------------


def weights(nats, power, effective=0.0):
    module = sys.modules[LatentGoals.__module__]
    return module.skewed(torch.tensor(nats, dtype=torch.float64), power, effective)


def test_weights_are_the_density_to_the_power():
    density = [0.5, 0.25, 0.125]
    nats = [math.log(p) for p in density]
    for power in (-1.0, -0.5):
        expected = torch.tensor([p**power for p in density], dtype=torch.float64)
        assert torch.allclose(weights(nats, power), expected / expected.sum())
    assert torch.allclose(weights(nats, 0.0), torch.full((3,), 1 / 3, dtype=torch.float64))


def test_enough_observations_stay_in_play():
    nats = [0.0] * 99 + [-100.0]  # to the power of -1, the last would be all
    assert float(weights(nats, -1.0)[-1]) > 0.999
    kept = weights(nats, -1.0, effective=0.25)
    assert 1 / float(kept.square().sum()) == pytest.approx(25, rel=0.01)
    assert float(kept[-1]) == float(kept.max())


def test_skewed_goals_and_training_come_from_the_rare():
    rare = lambda frames, noise: torch.where(frames[:, 0, 0, 1] == 5, -2.0, 0.0)  # noqa: E731
    goals, store = bound(rare, power=-1.0, effective=0.0, hindsight=0.0, prior=1.0), replay()
    draws = torch.rand(20_000, DIM, generator=torch.Generator().manual_seed(0))
    even = goals.training_states(store, draws[:, 0])[1]
    assert (even == 5).double().mean() == pytest.approx(1 / HORIZON, abs=0.01)
    goals.refresh(store, torch.Generator().manual_seed(0))
    share = math.exp(2) / (HORIZON - 1 + math.exp(2))
    episode, step = goals.training_states(store, draws[:, 0])
    assert (step == 5).double().mean() == pytest.approx(share, abs=0.01)
    assert (int(step.min()), int(step.max())) == (0, HORIZON - 1)
    assert episode.double().mean() == pytest.approx(0.5, abs=0.01)
    pursued = goals.sample_exploration(store, Pursued(torch.zeros(20_000, 3)), draws)
    assert (pursued.frames[:, 0, 0, 1] == 5).double().mean() == pytest.approx(share, abs=0.01)
    assert torch.equal(pursued.goals, latents(pursued.frames))
    n = 20_000
    found = goals.relabel(store, indices(episode=[0] * n, step=[0] * n, draws=draws.tolist()))
    assert (found[:, 1] * 8 == 5).double().mean() == pytest.approx(share, abs=0.01)


def test_densities_are_looked_at_every_so_many_rounds_and_continue_from_their_state():
    asked = []

    def density(frames, noise):
        asked.append(len(frames))
        return noise.mean(dim=(1, 2))

    goals, store = bound(density, power=-1.0, every=3), replay()
    for k in range(4):
        goals.refresh(store, torch.Generator().manual_seed(k))
    assert sum(asked) == 2 * 2 * HORIZON
    again = bound(density, power=-1.0, every=3)
    again.load_state_dict(goals.state_dict())
    draws = torch.rand(100, generator=torch.Generator().manual_seed(0))
    for one, other in zip(goals.training_states(store, draws), again.training_states(store, draws), strict=True):
        assert torch.equal(one, other)
    for k in range(4, 6):
        for each in (goals, again):
            each.refresh(store, torch.Generator().manual_seed(k))
    assert torch.equal(goals.training_states(store, draws)[1], again.training_states(store, draws)[1])
    assert goals.state_dict()["rounds"] == 6


def test_without_a_power_nothing_is_weighed():
    asked = []
    goals = bound(lambda frames, noise: asked.append(1))
    goals.refresh(replay(), torch.Generator())
    assert not asked


# -- in a method -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reward", ["distance", "mahalanobis", "sparse"])
@pytest.mark.parametrize("power", [0.0, -1.0])
def test_the_autoencoder_moves_by_its_own_loss_alone(reward, power):
    trial = Trial(*PARTS, spec("goal-space", "latent", reward=reward, power=power), size=32, stack=1, track="image-goal")
    trial.built.goals.refresh(trial.replay, torch.Generator().manual_seed(0))
    audit = Audit(trial.learner)
    metrics = trial.update(audit)
    audit.verify()
    entry = audit.entry()
    assert entry.gradient_norm["auxiliary -> encoder"] > 0
    assert entry.gradient_norm["critic -> encoder"] is None
    assert entry.gradient_norm["actor -> encoder"] is None
    assert entry.moved["encoder"] == ["encoder"]
    # Positions are NaN in this replay: whoever had read one would have made the losses NaN.
    assert bool(trial.replay.achieved.isnan().all())
    assert bool(metrics["critic_loss"].isfinite())


def test_the_tasks_reward_does_read_positions():
    trial = Trial(*PARTS, ("goal-space", IMAGE_GOALS), size=32, stack=1, track="image-goal")
    trial.replay.achieved.fill_(math.nan)
    reward = trial.batch().reward
    assert set(reward.tolist()) <= {-1.0, 0.0}
    trial.replay.achieved.fill_(1.0)
    relabelled = trial.batch().reward
    assert float(relabelled.mean()) > -0.6  # where everything is in one place, every relabelled goal is reached


# -- what is refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward": "cosine"}, "reward = 'cosine': one of distance, mahalanobis, sparse"),
        ({"hindsight": 0.5}, "hindsight, prior, rollout = 0.5, 0.625, 0.0: shares, which must sum to 1"),
        ({"hindsight": -1.0, "prior": 2.0}, "shares, which must sum to 1"),
        ({"power": 0.5}, "power = 0.5: must be -1 to 0"),
        ({"effective": 2.0}, "effective = 2.0: must be 0 to 1"),
        ({"threshold": 0.0}, "threshold = 0.0: must be above 0"),
        ({"every": 0}, "every = 0: must be above 0"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        LatentGoals(get_task("FetchReach-v4"), **options)


def test_methods_that_lack_what_it_needs():
    nature = ("encoder", REGISTRY.get("encoder", "nature").spec)
    with pytest.raises(PluginError, match=r"latent.*needs an encoder that offers moments and an auxiliary loss that offers"):
        Trial(nature, spec("auxiliary-loss", "inverse-dynamics"), PARTS[2], ("goal-space", LATENT), track="image-goal")
    shared = (PARTS[0], spec("auxiliary-loss", "vae"), PARTS[2])
    with pytest.raises(PluginError, match=r"power = -1\.0 weights what the auxiliary loss learns from.*batch_size = 128"):
        Trial(*shared, spec("goal-space", "latent", power=-1.0), size=32, stack=1, track="image-goal")


def test_augmentations_that_change_the_size_of_frames():
    crop = ("augmentation", REGISTRY.get("augmentation", "crop").spec)
    with pytest.raises(
        FetchbenchError, match=r"goals are drawn 42 pixels high.*wants frames of 50; take one that keeps the size"
    ):
        Trial(*PARTS, crop, ("goal-space", LATENT), size=42, stack=1, track="image-goal")
    shift = ("augmentation", REGISTRY.get("augmentation", "shift").spec)
    Trial(*PARTS, shift, ("goal-space", LATENT), size=32, stack=1, track="image-goal").update()


def test_a_track_that_shows_the_achieved_goal():
    everywhere = replace(LATENT, tracks=("pixels-privileged",))
    with pytest.raises(FetchbenchError, match="shows the achieved goal, of which a run with latent rewards keeps nothing"):
        Trial(*PARTS, ("goal-space", everywhere), size=32, stack=1, track="pixels-privileged")


def test_the_declared_shares_are_the_defaults():
    defaults = {n: p.default for n, p in inspect.signature(LatentGoals).parameters.items() if n in LATENT.shares}
    assert defaults == dict(LATENT.shares)
    assert (LATENT.reward, LATENT.tracks) == ("latent", ("image-goal",))
