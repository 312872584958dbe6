"""Whole runs whose goals are images: latent goals resume bit for bit, and no position is ever kept."""

from __future__ import annotations

import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fetchbench.environment.tasks import get_task
from fetchbench.environment.vector import VectorEnvironment
from fetchbench.records.schema import Component, Method, RunRequest
from fetchbench.run.goal_distance import measure
from fetchbench.run.policy import load_policy
from fetchbench.run.prepare import build_request
from fetchbench.run.rollout import Rollout
from fetchbench.run.scenes import Scenes
from fetchbench.run.streams import reset_seed
from fetchbench.run.trainer import Trainer
from fetchbench.specs import PixelSpec, Pursued
from fetchbench.statistics.probing import rank_correlation

from .conftest import RunFolder, make_request

SKEWED = Component(name="latent", options={"power": -1.0, "every": 1, "hindsight": 0.3, "prior": 0.5, "rollout": 0.2})


def request_with(registry, goal_space: Component, **fields) -> RunRequest:
    loss = Component(name="vae", options={"pretraining": 5, "period": 2, "batch_size": 16})
    method = Method(
        name="goals-as-images",
        track="image-goal",
        pixels=PixelSpec(size=24, stack=2),
        encoder=registry.resolve("encoder", Component(name="vae", options={"dim": 4})),
        auxiliary_loss=registry.resolve("auxiliary-loss", loss),
        routing=registry.resolve("gradient-routing", Component(name="aux")),
        goal_space=registry.resolve("goal-space", goal_space),
    )
    return make_request(registry, None, method=method, pixel_track="image-goal", **fields)


@pytest.fixture(scope="module")
def undisturbed(registry, tmp_path_factory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("latent"), request_with(registry, SKEWED))
    run.finish()
    return run


def test_a_finished_run(undisturbed):
    result = undisturbed.record.result
    assert result.status == "done"
    # 150 updates, of which the autoencoder's own half; five before the first.
    assert result.updates == 150
    assert result.goal_distance is not None
    assert result.goal_distance.metric == "euclidean"
    assert -1 <= result.goal_distance.rank_correlation == result.goal_distance.gripper_rank_correlation <= 1
    assert all(entry.gradient_norm["critic -> encoder"] is None for entry in result.audit)
    assert all(entry.gradient_norm["auxiliary -> encoder"] > 0 for entry in result.audit)


def test_killed_it_goes_on_to_the_same_result(undisturbed, registry, run_folder):
    disturbed = run_folder(request_with(registry, SKEWED))
    manifest = disturbed.folder / "checkpoint" / "manifest.json"
    assert disturbed.stop_when(manifest.exists, signal.SIGKILL) == -signal.SIGKILL
    disturbed.finish()
    assert disturbed.record.result.model_dump_json() == undisturbed.record.result.model_dump_json()
    assert disturbed.record.cost.attempts == 2


def trained(registry, folder, goal_space: Component) -> Trainer:
    """A trainer after its run."""
    request = request_with(registry, goal_space)
    built = build_request(request, registry)
    (folder / "checkpoint").mkdir(parents=True)
    with VectorEnvironment(
        get_task(request.task),
        request.scene,
        built.rendered,
        1,
        image_goals=True,
    ) as environment:
        trainer = Trainer(request, built, environment, folder)
        trainer.train()
    return trainer


def test_a_latent_reward_never_meets_a_position(registry, tmp_path):
    trainer = trained(registry, tmp_path, Component(name="latent"))
    replay = trainer.replay
    assert len(replay) == 8
    assert bool(replay.achieved.isnan().all())
    assert bool(replay.desired.isnan().all())
    assert bool(replay.observation.isnan().all())  # the track shows none of its numbers
    # And with NaN wherever it could have read one, it learned: every loss is finite, or the run would have ended as diverged.
    assert trainer.learner.updates == 150
    state = trainer.checkpoint.state()
    assert all(bool(v.isfinite().all()) for m in state["learner"]["modules"].values() for v in m.values())


def test_the_tasks_reward_reads_positions_on_the_same_track(registry, tmp_path):
    replay = trained(registry, tmp_path, Component(name="image")).replay
    assert bool(replay.achieved.isfinite().all())
    assert bool(replay.observation.isfinite().all())
    assert float(replay.desired.std()) > 0


def test_random_play_pursues_where_it_came_to_and_later_episodes_what_they_imagined(registry, tmp_path):
    replay = trained(registry, tmp_path, Component(name="latent")).replay
    last = replay.frames_at(torch.arange(8), torch.full((8,), replay.horizon))
    same = (replay.goal_frames == last).flatten(1).all(dim=1).tolist()
    # 100 steps of warm-up are two episodes; at the start of the third, nothing has been learned yet.
    assert same == [True] * 3 + [False] * 5


