"""The encoders that are trained from scratch, against what their papers and their authors' code say."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetchbench.registry import load_registry
from fetchbench.specs import EncoderSpec, FrameShape

REGISTRY = load_registry()
PUSH = FrameShape(4, 84, 84)


def spec(name: str) -> EncoderSpec:
    found = REGISTRY.get("encoder", name).spec
    assert isinstance(found, EncoderSpec)
    return found


def build(name: str, shape: FrameShape = PUSH, **options) -> nn.Module:
    torch.manual_seed(0)
    return spec(name).build(shape, **options)


def noise(shape: FrameShape, batch: int = 2) -> Tensor:
    return torch.randint(0, 256, (batch, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def total(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


# -- DrQ-v2 -----------------------------------------------------------------------------------------------------------


def test_drqv2_has_the_published_size():
    """Three RGB frames of 84x84: 30,368 parameters, 32 maps of 35x35, 39,200 features, no projection of its own."""
    shape = FrameShape(3, 84, 84)
    encoder = build("drqv2", shape)
    assert total(encoder) == (9 * 9 * 32 + 32) + 3 * (9 * 32 * 32 + 32) == 30_368
    assert encoder(noise(shape)).shape == (2, 39_200)
    assert encoder.feature_map(noise(shape)).shape == (2, 32, 35, 35)
    assert spec("drqv2").trunk == 50


def test_drqv2_computes_what_the_authors_write():
    """Pixels over 255 minus one half, strides 2, 1, 1, 1, no padding, a ReLU behind each; channel by channel when flat."""
    shape = FrameShape(3, 84, 84)
    encoder, frames = build("drqv2", shape), noise(shape)
    h = frames.reshape(2, 9, 84, 84).double() / 255.0 - 0.5
    for layer, stride in zip(convolutions(encoder), (2, 1, 1, 1), strict=True):
        h = F.relu(F.conv2d(h, layer.weight.double(), layer.bias.double(), stride=stride))
    torch.testing.assert_close(encoder(frames).double(), h.reshape(2, -1), atol=1e-5, rtol=1e-5)


def test_drqv2_starts_with_orthogonal_filters_of_relus_gain():
    for layer in convolutions(build("drqv2")):
        rows = layer.weight.flatten(1)  # 32 filters of more than 32 weights each
        torch.testing.assert_close(rows @ rows.T, 2 * torch.eye(32), atol=1e-5, rtol=0)
        assert not layer.bias.any()


def test_drqv2_refuses_frames_that_its_convolutions_use_up():
    assert build("drqv2", FrameShape(1, 15, 16)).feature_map(noise(FrameShape(1, 15, 16))).shape == (2, 32, 1, 1)
    with pytest.raises(ValueError, match=r"frames of 14x84 pixels: four convolutions without padding need 15x15 or more"):
        build("drqv2", FrameShape(1, 14, 84))


# -- IMPALA -----------------------------------------------------------------------------------------------------------


def stack_size(inputs: int) -> int:
    """Three sections (in -> 16 -> 32 -> 32), each of one 3x3 convolution that widens and four that do not, with biases."""
    first = inputs * 9 * 16 + 16 + 4 * (16 * 9 * 16 + 16)
    second = 16 * 9 * 32 + 32 + 4 * (32 * 9 * 32 + 32)
    third = 32 * 9 * 32 + 32 + 4 * (32 * 9 * 32 + 32)
    return first + second + third


def test_impala_has_the_papers_15_layers_and_1_6_million_parameters():
    """Figure 3, right, for DMLab: 72x96 RGB. The paper counts the LSTM, the language input and the heads as well."""
    encoder = build("impala", FrameShape(1, 72, 96))
    assert len(convolutions(encoder)) == 15
    assert total(encoder) == stack_size(3) + 9 * 12 * 32 * 256 + 256 == 982_592
    language = 1000 * 20 + 4 * 64 * (20 + 64 + 1)  # words hashed to 1000, embedded in 20; an LSTM of 64
    lstm = 4 * 256 * (256 + 1 + 9 + 64 + 256 + 1)  # features, reward, nine actions, language; its own state; biases
    heads = 256 * (9 + 1) + 9 + 1
    assert round((total(encoder) + language + lstm + heads) / 1e6, 1) == 1.6


def test_impala_on_ataris_four_grey_frames():
    """84 -> 42 -> 21 -> 11, 32 maps: 3,872 numbers into the linear layer."""
    shape = FrameShape(1, 84, 84, channels=4)
    encoder = build("impala", shape)
    assert sum(total(c) for c in convolutions(encoder)) == stack_size(4) == 97_744
    assert encoder.feature_map(noise(shape)).shape == (2, 32, 11, 11)
    assert total(encoder) == 97_744 + 3872 * 256 + 256
    assert encoder(noise(shape)).shape == (2, 256)


def test_impala_widens_by_a_factor_and_projects_to_what_is_asked():
    frames = noise(PUSH)
    encoder = build("impala", dim=50, width=2)
    assert [c.out_channels for c in convolutions(encoder)] == [32] * 5 + [64] * 10
    assert encoder.feature_map(frames).shape == (2, 64, 11, 11)
    assert encoder(frames).shape == (2, 50)
    with pytest.raises(ValueError, match=r"width = 0: it multiplies the channels; must be 1 or more"):
        build("impala", width=0)


def test_impala_computes_what_the_paper_draws():
    """Convolution, pooling, twice x + conv(relu(conv(relu(x)))); thrice; relu, linear, relu."""
    shape = FrameShape(2, 20, 33)
    encoder, frames = build("impala", shape), noise(shape)
    layers = iter(convolutions(encoder))

    def convolve(x: Tensor) -> Tensor:
        layer = next(layers)
        return F.conv2d(x, layer.weight, layer.bias, padding=1)

    x = frames.flatten(1, 2) / 255
    for _ in range(3):
        x = F.max_pool2d(convolve(x), 3, stride=2, padding=1)
        for _ in range(2):
            x = x + convolve(F.relu(convolve(F.relu(x))))
    linear = next(m for m in encoder.modules() if isinstance(m, nn.Linear))
    z = F.relu(F.linear(F.relu(x).flatten(1), linear.weight, linear.bias))
    torch.testing.assert_close(encoder(frames), z)


def test_impala_starts_as_sonnet_does():
    """Deviation 1 / sqrt(inputs) before the cut at two deviations, which leaves 0.88 of it; no biases."""
    for layer in build("impala").modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            deviation = layer.weight[0].numel() ** -0.5
            assert layer.weight.abs().max() <= 2 * deviation
            assert layer.weight.std().item() == pytest.approx(0.88 * deviation, rel=0.05)
            assert not layer.bias.any()


# -- ViT --------------------------------------------------------------------------------------------------------------


def vit_size(patch_values: int, tokens: int, blocks: int, width: int = 192) -> int:
    """Patches, class token, positions, blocks (two norms, attention, an MLP four times as wide) and the last norm."""
    block = 2 * 2 * width + (width + 1) * 3 * width + (width + 1) * width + (width + 1) * 4 * width + (4 * width + 1) * width
    return (patch_values + 1) * width + width + (tokens + 1) * width + blocks * block + 2 * width


def test_vit_tiny_is_deits_where_it_is_as_deep():
    """DeiT-Ti: 5,717,416 parameters with its 1,000 classes, 224x224 in patches of 16."""
    encoder = build("vit-tiny", FrameShape(1, 224, 224), patch=16, depth=12)
    assert total(encoder) + 192 * 1000 + 1000 == 5_717_416
    assert total(encoder) == vit_size(16 * 16 * 3, 14 * 14, 12)


@pytest.mark.parametrize(
    ("shape", "patch", "tokens"),
    [(PUSH, 12, 49), (FrameShape(1, 64, 64), 8, 64), (FrameShape(2, 65, 50), 5, 130), (FrameShape(1, 128, 128), 16, 64)],
    ids=str,
)
def test_the_patch_fits_the_frames(shape, patch, tokens):
    encoder = build("vit-tiny", shape)
    (patches,) = convolutions(encoder)
    assert patches.kernel_size == patches.stride == (patch, patch)
    assert total(encoder) == vit_size(patch * patch * 3 * shape.frames, tokens, 4)
    assert encoder(noise(shape)).shape == (2, 192)


def test_vit_options():
    encoder = build("vit-tiny", FrameShape(1, 64, 64), patch=16, depth=2, dim=128)
    assert total(encoder) == vit_size(16 * 16 * 3, 16, 2, width=128)
    assert encoder(noise(FrameShape(1, 64, 64))).shape == (2, 128)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        (PUSH, {"patch": 16}, r"patch = 16: must divide the frames' height 84 and width 84"),
        (FrameShape(1, 64, 60), {"patch": 8}, r"patch = 8: must divide the frames' height 64 and width 60"),
        (PUSH, {"dim": 100}, r"dim = 100: must be a multiple of 64"),
        (FrameShape(1, 83, 83), {}, r"frames of 83x83 pixels: no patch of 4 or more pixels divides both sides"),
    ],
)
def test_vit_options_that_cannot_be(shape, options, message):
    with pytest.raises(ValueError, match=message):
        build("vit-tiny", shape, **options)


def test_vit_sees_black_as_minus_one_and_white_as_one():
    shape = FrameShape(1, 64, 64)
    encoder, seen = build("vit-tiny", shape), []
    encoder.transformer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    frames = torch.stack([torch.zeros(tuple(shape), dtype=torch.uint8), torch.full(tuple(shape), 255, dtype=torch.uint8)])
    encoder(frames)
    assert (seen[0][0] == -1).all()
    assert (seen[0][1] == 1).all()


def test_vit_knows_where_a_patch_is():
    """Without positions, attention would not: two patches of the frame change places."""
    shape = FrameShape(1, 64, 64)
    encoder, frames = build("vit-tiny", shape), noise(shape, batch=1)
    other = frames.clone()
    other[..., :8, :8], other[..., 40:48, 16:24] = frames[..., 40:48, 16:24], frames[..., :8, :8]
    with torch.no_grad():
        assert (encoder(frames) - encoder(other)).abs().max() > 1e-4
        encoder.transformer.pos_embed.zero_()
        torch.testing.assert_close(encoder(frames), encoder(other), atol=1e-5, rtol=1e-5)


# -- SpatialSoftmax, the seed's ---------------------------------------------------------------------------------------


def test_the_seeds_spatial_softmax_has_its_size_and_its_parts():
    """Four RGB frames: 31,232 in the convolutions, one temperature, 64 scales and 64 offsets."""
    encoder = build("spatial-softmax-seed")
    assert total(encoder) == 31_232 + 1 + 2 * 64 == 31_361
    assert encoder(noise(PUSH)).shape == (2, 64)
    assert encoder.head.temperature.tolist() == [1.0]
    assert spec("spatial-softmax-seed").control
    assert not spec("spatial-softmax").control


def test_the_seeds_features_are_normalised_coordinates_of_pixels_in_0_to_1():
    encoder, frames = build("spatial-softmax-seed"), noise(PUSH)
    with torch.no_grad():
        encoder.head.temperature.fill_(0.02)
        maps = encoder.convolutions(frames.flatten(1, 2) / 255)
        share = (maps / 0.02).flatten(2).softmax(-1).view_as(maps)
        places = torch.linspace(-1, 1, 21)
        points = torch.stack([(share * places).sum((2, 3)), (share * places[:, None]).sum((2, 3))], dim=-1)
        torch.testing.assert_close(encoder.points(frames), points, atol=1e-5, rtol=1e-4)
        coordinates = torch.cat([points[..., 0], points[..., 1]], dim=1)
        deviation, mean = torch.std_mean(coordinates, dim=1, correction=0, keepdim=True)
        expected = ((coordinates - mean) / (deviation.square() + 1e-5).sqrt()).tanh()
        torch.testing.assert_close(encoder(frames), expected, atol=1e-4, rtol=1e-4)


def test_only_the_seeds_temperature_learns():
    seeds, ours = build("spatial-softmax-seed"), build("spatial-softmax")
    assert "head.temperature" in dict(seeds.named_parameters())
    assert total(ours) == 31_232
    assert ours.head.temperature == 0.1
    (seeds(noise(PUSH)) * torch.linspace(-1, 1, 64)).sum().backward()
    assert seeds.head.temperature.grad.item() != 0


# -- CoordConv --------------------------------------------------------------------------------------------------------

SHAPE = FrameShape(2, 40, 64)
CONVOLUTIONAL = ["nature", "manipulation", "spatial-softmax", "spatial-softmax-seed", "drqv2", "impala"]


def wrap(inner: nn.Module, **options) -> nn.Module:
    torch.manual_seed(5)
    return spec("coordconv").build(SHAPE, inner, **options)


def extended(encoder: nn.Module) -> nn.Conv2d:
    return convolutions(encoder)[0]


class Pointwise(nn.Module):
    """One 1x1 convolution of the first frame, flattened: each output pixel is a weighted sum of what that pixel was given."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, outputs, 1)
        nn.init.zeros_(self.layer.bias)

    def feature_map(self, frames: Tensor) -> Tensor:
        return self.layer(frames[:, 0] / 255)

    def forward(self, frames: Tensor) -> Tensor:
        return self.feature_map(frames).flatten(1)


