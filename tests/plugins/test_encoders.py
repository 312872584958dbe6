"""The bundled encoders against what their papers say, and against pictures whose truth is known."""

from __future__ import annotations

import copy
import inspect
import math

import pytest
import torch
from torch import Tensor, nn

from fetchbench.registry import load_registry
from fetchbench.specs import EncoderSpec, FrameShape

REGISTRY = load_registry()
ENCODERS = REGISTRY.names("encoder")
SHAPES = [FrameShape(1, 64, 64), FrameShape(4, 84, 84), FrameShape(2, 65, 50)]


def spec_of(name: str) -> EncoderSpec:
    spec = REGISTRY.get("encoder", name).spec
    assert isinstance(spec, EncoderSpec)
    return spec


def build(name: str, shape: FrameShape = FrameShape(4, 84, 84), seed: int = 0, **options) -> nn.Module:  # noqa: B008
    """An encoder by its name, or ``"outer(inner)"`` with options for the outer one."""
    torch.manual_seed(seed)
    outer, _, inner = name.partition("(")
    wrapped = [spec_of(inner.removesuffix(")")).build(shape)] if inner else []
    return spec_of(outer).build(shape, *wrapped, **options)


def standing_alone(name: str) -> list[str]:
    """How to build an encoder that needs no checkpoint: by itself, or around another. Those with one are tested apart."""
    spec = spec_of(name)
    if spec.weights or "weights" in inspect.signature(spec.build).parameters:
        return []
    return [f"{name}(manipulation)" if spec.wraps else name]


CONTRACT = [build_as for name in ENCODERS for build_as in standing_alone(name)]