def test_the_environments_own_goals_are_kept_where_the_task_rewards(registry, tmp_path):
    trainer = trained(registry, tmp_path, Component(name="image"))
    with VectorEnvironment(trainer.task, trainer.request.scene, trainer.built.rendered, 1, image_goals=True) as environment:
        first = environment.reset([reset_seed(trainer.request.task, 0, 5)])
    assert np.array_equal(trainer.replay.goal_frames[5].numpy(), first.goal_frames[0])
    assert np.allclose(trainer.replay.desired[5].numpy(), first.desired[0])


def test_its_policy_wants_an_image_of_the_goal(undisturbed):
    policy = load_policy(undisturbed.folder)
    frame = np.zeros((3, 24, 24), np.uint8)
    given = (np.zeros(10), np.zeros(3), np.zeros(3), frame)
    with pytest.raises(ValueError, match=r"goal_frame is None: this policy sees frames \(3, 24, 24\)"):
        policy(*given)
    policy.reset()
    one = policy(*given, goal_frame=frame)
    policy.reset()
    other = policy(*given, goal_frame=frame + 255)
    assert one.shape == (4,)
    assert not np.array_equal(one, other)


def test_a_checkpoint_keeps_goal_images(registry, tmp_path):
    trainer = trained(registry, tmp_path, SKEWED)
    again = Trainer(trainer.request, build_request(trainer.request, registry), trainer.environment, tmp_path)
    assert again.resume()
    assert torch.equal(again.replay.goal_frames, trainer.replay.goal_frames)
    assert again.built.goals.state_dict()["rounds"] == trainer.built.goals.state_dict()["rounds"] > 0


# -- how well a distance follows the true one --------------------------------------------------------------------------------


def test_ranks():
    a = np.array([1.0, 2.0, 3.0, 10.0])
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1)
    assert rank_correlation(a, -(a**3)) == pytest.approx(-1)
    assert rank_correlation(a, np.array([2.0, 1.0, 4.0, 3.0])) == pytest.approx(0.6)
    assert rank_correlation(a, np.ones(4)) is None


def test_a_perfect_and_a_blind_distance(registry):
    request = request_with(registry, Component(name="latent"))
    built = build_request(request, registry)
    rng = np.random.default_rng(0)
    places = rng.uniform(size=(40, 3))
    frames = np.zeros((40, 2, 3, 24, 24), np.uint8)
    frames[:, :, 0, 0, :3] = (places[:, None] * 255).round()
    scenes = Scenes(frames, {"gripper_xyz": places}, np.arange(40) // 10)

    class Reads(torch.nn.Module):
        def forward(self, given):
            return given[:, -1, 0, 0, :3].float()

    class Constant(torch.nn.Module):
        def forward(self, given):
            return torch.ones(len(given), 3)

    built.learner.encoders.critic = Reads()
    pairs = measure(built, scenes)
    assert len(pairs.own) == 160
    found = pairs.summary()
    assert found.rank_correlation == pytest.approx(1, abs=0.001)
    assert (found.pairs, found.metric) == (160, "euclidean")
    built.learner.encoders.critic = Constant()
    assert measure(built, scenes).summary() is None
    learned = torch.nn.Linear(3, 1)
    built.learner.encoders.critic = Reads()
    with_gradient = SimpleNamespace(distance=lambda z, goals: learned(z - goals)[:, 0], metric="learned")
    assert measure(replace(built, goals=with_gradient), scenes).summary().metric == "learned"
    unable = replace(built, goals=object())
    assert measure(unable, scenes) is None


def test_of_an_object_its_own_distance_counts(registry):
    request = request_with(registry, Component(name="latent"), task="FetchPush-v4")
    built = build_request(request, registry)
    places, gripper = np.random.default_rng(0).uniform(size=(2, 40, 3))
    frames = np.zeros((40, 2, 3, 24, 24), np.uint8)
    scenes = Scenes(frames, {"gripper_xyz": gripper, "object_xy": places[:, :2]}, np.arange(40) // 10)

    class Reads(torch.nn.Module):
        def forward(self, given):
            return torch.from_numpy(places[: len(given), :2]).float()

    built.learner.encoders.critic = Reads()
    found = measure(built, scenes).summary()
    assert found.rank_correlation == pytest.approx(1, abs=0.001)
    assert abs(found.gripper_rank_correlation) < 0.3


def test_goals_that_a_space_of_positions_chooses_are_what_the_replay_keeps(registry):
    built = build_request(make_request(registry, None, track="state"), registry)
    wanted = torch.full((1, 3), 1.3)
    with VectorEnvironment(get_task("FetchReach-v4"), make_request(registry, None).scene, None, 1) as environment:
        rollout = Rollout(environment, get_task("FetchReach-v4"), built, [0], lambda task: Pursued(wanted))
        while not rollout.over:
            rollout.begin(np.zeros((1, 4), np.float32))
            rollout.finish()
    assert np.array_equal(rollout.episodes().desired, wanted.numpy())
    assert not np.array_equal(rollout.desired, wanted.numpy())
