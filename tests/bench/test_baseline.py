"""Both sides compute the same: networks, inputs, rewards, relabelling, episodes, pictures."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from stable_baselines3.common.utils import obs_as_tensor

from fetchbench.bench import baseline
from fetchbench.bench.episodes import filled_replay, random_episodes
from fetchbench.bench.ours import make_encoder, make_request
from fetchbench.bench.process import drawing_variables
from fetchbench.bench.sizes import BASELINE_ROUTING, PLAIN, ROUTINGS
from fetchbench.environment import TASKS, VectorEnvironment, get_task
from fetchbench.protocol import LEARNER_PRESETS, Scene
from fetchbench.replay import sample_indices
from fetchbench.run.plugins import load_plugins
from fetchbench.run.prepare import build_request
from fetchbench.specs import FrameShape, PixelSpec

TASK = get_task("FetchPush-v4")
SHAPE = FrameShape(2, 24, 24)
PIXELS = PixelSpec(size=24, stack=2)
SETTINGS = LEARNER_PRESETS["push"].model_copy(update={"hidden": (32, 16), "batch_size": 40})
STEPS = 200


@pytest.fixture(scope="module")
def episodes():
    return random_episodes(TASK, SHAPE.height, count=3)


@pytest.fixture(scope="module")
def registry():
    return load_plugins()


@pytest.fixture(scope="module")
def buffer(episodes):
    made = baseline.make_buffer(TASK, SHAPE, SETTINGS, STEPS)
    baseline.fill(made, TASK, episodes, STEPS, SHAPE.frames)
    return made


@pytest.fixture
def ours(registry):
    def build(routing):
        return build_request(make_request(TASK.id, "pixels", PIXELS, routing, SETTINGS, 1, PLAIN), registry)

    return build


@pytest.fixture
def sb3(registry):
    def build(routing):
        return baseline.build(
            baseline.offline(TASK, SHAPE, len(TASK.proprioception)),
            TASK,
            SHAPE,
            SETTINGS,
            "pixels",
            lambda shape: make_encoder(shape, registry=registry),
            shared=routing == "actor",
            buffer_steps=50,
        )

    return build


def parameters(module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("routing", ROUTINGS)
def test_the_networks_have_equally_many_parameters(ours, sb3, routing):
    learner, model = ours(routing).learner, sb3(BASELINE_ROUTING[routing])
    encoder = parameters(learner.encoders.critic)
    assert encoder > 0
    for theirs in (model.actor.features_extractor, model.critic.features_extractor, model.critic_target.features_extractor):
        assert parameters(theirs) == encoder
    assert parameters(model.actor) - encoder == parameters(learner.actor)
    assert parameters(model.critic) - encoder == parameters(learner.critic)
    # The encoders that learn, and who learns them.
    theirs = {id(p) for p in model.actor.features_extractor.parameters()}
    shares = theirs == {id(p) for p in model.critic.features_extractor.parameters()}
    assert shares == (BASELINE_ROUTING[routing] == "actor")
    stepped = {id(p) for group in model.critic.optimizer.param_groups for p in group["params"]}
    assert bool(stepped & {id(p) for p in model.critic.features_extractor.parameters()}) != shares


def test_the_heads_see_the_same_numbers(ours, sb3, episodes, buffer):
    """SB3's extractor, given our encoder's weights, returns our z, our vectors and our goal."""
    built, model = ours("separate"), sb3("separate")
    extractor = model.critic.features_extractor
    extractor.encoder.load_state_dict(built.learner.encoders.critic.state_dict())
    sampler = dataclasses.replace(built.sampler(filled_replay(TASK, episodes, STEPS)), k=0)
    # No relabelling; the transitions of step 0, 1, ... of the first episodes.
    draws = torch.zeros(STEPS, 4, dtype=torch.float64)
    draws[:, 0] = (torch.arange(STEPS) + 0.5) / STEPS
    batch = sampler(draws)
    observations = {name: array[:STEPS, 0] for name, array in buffer.observations.items()}
    with torch.no_grad():
        theirs = model.critic.extract_features(obs_as_tensor(observations, "cpu"), extractor)
        z = built.learner.encoders.critic(batch.frames[:, : SHAPE.frames])
    torch.testing.assert_close(theirs, torch.cat([z, batch.vectors], dim=-1), rtol=1e-5, atol=1e-5)
    for name in ("frames", "next frames"):
        first = 0 if name == "frames" else 1
        held = (buffer.next_observations if first else buffer.observations)["frames"][:STEPS, 0]
        np.testing.assert_array_equal(batch.frames[:, first : first + SHAPE.frames].flatten(1, 2).numpy(), held)
    np.testing.assert_array_equal(batch.reward.numpy(), buffer.rewards[:STEPS, 0])
    np.testing.assert_array_equal(batch.action.numpy(), buffer.actions[:STEPS, 0])
    # Every episode is finished, and none of them terminated.
    assert (buffer.ep_length == TASK.horizon).all()
    assert (buffer.dones * (1 - buffer.timeouts) == 0).all()


def test_one_policy(ours, sb3, buffer):
    """SB3's actor, given our weights, chooses our actions."""
    learner, model = ours("separate").learner, sb3("separate")
    actor = model.actor
    actor.features_extractor.encoder.load_state_dict(learner.encoders.actor.state_dict())
    layers = [layer for layer in learner.actor.net if isinstance(layer, torch.nn.Linear)]
    a = TASK.action_dim
    last = layers[-1]
    with torch.no_grad():
        for theirs, mine in zip([layer for layer in actor.latent_pi if hasattr(layer, "weight")], layers[:-1], strict=True):
            theirs.load_state_dict(mine.state_dict())
        for theirs, rows in ((actor.mu, slice(0, a)), (actor.log_std, slice(a, 2 * a))):
            theirs.weight.copy_(last.weight[rows])
            theirs.bias.copy_(last.bias[rows])
        observation = obs_as_tensor({name: array[:8, 0] for name, array in buffer.observations.items()}, "cpu")
        features = actor.extract_features(observation, actor.features_extractor)
        width = learner.actor.inputs.width - (len(TASK.proprioception) + TASK.goal_dim)
        mode, _ = learner.actor(features[:, :width], features[:, width:], None)
        torch.testing.assert_close(actor(observation, deterministic=True), mode, rtol=1e-5, atol=1e-6)