def noise(shape: FrameShape, batch: int = 3) -> Tensor:
    return torch.randint(0, 256, (batch, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def outputs(encoder: nn.Module, frames: Tensor) -> Tensor:
    """All that losses can ask of an encoder: where its features have a variance, that too."""
    return torch.cat(encoder.moments(frames)) if hasattr(encoder, "moments") else encoder(frames)


# -- what every encoder promises --------------------------------------------------------------------------------------


def test_all_are_there():
    scratch = {"nature", "manipulation", "spatial-softmax", "spatial-softmax-seed", "drqv2", "impala", "vit-tiny"}
    assert scratch | {"coordconv(manipulation)"} <= set(CONTRACT)
    assert not REGISTRY.failures


@pytest.mark.parametrize("name", ENCODERS)
def test_each_says_what_it_is(name):
    spec = spec_of(name)
    assert spec.summary
    assert spec.source
    assert spec.preprocessing


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", CONTRACT)
def test_frames_become_a_vector_each(name, shape):
    frames = noise(shape)
    before = frames.clone()
    z = build(name, shape)(frames)
    assert z.dtype == torch.float32
    assert z.ndim == 2
    assert len(z) == 3
    assert torch.equal(frames, before)


@pytest.mark.parametrize("name", CONTRACT)
def test_an_elements_features_do_not_depend_on_its_batch(name):
    shape = FrameShape(2, 64, 64)
    encoder, frames = build(name, shape), noise(shape)
    others = frames.clone()
    others[1:] = 255 - others[1:]
    with torch.no_grad():
        assert torch.equal(encoder(frames)[0], encoder(others)[0])
        torch.testing.assert_close(encoder(frames), torch.cat([encoder(f[None]) for f in frames]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CONTRACT)
def test_features_are_a_function_of_the_frames_alone(name):
    shape = FrameShape(1, 64, 64)
    encoder, frames = build(name, shape), noise(shape)
    with torch.no_grad():
        generator = torch.get_rng_state()
        first = encoder.train()(frames)
        assert torch.equal(torch.get_rng_state(), generator)
        torch.rand(5)
        assert torch.equal(encoder.train()(frames), first)
        assert torch.equal(encoder.eval()(frames), first)
        assert not torch.equal(encoder(noise(shape).flip(-1)), first)


@pytest.mark.parametrize("name", CONTRACT)
def test_no_frame_gives_anything_but_numbers(name):
    shape = FrameShape(1, 64, 64)
    encoder = build(name, shape)
    frames = torch.stack([torch.full(tuple(shape), v, dtype=torch.uint8) for v in (0, 255)])
    z = outputs(encoder, torch.cat([frames, noise(shape)]))
    z.square().sum().backward()
    assert z.isfinite().all()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("name", CONTRACT)
def test_the_gradient_reaches_every_parameter(name):
    shape = FrameShape(2, 64, 64)
    encoder = build(name, shape)
    z = outputs(encoder, noise(shape, batch=8))
    (z * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", CONTRACT)
def test_its_state_is_all_that_it_has(name):
    shape = FrameShape(1, 64, 64)
    one, other, frames = build(name, shape, seed=0), build(name, shape, seed=1), noise(shape)
    with torch.no_grad():
        assert not torch.equal(one(frames), other(frames))
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(frames), other(frames))


@pytest.mark.parametrize("name", CONTRACT)
def test_a_copy_is_an_encoder_of_its_own(name):
    shape = FrameShape(1, 64, 64)
    encoder, frames = build(name, shape), noise(shape)
    with torch.no_grad():
        before = encoder(frames)
        copied = copy.deepcopy(encoder)
        assert torch.equal(copied(frames), before)
        for parameter in copied.parameters():
            parameter.mul_(-2)
        assert not torch.equal(copied(frames), before)
        assert torch.equal(encoder(frames), before)


@pytest.mark.parametrize("name", CONTRACT)
def test_the_compiler_sees_it_whole(name):
    """One graph without breaks: ``fullgraph`` refuses any Python that depends on values."""
    shape = FrameShape(2, 64, 64)
    encoder, frames = build(name, shape), noise(shape)
    torch._dynamo.reset()
    with torch.no_grad():
        whole = torch.compile(encoder, backend="eager", fullgraph=True)
        torch.testing.assert_close(whole(frames), encoder(frames))


@pytest.mark.parametrize("name", CONTRACT)
def test_bfloat16_changes_the_features_little(name):
    shape = FrameShape(2, 64, 64)
    encoder, frames = build(name, shape), noise(shape)
    with torch.no_grad():
        exact = encoder(frames)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = encoder(frames).float()
    assert (rounded - exact).abs().max() < 0.03 * exact.abs().max() + 0.005


@pytest.mark.parametrize("name", CONTRACT)
def test_what_it_offers_has_the_shape_that_is_promised(name):
    shape = FrameShape(2, 64, 64)
    encoder, frames = build(name, shape), noise(shape)
    with torch.no_grad():
        z = encoder(frames)
        if hasattr(encoder, "moments"):
            mean, log_variance = encoder.moments(frames)
            assert mean.shape == log_variance.shape == z.shape
        if hasattr(encoder, "feature_map"):
            assert encoder.feature_map(frames).shape[:1] == (3,)
            assert encoder.feature_map(frames).ndim == 4
        if hasattr(encoder, "points"):
            points = encoder.points(frames)
            assert points.shape[::2] == (3, 2)
            assert points.abs().max() <= 1


@pytest.mark.parametrize("name", CONTRACT)
def test_every_frame_of_the_stack_counts(name):
    shape = FrameShape(3, 64, 64)
    encoder, frames = build(name, shape), noise(shape, batch=1)
    with torch.no_grad():
        before = encoder(frames)
        for index in range(3):
            other = frames.clone()
            other[:, index] = 255 - other[:, index]
            assert not torch.equal(encoder(other), before)


# -- single encoders --------------------------------------------------------------------------------------------------


def convolutions(module: nn.Module) -> int:
    return sum(p.numel() for m in module.modules() if isinstance(m, nn.Conv2d) for p in m.parameters())


def total(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", ["manipulation", "spatial-softmax", "spatial-softmax-seed"])
def test_the_manipulation_convolutions(name):
    """Four 3x3 layers of 32: 31,232 parameters for four RGB frames, 84 -> 21x21x32."""
    encoder = build(name)
    assert convolutions(encoder) == 31_232
    maps = encoder.convolutions[:8](torch.zeros(1, 12, 84, 84))
    assert maps.shape == (1, 32, 21, 21)
    assert [m.stride for m in encoder.modules() if isinstance(m, nn.Conv2d)] == [(2, 2), (1, 1), (1, 1), (2, 2)]


def test_manipulation_projects_to_50():
    encoder = build("manipulation")
    assert total(encoder) == 31_232 + (32 * 21 * 21 * 50 + 50) + 2 * 50
    z = encoder(noise(FrameShape(4, 84, 84)))
    assert z.shape == (3, 50)
    assert z.abs().max() <= 1
    assert build("manipulation", dim=7, filters=4)(noise(FrameShape(4, 84, 84))).shape == (3, 7)


def test_nature_has_the_papers_layers():
    """Mnih et al. 2015 on four grey frames of 84x84: 77,984 parameters in the convolutions, 7x7x64 = 3,136 features."""
    grey = build("nature", FrameShape(1, 84, 84, channels=4))
    assert convolutions(grey) == (8 * 8 * 4 * 32 + 32) + (4 * 4 * 32 * 64 + 64) + (3 * 3 * 64 * 64 + 64) == 77_984
    assert grey.convolutions(torch.zeros(1, 4, 84, 84)).shape == (1, 3136)
    colour = build("nature")
    assert convolutions(colour) == 94_368
    assert total(colour) == 94_368 + 3136 * 256 + 256
    assert build("nature", dim=512)(noise(FrameShape(4, 84, 84))).shape == (3, 512)


# -- spatial softmax --------------------------------------------------------------------------------------------------


def head(temperature: float = 1.0) -> nn.Module:
    return build("spatial-softmax", temperature=temperature).head


def peak(*places: tuple[int, int], height: int = 5, width: int = 9, strength: float = 1000.0) -> Tensor:
    """``(1, channels, H, W)``, one channel per place (row, column)."""
    maps = torch.zeros(1, len(places), height, width)
    for channel, (row, column) in enumerate(places):
        maps[0, channel, row, column] = strength
    return maps


def test_coordinates_are_those_of_the_peak():
    """x of every channel, then y; right and down are positive."""
    z = head()(peak((0, 0), (0, 8), (4, 0), (4, 8), (2, 4), (1, 6)))
    assert z.shape == (1, 12)
    assert z[0, :6].tolist() == pytest.approx([-1, 1, -1, 1, 0, 0.5])
    assert z[0, 6:].tolist() == pytest.approx([-1, -1, 1, 1, 0, -0.5])


def test_points_are_the_coordinates_by_channel():
    shape = FrameShape(2, 64, 48)
    encoder, frames = build("spatial-softmax", shape, filters=5), noise(shape)
    with torch.no_grad():
        z, points = encoder(frames), encoder.points(frames)
    assert points.shape == (3, 5, 2)
    assert torch.equal(points[:, :, 0], z[:, :5])
    assert torch.equal(points[:, :, 1], z[:, 5:])


def test_coordinates_move_with_the_peak():
    x = [head()(peak((2, column)))[0, 0].item() for column in range(9)]
    y = [head()(peak((row, 4)))[0, 1].item() for row in range(5)]
    assert x == pytest.approx([-1 + column / 4 for column in range(9)])
    assert y == pytest.approx([-1 + row / 2 for row in range(5)])


def test_a_flat_map_points_at_the_middle_and_two_peaks_between_them():
    assert head()(torch.zeros(1, 1, 5, 9))[0].tolist() == pytest.approx([0, 0], abs=1e-6)
    both = peak((0, 0)) + peak((4, 8))
    assert head()(both)[0].tolist() == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
def test_temperature_divides(temperature):
    """Two pixels whose logits differ by log 3 have weights 1/4 and 3/4."""
    maps = torch.tensor([0.0, math.log(3) * temperature]).view(1, 1, 1, 2)
    module = head(temperature)
    assert module.attention(maps).flatten().tolist() == pytest.approx([0.25, 0.75])
    assert module(maps)[0, 0].item() == pytest.approx(0.5)


def test_a_channel_that_sees_the_object_follows_it_over_the_image():
    """The whole encoder, with weights made to pass brightness on. Two strides of 2: column i of the map sees pixel 4 i."""
    shape = FrameShape(1, 64, 64)
    encoder = build("spatial-softmax", shape, filters=1, temperature=0.01, initialisation="flat")
    with torch.no_grad():
        for layer in encoder.convolutions:
            if isinstance(layer, nn.Conv2d):
                layer.weight.fill_(1 / layer.weight.numel())
                layer.bias.zero_()
    for row, column in ((8, 8), (8, 48), (48, 8), (32, 32)):
        frames = torch.zeros((1, *shape), dtype=torch.uint8)
        frames[..., row : row + 8, column : column + 8] = 255
        x, y = encoder(frames)[0].tolist()
        assert x == pytest.approx((column + 3.5) / 60 * 2 - 1, abs=0.05)
        assert y == pytest.approx((row + 3.5) / 60 * 2 - 1, abs=0.05)


def scenes(size: int = 84, count: int = 64) -> Tensor:
    """A dim, shaded table on which a square of 7 pixels lies somewhere else in every picture: ``(count, 1, 3, H, W)``."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    table = torch.stack([90 + 60 * rows, 80 + 50 * columns, 100 + 30 * rows * columns])
    frames = table.round().to(torch.uint8).expand(count, 1, 3, size, size).clone()
    places = torch.randint(10, size - 17, (count, 2), generator=generator)
    for frame, (row, column) in zip(frames, places.tolist(), strict=True):
        frame[..., row : row + 7, column : column + 7] = torch.tensor([20, 20, 25], dtype=torch.uint8).view(3, 1, 1)
    return frames


def movement(seed: int, **options) -> float:
    """How far the coordinates spread over the scenes: their standard deviation, averaged over the coordinates."""
    encoder = build("spatial-softmax", FrameShape(1, 84, 84), seed=seed, **options)
    with torch.no_grad():
        return encoder(scenes()).std(dim=0).mean().item()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_alive_start_moves_with_the_scene_and_the_flat_one_hardly(seed):
    alive, flat = movement(seed), movement(seed, initialisation="flat")
    assert alive > 10 * flat
    assert flat < 0.001


def test_temperature_alone_does_not_make_it_alive():
    assert movement(0) > 10 * movement(0, initialisation="flat", temperature=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initialisation": "dead"}, "initialisation = 'dead': must be 'alive' or 'flat'"),
        ({"temperature": 0.0}, r"temperature = 0\.0: must be above 0"),
        ({"temperature": -1.0}, r"temperature = -1\.0: must be above 0"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        build("spatial-softmax", **options)