def given(height: int, width: int, radius: bool = False) -> Tensor:
    """The coordinate channels as the first convolution gets them: ``(2 or 3, H, W)``."""
    channels = 3 if radius else 2
    encoder = wrap(Pointwise(outputs=channels), radius=radius)
    with torch.no_grad():
        extended(encoder).weight.zero_()
        extended(encoder).weight[:, 3:, 0, 0] = torch.eye(channels)
        return encoder.feature_map(noise(FrameShape(1, height, width), batch=1))[0]


def test_coordinates_at_the_corners_and_in_the_middle_of_frames_that_are_not_square():
    """x is -1 in the first column, 1 in the last; y the same for rows."""
    x, y = given(5, 9)
    corners = [(0, 0), (0, 8), (4, 0), (4, 8), (2, 4), (1, 6)]
    assert [x[place].item() for place in corners] == pytest.approx([-1, 1, -1, 1, 0, 0.5])
    assert [y[place].item() for place in corners] == pytest.approx([-1, -1, 1, 1, 0, -0.5])


def test_coordinates_are_ramps():
    x, y = given(7, 11)
    torch.testing.assert_close(x, torch.linspace(-1, 1, 11).expand(7, 11))
    torch.testing.assert_close(y, torch.linspace(-1, 1, 7)[:, None].expand(7, 11))