def test_the_same_share_is_relabelled(buffer, episodes):
    """SB3 relabels a fixed number of a batch, ours that many in expectation."""
    k, count = SETTINGS.relabel_k, 4000
    draws = torch.rand(count, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = sample_indices(draws, 4, TASK.horizon, k=k, strategy=SETTINGS.relabel_strategy).relabelled.double().mean()
    sample = buffer.sample(count)
    pursued = {tuple(goal) for goal in episodes.desired.astype(np.float64).round(6).tolist()}
    kept = sum(tuple(goal) in pursued for goal in sample.observations["desired_goal"].double().numpy().round(6).tolist())
    assert 1 - kept / count == pytest.approx(1 - 1 / (k + 1), abs=1 / count)
    assert ours == pytest.approx(1 - 1 / (k + 1), abs=0.02)


def test_an_update_moves_sb3s_networks(sb3, buffer):
    model = sb3("separate")
    model.replay_buffer = buffer
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.train(gradient_steps=1, batch_size=SETTINGS.batch_size)
    assert model._n_updates == 1
    assert sum(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True)) > 10


def test_settings_are_ours(sb3):
    model = sb3("separate")
    s = SETTINGS
    assert (model.gamma, model.tau, model.batch_size) == (s.discount, s.target_rate, s.batch_size)
    assert model.ent_coef == s.entropy_coefficient
    for optimiser in (model.actor.optimizer, model.critic.optimizer):
        assert {group["lr"] for group in optimiser.param_groups} == {s.learning_rate}
    assert model.replay_buffer.n_sampled_goal == s.relabel_k
    learned = s.model_copy(update={"entropy": "learned", "target_entropy": -3.0})
    environment = baseline.offline(TASK, SHAPE, 0)
    model = baseline.build(environment, TASK, SHAPE, learned, "pixels-only", make_encoder, buffer_steps=50)
    assert (model.ent_coef, model.target_entropy) == (f"auto_{s.entropy_coefficient}", -3.0)
    assert set(environment.observation_space.spaces) == {"frames", "achieved_goal", "desired_goal"}


DRAW = """
import sys
import gymnasium
import numpy as np
from fetchbench.bench import stock

task, size, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
environment = stock.maker(task, size, like_ours=True)()
frames, rewards = [environment.reset(seed=7)[0]["frames"]], []
for action in np.load(path):
    observation, _, *_ = environment.step(action)
    frames.append(observation["frames"])
goals = np.random.default_rng(0).normal(size=(2, 64, 3)) * 0.05
rewards = environment.unwrapped.compute_reward(*goals, [{}] * 64)
np.savez(path, frames=np.stack(frames), rewards=rewards, shown=environment.observation_space["frames"].shape)
"""


@pytest.mark.parametrize("task", ["FetchReach-v4", "FetchPush-v4"])
def test_gymnasium_draws_our_picture_and_gives_our_reward(tmp_path, task):
    """In a process of its own: software OpenGL and torch do not agree in one."""
    t, size, path = get_task(task), 32, tmp_path / "frames.npz"
    actions = np.random.default_rng(0).uniform(-1, 1, (5, t.action_dim)).astype(np.float32)
    with path.open("wb") as file:
        np.save(file, actions)
    with VectorEnvironment(t, Scene(), PixelSpec(size=size), 1) as environment:
        ours = [environment.reset([7]).frames[0]] + [environment.step(action[None]).frames[0] for action in actions]
    done = subprocess.run([sys.executable, "-c", DRAW, task, str(size), str(path)], env=drawing_variables(environment.report))
    assert done.returncode == 0
    theirs = np.load(path)
    difference = np.abs(theirs["frames"].astype(int) - np.stack(ours))
    assert difference.mean() < 0.1  # of 255 levels; in software there is none at all
    goals = np.random.default_rng(0).normal(size=(2, 64, 3)) * 0.05
    np.testing.assert_array_equal(theirs["rewards"], TASKS[task].reward(*goals))
    assert 0 < -theirs["rewards"].mean() < 1
