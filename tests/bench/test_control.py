"""The control run with stable-baselines3: sees what ours sees, is rewarded by the same rule, resumes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from stable_baselines3.common.utils import obs_as_tensor

from fetchbench.bench import control as module
from fetchbench.bench.control import TASK, StateVectors, build, control
from fetchbench.environment.tracks import vector_layout
from fetchbench.errors import StorageError
from fetchbench.learner.batch import Vectors
from fetchbench.learner.goals import VectorGoals
from fetchbench.protocol import LEARNER_PRESETS

PRESET = LEARNER_PRESETS["push-state"]
SMALL = PRESET.model_copy(
    update={"environments": 2, "updates_per_step": 0.5, "warmup_steps": 110, "buffer_steps": 1000, "batch_size": 16}
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the command does: two threads that wait for each other on a busy machine take minutes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model():
    """After three episodes in each of two environments."""
    model = build(0, SMALL)
    model.learn(300)
    return model


def test_the_networks_see_our_vectors(model):
    observation = model.get_env().reset()
    ours = Vectors(vector_layout("state", TASK, "pixels"))
    raw = {name: torch.from_numpy(value).float() for name, value in observation.items()}
    goal = VectorGoals(TASK).embed(raw["desired_goal"])
    expected = torch.cat([ours(raw["observation"], raw["achieved_goal"]), goal], dim=-1)
    for network in (model.actor, model.critic, model.critic_target):
        assert isinstance(network.features_extractor, StateVectors)
        features = network.extract_features(obs_as_tensor(observation, "cpu"), network.features_extractor)
        assert torch.equal(features, expected)
    assert expected.shape == (2, 28)
    assert expected[:, -3:].abs().max() < 2


def test_rewards_follow_the_task_and_every_target_bootstraps(model):
    batch = model.replay_buffer.sample(512)
    achieved, goal = (batch.next_observations[name].numpy() for name in ("achieved_goal", "desired_goal"))
    np.testing.assert_array_equal(batch.rewards.numpy()[:, 0], TASK.reward(achieved, goal))
    assert set(batch.rewards.unique().tolist()) == {-1.0, 0.0}
    assert model.replay_buffer.dones.sum() == 6  # the last steps of the episodes
    assert not batch.dones.any()
    task_goals = model.replay_buffer.observations["desired_goal"].reshape(-1, 3)
    original = (batch.observations["desired_goal"].numpy()[:, None] == task_goals).all(-1).any(-1)
    assert original.sum() == 512 - int(0.8 * 512)


def test_updates_and_settings_are_those_of_the_preset(model):
    assert model._n_updates == (300 - 110) // 2
    assert (model.gradient_steps, model.ent_coef, model.gamma, model.tau) == (1, 0.05, 0.95, 0.005)
    assert PRESET.environments * PRESET.updates_per_step == 1
    assert all(group["lr"] == 3e-4 for part in (model.actor, model.critic) for group in part.optimizer.param_groups)
    assert [layer.out_features for layer in model.actor.latent_pi if hasattr(layer, "out_features")] == [256, 256]
    assert (PRESET.entropy, PRESET.critic_loss, PRESET.log_std_bounds) == ("fixed", "half-sum", (-20.0, 2.0))


def test_writes_as_it_goes_and_resumes(tmp_path, monkeypatch):
    out = tmp_path / "control.json"
    cadence = {"evaluate_every": 200, "save_every": 400, "episodes": 2}
    evaluate = module.evaluate

    def killed(model, *arguments):
        if model.num_timesteps == 800:
            raise KeyboardInterrupt
        return evaluate(model, *arguments)

    monkeypatch.setattr(module, "evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        control(out, 0, 800, SMALL, **cadence)
    before = json.loads(out.read_text())
    assert [point["steps"] for point in before["evaluations"]] == [200, 400, 600]
    assert [path.name for path in (tmp_path / ".checkpoint" / "control").glob("replay-*")] == ["replay-400.pkl"]

    monkeypatch.setattr(module, "evaluate", evaluate)
    control(out, 0, 800, SMALL, **cadence)
    after = json.loads(out.read_text())
    assert after["evaluations"][:2] == before["evaluations"][:2]
    assert [(point["steps"], point["updates"]) for point in after["evaluations"]] == [
        (200, 45),
        (400, 145),
        (600, 245),
        (800, 345),
    ]
    assert after["attempts"] == 2
    assert after["packages"]["stable-baselines3"]

    content = out.read_bytes()
    control(out, 0, 800, SMALL, **cadence)
    assert out.read_bytes() == content  # finished
    with pytest.raises(StorageError, match="holds a run with other settings"):
        control(out, 1, 800, SMALL, **cadence)