def test_the_radius_is_the_distance_from_the_middle():
    x, y, radius = given(5, 9, radius=True)
    assert radius[2, 4].item() == pytest.approx(0, abs=1e-6)
    assert radius[0, 0].item() == radius[4, 8].item() == pytest.approx(math.sqrt(2))
    assert radius[2, 0].item() == radius[0, 4].item() == pytest.approx(1)
    torch.testing.assert_close(radius, torch.hypot(x, y))


@pytest.mark.parametrize("radius", [False, True])
@pytest.mark.parametrize("name", [*CONVOLUTIONAL, "vit-tiny"])
def test_with_weights_of_zero_coordinates_change_nothing(name, radius):
    plain = build(name, SHAPE, **({"patch": 8} if name == "vit-tiny" else {}))
    encoder, frames = wrap(plain, radius=radius), noise(SHAPE)
    layer, old = extended(encoder), extended(plain)
    new = 3 if radius else 2
    assert layer.in_channels == layer.weight.shape[1] == 6 + new
    assert total(encoder) == total(plain) + new * old.out_channels * old.kernel_size[0] * old.kernel_size[1]
    with torch.no_grad():
        assert torch.equal(layer.weight[:, :6], old.weight)
        assert not torch.allclose(encoder(frames), plain(frames), atol=1e-7)
        layer.weight[:, 6:] = 0
        torch.testing.assert_close(encoder(frames), plain(frames))


