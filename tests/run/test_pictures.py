"""Pictures of runs: what the encoder was given, where it points, and files that open."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from fetchbench.environment.tasks import get_task
from fetchbench.environment.vector import Observations
from fetchbench.errors import FetchbenchError, PluginError, RenderingError
from fetchbench.learner.build import Built
from fetchbench.protocol import Budget
from fetchbench.records.schema import Component, EvaluationPoint, RunRequest
from fetchbench.registry import Registry
from fetchbench.run import film, pictures
from fetchbench.run.look import look
from fetchbench.run.pictures import draw, draw_finished, draw_trained, rows, titles, write_video
from fetchbench.run.plugins import load_plugins
from fetchbench.run.prepare import build_request
from fetchbench.run.rollout import Rollout
from fetchbench.run.streams import evaluation_seed
from fetchbench.run.trained import InputPart, Trained, build_run, input_parts, restore
from fetchbench.specs import PixelSpec

from .conftest import TINY, make_request

PLUGIN = '''
"""An encoder that points, one that has a map alone, a crop, and a decoder."""
import torch
from torch import nn
from fetchbench import AugmentationSpec, AuxiliaryLossSpec, EncoderSpec, hookimpl

class Mean(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, frames):
        return frames.float().mean(dim=(1, 2, 3, 4))[:, None] / 255 * self.weight

class Pointing(Mean):
    def points(self, frames):
        self.asked = frames
        brightness = frames.float().mean(dim=(1, 2, 3, 4)) / 255
        corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).expand(len(frames), 2, 2)
        return torch.cat([corners, brightness[:, None, None].expand(-1, 1, 2)], dim=1)

class Mapping(Mean):
    def feature_map(self, frames):
        ramp = torch.arange(6.0).view(1, 1, 2, 3)
        return torch.cat([ramp, 3 * ramp], dim=1).expand(len(frames), 2, 2, 3)

class Mispointing(Mean):
    def points(self, frames):
        return torch.zeros(len(frames), 3)

class Crop:
    """Two pixels off each side."""

    def __init__(self, shape):
        pass

    def __call__(self, frames, draws):
        return self.evaluate(frames)

    def evaluate(self, frames):
        return frames[..., 2:-2, 2:-2]

class Decoder(nn.Module):
    """Draws frames as bright as their features, the newest half as bright."""

    def __init__(self, context):
        super().__init__()
        self.shape = context.shape

    def forward(self, inputs):
        return inputs.encode(inputs.frames[:, : self.shape.frames]).square().mean(), {}

    def reconstruct(self, z):
        brightness = torch.linspace(1, 0.5, self.shape.frames)[None] * z[:, :1] * 255
        return brightness.to(torch.uint8)[:, :, None, None, None].expand(-1, *self.shape)

@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(name="pointing", build=Pointing)
    yield EncoderSpec(name="pointing-frame", build=Pointing, input="frame")
    yield EncoderSpec(name="mapping", build=Mapping)
    yield EncoderSpec(name="mispointing", build=Mispointing)

@hookimpl
def fetchbench_augmentations():
    yield AugmentationSpec(name="tight", build=Crop, draws=0, input_size=lambda size: size + 4)

@hookimpl
def fetchbench_auxiliary_losses():
    yield AuxiliaryLossSpec(name="decoder", build=Decoder)
'''

POINT = EvaluationPoint(
    steps=200,
    updates=50,
    success=0.5,
    success_any=0.5,
    success_last_ten=0.5,
    success_raw=0.5,
    episodes=2,
    drawn=2,
    return_mean=-30.0,
    distance_m=0.1,
)
MOMENTS = [0, 1, 4, 50]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("plugin") / "pointing.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(scope="module")
def known(plugin) -> Registry:
    return load_plugins([plugin])


def request_of(registry: Registry, encoder: str, *, routing: str = "critic", **fields: Any) -> RunRequest:
    """A tiny run on FetchReach; ``augmentation`` and ``auxiliary_loss`` by name."""
    request = make_request(registry, encoder, routing, **TINY)
    parts = {
        field: registry.resolve(field.replace("_", "-"), Component(name=fields.pop(field)))
        for field in ("augmentation", "auxiliary_loss")
        if field in fields
    }
    return request.model_copy(update={"method": request.method.model_copy(update=parts), **fields})


@pytest.fixture(scope="module")
def built_of(known) -> Callable[..., Built]:
    def make(encoder: str, **fields: Any) -> Built:
        return build_request(request_of(known, encoder, **fields), known)

    return make


class Noise:
    """Stands in for the environments: frames without meaning, no MuJoCo."""

    def __init__(self, size: int, count: int = 1, solved: Callable[[int], bool] = lambda seed: False) -> None:
        self.count, self.size, self.solved = count, size, solved
        self.generator = np.random.default_rng(0)

    def reset(self, seeds: list[int]) -> Observations:
        self.seeds = seeds
        return self.step_wait()

    def step_async(self, action: np.ndarray) -> None:
        pass

    def step_wait(self) -> Observations:
        frames = self.generator.integers(0, 256, (self.count, 3, self.size, self.size), dtype=np.uint8)
        desired = np.array([[0.0 if self.solved(seed) else 1.0] * 3 for seed in self.seeds])
        return Observations(np.zeros((self.count, 10)), np.zeros((self.count, 3)), desired, frames)


def frames_of(built: Built, steps: int = 51) -> np.ndarray:
    assert built.rendered is not None
    size = built.rendered.size
    return np.random.default_rng(1).integers(0, 256, (steps, 3, size, size), dtype=np.uint8)


# -- what the encoder sees --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augmentation", [{}, {"augmentation": "tight"}], ids=["frames as drawn", "cropped"])
def test_the_frames_shown_are_those_that_the_policy_was_given(built_of, augmentation):
    built = built_of("pointing", **augmentation)
    given: list[torch.Tensor] = []
    hook = built.learner.encoders.actor.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    environment: Any = Noise(built.rendered.size)
    assert environment.size == (20 if augmentation else 16)
    rollout = Rollout(environment, get_task("FetchReach-v4"), built, [0])
    while not rollout.over:
        rollout.begin(rollout.act())
        rollout.finish()
    hook.remove()
    moments = MOMENTS[:-1]  # nothing is decided at the last state
    seen = look(built, rollout.frames[0], moments)
    assert seen.frames.shape == (3, 3, 16, 16)
    np.testing.assert_array_equal(seen.frames, torch.cat([given[moment][:, -1] for moment in moments]))


def test_points_are_the_encoders_own_for_each_stack(built_of):
    built = built_of("pointing")
    frames = frames_of(built)
    seen = look(built, frames, MOMENTS)
    assert (seen.stack, seen.channels) == (2, 3)
    brightness = [frames[[max(moment - 1, 0), moment]].mean() / 255 for moment in MOMENTS]
    expected = [[[-1, -1], [1, 1], [value, value]] for value in brightness]
    np.testing.assert_allclose(seen.points, expected, atol=1e-6)
    assert seen.activation is None
    assert seen.reconstruction is None


def test_an_encoder_of_single_frames_is_asked_about_the_newest_alone(built_of):
    built = built_of("pointing-frame")
    frames = frames_of(built)
    seen = look(built, frames, MOMENTS)
    np.testing.assert_allclose(seen.points[:, 2, 0], frames[MOMENTS].mean(axis=(1, 2, 3)) / 255, atol=1e-6)
    assert built.learner.encoders.actor.encoder.asked.shape == (4, 1, 3, 16, 16)


def test_without_points_the_feature_map_stands_in_averaged_over_channels(built_of):
    built = built_of("mapping")
    seen = look(built, frames_of(built), MOMENTS)
    assert seen.points is None
    assert seen.channels == 2
    np.testing.assert_array_equal(seen.activation, [[[0, 2, 4], [6, 8, 10]]] * 4)


def test_the_reconstruction_is_the_newest_frame_that_the_decoder_draws(built_of):
    built = built_of("pointing", auxiliary_loss="decoder")
    frames = frames_of(built)
    seen = look(built, frames, MOMENTS)
    brightness = np.array([frames[[max(moment - 1, 0), moment]].mean() for moment in MOMENTS])
    assert seen.reconstruction.shape == seen.frames.shape
    np.testing.assert_allclose(seen.reconstruction.mean(axis=(1, 2, 3)), brightness / 2, atol=1)


def test_the_decoder_reads_the_encoder_that_its_loss_trains(built_of):
    built = built_of("pointing", auxiliary_loss="decoder", routing="separate")
    with torch.no_grad():
        built.learner.encoders.actor.weight.zero_()
    assert look(built, frames_of(built), MOMENTS).reconstruction.min() > 0


def test_looking_changes_nothing_in_the_networks(built_of):
    built = built_of("mapping")
    look(built, frames_of(built), MOMENTS)
    assert built.learner.encoders.training
    assert all(parameter.grad is None for parameter in built.learner.encoders.parameters())


def test_points_of_the_wrong_shape_are_the_plugins_fault(built_of):
    built = built_of("mispointing")
    with pytest.raises(PluginError, match=r"encoder Mispointing: points returns shape \(4, 3\); it must be \(4, \*, 2\)"):
        look(built, frames_of(built), MOMENTS)
    built.learner.encoders.actor.points = lambda frames: (frames, frames)
    with pytest.raises(PluginError, match="encoder Mispointing: points returns tuple; it must be a tensor"):
        look(built, frames_of(built), MOMENTS)


# -- the rows of the sheet --------------------------------------------------------------------------------------------


def episode_of(built: Built) -> film.Episode:
    distance = np.linspace(0.1, 0.0, 51)
    views = np.random.default_rng(2).integers(0, 256, (51, 3, 32, 32), dtype=np.uint8)
    frames = None if built.rendered is None else frames_of(built)
    return film.Episode(7, np.zeros((51, 3)), np.zeros(3), distance, distance < 0.05, views, frames)


def test_rows_hold_the_rollout_the_encoders_frames_its_points_and_reconstructions(built_of):
    built = built_of("pointing", auxiliary_loss="decoder")
    episode = episode_of(built)
    seen = look(built, episode.frames, MOMENTS)
    rollout, given, pointed, decoded = rows(episode, MOMENTS, seen)
    np.testing.assert_array_equal(rollout.frames, episode.views[MOMENTS])
    assert rollout.notes == ["10.0 cm", "9.8 cm", "9.2 cm", "0.0 cm"]
    assert rollout.marked == [False, False, False, True]
    np.testing.assert_array_equal(given.frames, episode.frames[MOMENTS])
    assert "16 x 16 pixels\nnewest of 2 frames" in given.caption
    assert not given.smooth
    np.testing.assert_array_equal(pointed.points, seen.points)
    assert "its 3 channels" in pointed.caption
    np.testing.assert_array_equal(decoded.frames, seen.reconstruction)


def test_a_feature_map_is_laid_over_the_frames_as_heat(built_of):
    built = built_of("mapping")
    episode = episode_of(built)
    seen = look(built, episode.frames, MOMENTS)
    *_, heat = rows(episode, MOMENTS, seen)
    np.testing.assert_array_equal(heat.heat, seen.activation)
    assert "mean of its 2\nfeature maps, 2 x 3" in heat.caption


def test_without_an_encoder_there_is_the_rollout_alone(known):
    built = build_request(make_request(known, None), known)
    episode = episode_of(built)
    (row,) = rows(episode, MOMENTS, None)
    np.testing.assert_array_equal(row.frames, episode.views[MOMENTS])
    shot = list(pictures.film(built, episode))
    np.testing.assert_array_equal(shot, episode.views.transpose(0, 2, 3, 1))


def test_the_title_says_how_good_the_run_is(known):
    request = request_of(known, "pointing")
    built = build_request(request, known)
    going = Trained(request, built, 100, [POINT.model_copy(update={"steps": 100})])
    done = Trained(request, built, 200, [POINT, POINT.model_copy(update={"success": 1.0})])
    assert titles(done)[0] == "FetchReach-v4 · pointing · seed 0"
    assert "step 200 of 200 · score 0.75 (success, mean of the last 2 evaluations)" in titles(done)[1]
    assert "step 100 of 200 · success 0.50 in the last evaluation, at step 100" in titles(going)[1]
    assert "not evaluated yet" in titles(dataclasses.replace(going, evaluations=[]))[1]


# -- the video --------------------------------------------------------------------------------------------------------


def test_the_video_shows_the_encoders_frames_beside_the_rollout(built_of):
    built = built_of("pointing")
    episode = episode_of(built)
    shot = np.stack(list(pictures.film(built, episode)))
    assert shot.shape == (51, 32, 64, 3)
    np.testing.assert_array_equal(shot[:, :, :32], episode.views.transpose(0, 2, 3, 1))
    # Enlarged twice, every pixel a square.
    np.testing.assert_array_equal(shot[:, ::2, 32::2], episode.frames.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(shot[:, 1::2, 33::2], episode.frames.transpose(0, 2, 3, 1))


def test_panels_of_odd_and_unequal_sizes_are_padded_to_even_ones(built_of):
    built = built_of("pointing")
    odd = dataclasses.replace(episode_of(built), views=np.full((51, 3, 19, 19), 9, np.uint8))
    (first, *_) = pictures.film(built, odd)
    assert first.shape == (20, 36, 3)
    assert (first[:19, :19] == 9).all()


def test_a_video_is_real_time_h264_with_every_frame(tmp_path):
    frames = np.zeros((60, 32, 48, 3), np.uint8)
    frames[30:] = 255
    path = tmp_path / "new" / "film.mp4"
    write_video(path, iter(frames))
    assert imageio_ffmpeg.count_frames_and_secs(str(path)) == (60, pytest.approx(2.4, abs=0.05))
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    assert (about["codec"], about["fps"], about["size"]) == ("h264", 25.0, (48, 32))
    assert about["pix_fmt"].startswith("yuv420p")
    back = [np.frombuffer(frame, np.uint8).mean() for frame in reader]
    np.testing.assert_allclose(back, frames.mean(axis=(1, 2, 3)), atol=2)
    assert [file.name for file in path.parent.iterdir()] == ["film.mp4"]


# -- episodes ---------------------------------------------------------------------------------------------------------


def test_episodes_that_begin_solved_are_passed_over():
    environment: Any = Noise(16, count=2, solved=lambda seed: seed in (10, 12, 13, 14))
    assert film.unsolved(environment, get_task("FetchReach-v4"), lambda i: 10 + i) == [11, 15]


def test_both_environments_run_the_last_evaluations_episodes(known, monkeypatch):
    """On FetchPush, whose contacts would show the least difference."""
    request = request_of(known, "pointing", task="FetchPush-v4")
    trained = Trained(request, build_request(request, known), 200, [POINT, POINT, POINT])
    states: dict[int, list[np.ndarray]] = {}

    class Recorded(film.FilmedEnvironment):
        def step_wait(self) -> Observations:
            state = super().step_wait()
            states.setdefault(state.frames.shape[-1], []).append(state.achieved)
            return state

    monkeypatch.setattr(film, "FilmedEnvironment", Recorded)
    episodes = film.shoot(trained)
    played, watched = np.stack(states[16][-51:]), np.stack(states[256])  # (T+1, N, 3)
    np.testing.assert_array_equal(played, watched)
    np.testing.assert_array_equal([episode.achieved for episode in episodes], played.swapaxes(0, 1))
    drawn = [evaluation_seed("FetchPush-v4", 0, 2, i) for i in range(20)]
    assert all(episode.seed in drawn and not episode.solved[0] for episode in episodes)
    assert [(episode.views.shape, episode.frames.shape) for episode in episodes] == [((51, 3, 256, 256), (51, 3, 16, 16))] * 2
    # Same camera, at the same moment: the large frames look like the small ones, but for the marker.
    small = episodes[0].views.reshape(51, 3, 16, 16, 16, 16).mean(axis=(3, 5))
    assert np.abs(small - episodes[0].frames).mean() < 12
    assert np.abs(small - episodes[0].frames[::-1]).mean() > np.abs(small - episodes[0].frames).mean()


# -- whole runs -------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_restored_and_drawn(known, plugin, run_folder):
    request = request_of(known, "pointing", auxiliary_loss="decoder")
    run = run_folder(request, plugins=[plugin])
    with pytest.raises(FetchbenchError, match="holds no checkpoint yet"):
        draw(run.folder, [plugin])
    run.finish()
    trained = restore(run.folder, *build_run(run.folder, [plugin]))
    result = run.record.result
    assert (trained.steps, trained.built.learner.updates) == (result.steps, result.updates)
    assert trained.evaluations == result.evaluations
    assert trained.score == result.score
    made = draw_trained(run.folder, trained)
    assert made.goal_distance is None
    assert made.paths == (run.folder / "pictures" / "contact-sheet.png", run.folder / "pictures" / "rollout.mp4")
    assert len(made.lines) == 2
    with Image.open(made.contact_sheet) as image:
        assert image.format == "PNG"
        # Two episodes of four rows, eight columns.
        assert image.width > 8 * 150
        assert image.height > 8 * 150
    assert imageio_ffmpeg.count_frames_and_secs(str(made.video))[0] == 2 * 51


def test_a_long_run_draws_by_itself_and_a_failure_is_a_notice(known, monkeypatch, tmp_path):
    drawn: list[Path] = []
    monkeypatch.setattr(pictures, "draw_trained", lambda folder, trained: drawn.append(folder))

    def trained(steps: int) -> Any:
        return SimpleNamespace(request=request_of(known, "pointing", budget=Budget(steps=steps)))

    assert draw_finished(tmp_path, trained(999)) == ""
    assert drawn == []
    assert draw_finished(tmp_path, trained(1000)) == ""
    assert drawn == [tmp_path]

    def fail(*_: object) -> None:
        raise RenderingError("no usable\nOpenGL")

    monkeypatch.setattr(pictures, "draw_trained", fail)
    again = f"`fetchbench show {tmp_path}` (with the same --plugin) tries again"
    expected = f"no pictures: RenderingError: no usable OpenGL; {again}"
    assert draw_finished(tmp_path, trained(1000)) == expected


# -- inputs -----------------------------------------------------------------------------------------------------------


def inputs_of(registry: Registry, encoder: str | None, task: str, track: str, **fields: Any) -> tuple[list[InputPart], Built]:
    request = make_request(registry, encoder, track=track, task=task, **fields)
    built = build_request(request, registry)
    return input_parts(request, built), built


def test_the_seeds_configuration_has_eighty_inputs(known):
    pixels = PixelSpec(size=84, stack=4)
    request = make_request(known, "spatial-softmax", track="pixels-privileged", task="FetchPush-v4")
    request = request.model_copy(update={"method": request.method.model_copy(update={"pixels": pixels})})
    built = build_request(request, known)
    parts = input_parts(request, built)
    assert [(part.name, part.width) for part in parts] == [
        ("encoder", 64),
        ("proprioception", 10),
        ("achieved goal", 3),
        ("goal", 3),
    ]
    assert sum(part.width for part in parts) == built.learner.actor.net[0].in_features == 80


def test_inputs_of_other_tracks(known):
    widths = {
        "state": {"observation": 25, "goal": 3},
        "blind": {"proprioception": 10, "goal": 3},
        "pixels": {"encoder": 4, "proprioception": 10, "goal": 3},
        "pixels-only": {"encoder": 4, "goal": 3},
    }
    for track, expected in widths.items():
        encoder = "pointing" if track.startswith("pixels") else None
        parts, built = inputs_of(known, encoder, "FetchPush-v4", track, pixel_track="pixels")
        assert {part.name: part.width for part in parts} == expected
        assert built.learner.actor.net[0].in_features == sum(expected.values())


def test_a_trunk_is_shown_with_the_features_that_it_reads(known):
    request = make_request(known, "spatial-softmax", "frozen")
    parts = input_parts(request, build_request(request, known))
    assert parts == [InputPart("encoder", 50, features=64), InputPart("goal", 3)]
