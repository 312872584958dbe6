"""Probes: their scenes, their points along a run, and what they find where that is known."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from fetchbench.environment import Observations, VectorEnvironment, get_task
from fetchbench.errors import DivergedError
from fetchbench.protocol import Budget, Evaluation, Scene
from fetchbench.run.prepare import build_request
from fetchbench.run.probes import SCENES_PER_RESET, Probes, draw_scenes, embed, scene_count
from fetchbench.specs import PixelSpec
from fetchbench.statistics.probing import read_out

from .conftest import make_request

REACH, PUSH = get_task("FetchReach-v4"), get_task("FetchPush-v4")


class Recorder:
    """Stands in for an environment: counts what it is told, and shows the count in its frames and observations."""

    def __init__(self, task, count: int) -> None:
        self.task, self.count, self.calls, self.seeds = task, count, [], []

    def _tell(self, what: str) -> Observations:
        self.calls.append(what)
        n, number = self.count, len(self.calls)
        observation = np.full((n, self.task.observation_dim), float(number))
        frames = np.full((n, 3, 4, 4), number, np.uint8)
        return Observations(observation, np.full((n, 3), -float(number)), np.zeros((n, 3)), frames)

    def reset(self, seeds):
        self.seeds += seeds
        return self._tell("reset")

    def scatter(self, seeds):
        self.seeds += seeds
        return self._tell("scatter")

    def step(self, action):
        assert action.shape == (self.count, 4)
        assert np.abs(action).max() <= 1
        return self._tell("step")


# -- scenes -----------------------------------------------------------------------------------------------------------


def test_a_stack_is_of_consecutive_frames_after_the_scene_was_set_and_positions_are_of_its_last():
    recorder = Recorder(PUSH, 2)
    scenes = draw_scenes(recorder, PUSH, 3, 2 * SCENES_PER_RESET)
    assert recorder.calls == ["reset", *["scatter", "step", "step"] * SCENES_PER_RESET]
    assert len(set(recorder.seeds)) == 2 + 2 * SCENES_PER_RESET
    assert scenes.frames.shape == (20, 3, 3, 4, 4)
    np.testing.assert_array_equal(scenes.frames[:2, :, 0, 0, 0], [[2, 3, 4], [5, 6, 7]])
    np.testing.assert_array_equal(scenes.positions["gripper_xyz"][:2, 0], [4, 7])
    np.testing.assert_array_equal(scenes.positions["object_xy"][:2], [[-4, -4], [-7, -7]])
    np.testing.assert_array_equal(scenes.resets, [0] * 10 + [1] * 10)


def test_scenes_are_the_same_however_many_environments_draw_them():
    found = []
    for count, workers, scenes in ((1, 1, 20), (3, 2, 30)):
        with VectorEnvironment(PUSH, Scene(), PixelSpec(size=16), count, workers=workers) as environment:
            found.append(draw_scenes(environment, PUSH, 2, scenes))
    alone, together = found
    # Fewer scenes are the first of more.
    np.testing.assert_array_equal(alone.frames, together.frames[:20])
    np.testing.assert_array_equal(alone.resets, together.resets[:20])
    for name, positions in alone.positions.items():
        np.testing.assert_array_equal(positions, together.positions[name][:20])
    assert len(np.unique(alone.frames.reshape(20, -1), axis=0)) == 20


def test_pixels_tell_where_things_are_on_scenes_they_were_not_fitted_to():
    for task, wanted in ((REACH, {"gripper_xyz": 0.5}), (PUSH, {"gripper_xyz": 0.2, "object_xy": 0.5})):
        with VectorEnvironment(task, Scene(), PixelSpec(size=24), 2, workers=2) as environment:
            scenes = draw_scenes(environment, task, 1, 300)
        pixels = scenes.frames.reshape(300, -1)
        found = read_out(pixels, scenes.positions, scenes.resets)
        assert found.keys() == wanted.keys()
        for name, r2 in wanted.items():
            assert found[name].r2 > r2
            assert found[name].error < found[name].mean_error
        shuffled = np.random.default_rng(0).permutation(pixels)
        assert all(value.r2 < 0.02 for value in read_out(shuffled, scenes.positions, scenes.resets).values())


@pytest.mark.parametrize(
    ("steps", "stack", "frozen", "expected"),
    [
        (1_000_000, 4, False, 2000),
        (20_000, 4, False, 2000),
        (4_000, 1, False, 400),
        (19_999, 1, False, 1990),  # whole resets
        (200, 1, False, 50),  # what five folds need
        (1_000_000, 4, True, 2000),
        (20_000, 1, True, 1200),  # 20,000 steps and 20 evaluations of 40 episodes
        (20_000, 3, True, 400),
        (200, 3, True, 50),
    ],
)
def test_the_number_of_scenes_follows_from_the_request(registry, steps, stack, frozen, expected):
    request = make_request(registry, budget=Budget(steps=steps), evaluation=Evaluation(every_steps=1000, episodes=40))
    method = request.method.model_copy(update={"pixels": PixelSpec(size=16, stack=stack)})
    assert scene_count(request.model_copy(update={"method": method}), frozen) == expected


# -- points of a run --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reach() -> Iterator[VectorEnvironment]:
    """What the small runs on FetchReach draw with; nothing of one is left in it for the next."""
    with VectorEnvironment(REACH, Scene(), PixelSpec(size=16), 1) as environment:
        yield environment


def small(registry, routing: str = "critic", **fields):
    """A run of 400 steps, and its networks."""
    request = make_request(registry, routing=routing, **fields)
    return request, build_request(request, registry)


def learn(built) -> None:
    """A change of the encoders that stands for some updates."""
    with torch.no_grad():
        for _, encoder in built.learner.encoders.named():
            for parameter in encoder.parameters():
                parameter.mul_(1.25)
    built.learner.updates += 10


def test_an_encoder_that_learns_is_probed_at_the_start_and_after_each_quarter(registry):
    request, built = small(registry, task="FetchPush-v4", pixel_track="pixels")
    with VectorEnvironment(PUSH, request.scene, built.rendered, 1) as environment:
        probes = Probes(request, built, environment)
        taken = []
        for steps in range(0, 450, 50):
            taken += [steps] * len(probes.take(steps))
            learn(built)
    assert taken == [0, 100, 200, 300, 400] == [point.steps for point in probes.points]
    assert [point.updates for point in probes.points] == [0, 20, 40, 60, 80]
    assert [point.drift is None for point in probes.points] == [True, False, False, False, False]
    assert all(point.drift > 0 for point in probes.points[1:])
    for point in probes.points:
        assert (point.encoder, point.scenes) == ("encoder", 50)
        assert point.r2.keys() == point.error_cm.keys() == point.mean_error_cm.keys() == {"gripper_xyz", "object_xy"}
        assert 11 < point.mean_error_cm["gripper_xyz"] < 19
        assert 9 < point.mean_error_cm["object_xy"] < 14
        assert 1 < point.effective_rank <= 49
    assert probes.spent_s > 0


def test_a_point_is_never_taken_twice_and_one_round_may_pass_two(registry, reach):
    request, built = small(registry, budget=Budget(steps=100))
    probes = Probes(request, built, reach)
    for steps in (0, 0, 50, 50, 150, 150):
        probes.take(steps)
    assert [point.steps for point in probes.points] == [0, 50, 150]


def test_a_frozen_encoder_is_probed_once_and_its_scenes_are_not_kept(registry, reach):
    request, built = small(registry, "frozen")
    probes = Probes(request, built, reach)
    for steps in (0, 200, 400):
        probes.take(steps)
    assert [(point.steps, point.drift) for point in probes.points] == [(0, None)]
    assert probes._scenes is None
    assert not probes.state_dict()["before"]


def test_two_encoders_are_probed_apart(registry, reach):
    request, built = small(registry, "separate")
    probes = Probes(request, built, reach)
    critic, actor = probes.take(0)
    with torch.no_grad():
        for parameter in built.learner.encoders.actor.parameters():
            parameter.mul_(1.25)
    later = probes.take(100)
    assert [point.encoder for point in (critic, actor)] == ["critic encoder", "actor encoder"]
    assert critic.r2 == actor.r2  # they start from the same weights
    assert later[0].drift == 0
    assert later[1].drift > 0


def test_a_run_without_frames_is_not_probed(registry):
    request = make_request(registry, None)
    recorder = Recorder(REACH, 1)
    assert Probes(request, build_request(request, registry), recorder).take(0) == []
    assert not recorder.calls


def test_what_was_saved_continues_to_the_same_points(registry, reach, tmp_path):
    request, built = small(registry)
    whole = Probes(request, built, reach)
    for steps in (0, 100, 200):
        if steps == 200:
            torch.save(whole.state_dict(), tmp_path / "state.pt")
        whole.take(steps)
        learn(built)
    request, built = small(registry)
    learn(built)
    learn(built)
    continued = Probes(request, built, reach)
    continued.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    continued.take(100)  # where it was
    continued.take(200)
    assert [p.model_dump_json() for p in continued.points] == [p.model_dump_json() for p in whole.points]


def test_features_are_those_of_acting(registry):
    """In evaluation mode, after what the augmentation does there, whatever the batches; nothing is drawn or left changed."""
    _, built = small(registry)
    learner = built.learner
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(2 * 3 * 4 * 4), torch.nn.Dropout())
    learner.encoders.critic = learner.encoders.actor = encoder

    class Halve:
        def evaluate(self, frames):
            return frames // 2

    learner.augmentation = Halve()
    learner.encoders.train()
    frames = np.random.default_rng(0).integers(256, size=(300, 2, 3, 4, 4), dtype=np.uint8)
    # BatchNorm takes floats alone.
    encoder.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    before, drawn = {k: v.clone() for k, v in encoder.state_dict().items()}, torch.get_rng_state()
    z = embed(learner, encoder, frames)
    np.testing.assert_allclose(z, (frames // 2).reshape(300, -1) / np.sqrt(1 + 1e-5), rtol=1e-6)
    assert encoder.training
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)


def test_features_that_are_not_finite_end_the_run_as_diverged(registry, reach):
    request, built = small(registry)
    with torch.no_grad():
        next(iter(built.learner.encoders.critic.parameters())).fill_(float("nan"))
        with pytest.raises(DivergedError, match="a feature of the encoder is not finite after 0 updates"):
            Probes(request, built, reach).take(0)


# -- a whole run ------------------------------------------------------------------------------------------------------


def test_probes_are_part_of_a_runs_result_and_survive_a_kill(registry, run_folder):
    request = make_request(registry, routing="separate", budget=Budget(steps=300, checkpoint_every_steps=50))
    whole, parts = run_folder(request, "whole"), run_folder(request, "parts")
    whole.finish()
    probes = whole.record.result.probes
    assert [(point.steps, point.encoder) for point in probes] == [
        (steps, name) for steps in (0, 100, 150, 250, 300) for name in ("critic encoder", "actor encoder")
    ]
    assert [line["steps"] for line in whole.lines("probe")] == [point.steps for point in probes]
    assert probes[-1].drift > 0
    assert 0 < whole.record.cost.probe_s < whole.record.cost.wall_s
    # Between two points: the next drift is measured from what the checkpoint kept.
    parts.stop_when(lambda: len(parts.lines("probe")) == 6 and parts.has_checkpoint(), signal.SIGKILL)
    parts.finish()
    assert parts.record.cost.attempts == 2
    assert parts.record.result.model_dump_json() == whole.record.result.model_dump_json()