def test_coordinates_join_once_for_the_stack_and_after_scaling():
    encoder, seen = wrap(build("manipulation", SHAPE)), []
    extended(encoder).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    frames = noise(SHAPE)
    encoder(frames)
    assert seen[0].shape == (2, 6 + 2, 40, 64)
    torch.testing.assert_close(seen[0][:, :6], frames.flatten(1, 2) / 255 - 0.5)
    assert seen[0][:, 6:].abs().max() == 1


def test_new_weights_are_drawn_from_the_old_ones_distribution():
    """Each is one of the layer's own; PyTorch's are uniform up to 1 / sqrt(inputs)."""
    plain = build("nature", SHAPE)
    new = extended(wrap(plain)).weight[:, 6:]
    old = extended(plain).weight
    assert torch.isin(new, old).all()
    assert new.std().item() == pytest.approx(old.std().item(), rel=0.05)
    assert (new[:, 0] != new[:, 1]).float().mean() > 0.99
    torch.manual_seed(6)
    assert not torch.equal(extended(spec("coordconv").build(SHAPE, plain)).weight[:, 6:], new)


def test_the_wrapped_encoder_itself_stays_as_it_was():
    plain, frames = build("manipulation", SHAPE), noise(SHAPE)
    state, before = copy.deepcopy(plain.state_dict()), plain(frames)
    encoder = wrap(plain)
    encoder(frames).sum().backward()
    assert extended(plain).in_channels == 6
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())
    assert torch.equal(plain(frames), before)
    assert all(p.grad is None for p in plain.parameters())


def test_coordinates_fit_frames_of_another_size_later():
    encoder = wrap(build("spatial-softmax", SHAPE))
    for height, width in ((40, 64), (64, 40), (84, 84)):
        frames = noise(FrameShape(2, height, width))
        assert encoder(frames).shape == (2, 64)
        assert torch.equal(copy.deepcopy(encoder)(frames), encoder(frames))
    assert set(encoder.state_dict()) == set(dict(encoder.named_parameters()))


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_a_wrapped_encoder_offers_what_it_did_and_nothing_else(name):
    plain, frames = build(name, SHAPE), noise(SHAPE)
    encoder = wrap(plain)
    for offer in ("feature_map", "points", "moments"):
        assert hasattr(encoder, offer) == hasattr(plain, offer)
        if hasattr(plain, offer):
            with torch.no_grad():
                ours, theirs = getattr(encoder, offer)(frames), getattr(plain, offer)(frames)
            assert ours.shape == theirs.shape
            assert not torch.equal(ours, theirs)


def test_frozen_weights_stay_frozen():
    plain = build("manipulation", SHAPE).requires_grad_(False)
    assert not any(p.requires_grad for p in wrap(plain).parameters())


def test_places_tell_equal_objects_apart():
    """The same square in two places: the mean feature of a plain convolution is the same for both."""
    frames = torch.zeros(2, 1, 3, 32, 32, dtype=torch.uint8)
    frames[0, ..., 8:12, 8:12] = 255
    frames[1, ..., 20:24, 16:20] = 255
    plain = Pointwise()
    encoder = wrap(plain)
    with torch.no_grad():
        extended(encoder).weight[:] = torch.tensor([1.0, 0, 0, 1.0, 0]).view(1, 5, 1, 1)  # red, and to the right
        mean = encoder.feature_map(frames).relu().mean((1, 2, 3))
        without = plain.feature_map(frames).relu().mean((1, 2, 3))
    assert without[0].item() == pytest.approx(without[1].item())
    assert mean[1] > mean[0]


class Dense(nn.Module):
    def __init__(self, shape: FrameShape) -> None:
        super().__init__()
        self.layer = nn.Linear(math.prod(shape), 8)

    def forward(self, frames: Tensor) -> Tensor:
        return self.layer(frames.flatten(1) / 255)


def test_an_encoder_without_a_convolution_is_refused():
    message = r"^Dense has no two-dimensional convolution \(nn\.Conv2d\) .* as in 'coordconv\(manipulation\)'$"
    with pytest.raises(ValueError, match=message):
        wrap(Dense(SHAPE))


def test_a_grouped_first_convolution_is_refused():
    with pytest.raises(ValueError, match=r"^Sequential: its first convolution has 3 groups of channels"):
        wrap(nn.Sequential(nn.Conv2d(6, 6, 3, groups=3)))
