"""The bundled augmentations against their sources, and against pictures whose truth is known."""

from __future__ import annotations

import colorsys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fetchbench.learner.frames import random_shift
from fetchbench.registry import load_registry
from fetchbench.specs import AugmentationSpec, FrameShape

REGISTRY = load_registry()
AUGMENTATIONS = ["shift", "shift-bilinear", "crop", "translate", "color-jitter", "grayscale", "cutout"]
VARIANTS = [(name, {}) for name in AUGMENTATIONS] + [("shift-bilinear", {"subpixel": True})]
EVERY = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=[*AUGMENTATIONS, "subpixel"])
BELOW_1 = 1 - 2**-24
"""The largest number that ``torch.rand`` gives."""


def spec_of(name: str) -> AugmentationSpec:
    spec = REGISTRY.get("augmentation", name).spec
    assert isinstance(spec, AugmentationSpec)
    return spec


def build(name: str, shape: FrameShape = FrameShape(2, 84, 84), **options):  # noqa: B008
    return spec_of(name).build(shape, **options)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def inputs(name: str, shape: FrameShape, batch: int = 3, frames: int | None = None) -> tuple[Tensor, Tensor]:
    """Frames of the size that it wants, and draws."""
    size = spec_of(name).input_size
    height, width = (size(n) if size else n for n in (shape.height, shape.width))
    draws = torch.rand(batch, spec_of(name).draws, generator=torch.Generator().manual_seed(1))
    return noise(batch, frames or shape.frames, 3, height, width), draws


def filled(*color: int, size: int = 84) -> Tensor:
    """One frame of one colour, ``(1, 1, 3, size, size)``."""
    return torch.tensor(color, dtype=torch.uint8).view(1, 1, 3, 1, 1).repeat(1, 1, 1, size, size)


# -- what every augmentation promises ---------------------------------------------------------------------------------


def test_all_are_there():
    assert set(AUGMENTATIONS) <= set(REGISTRY.names("augmentation"))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_says_what_it_is(name):
    assert spec_of(name).summary
    assert spec_of(name).source.startswith("arXiv:")


@pytest.mark.parametrize("shape", [FrameShape(1, 64, 64), FrameShape(4, 84, 84), FrameShape(2, 65, 50)], ids=str)
@EVERY
def test_the_encoder_sees_frames_of_its_size(name, options, shape):
    """However many frames there are: auxiliary losses bring longer sequences."""
    augmentation = build(name, shape, **options)
    for count in (shape.frames, shape.frames + 3):
        frames, draws = inputs(name, shape, frames=count)
        before = frames.clone(), draws.clone()
        for changed in (augmentation(frames, draws), augmentation.evaluate(frames)):
            assert changed.dtype == torch.uint8
            assert changed.shape == (3, count, 3, shape.height, shape.width)
        assert torch.equal(frames, before[0])
        assert torch.equal(draws, before[1])


@EVERY
def test_it_keeps_nothing_and_draws_nothing(name, options):
    shape = FrameShape(2, 64, 64)
    augmentation, (frames, draws) = build(name, shape, **options), inputs(name, shape)
    before = dict(vars(augmentation))
    first, acting = augmentation(frames, draws), augmentation.evaluate(frames)
    torch.rand(5)
    augmentation(frames.flip(0), draws.flip(0))
    assert torch.equal(augmentation(frames, draws), first)
    assert torch.equal(augmentation.evaluate(frames), acting)
    assert vars(augmentation) == before


@EVERY
def test_a_stack_depends_on_its_own_draws_alone(name, options):
    """Here 20 stacks, more than are interpolated at a time."""
    shape = FrameShape(2, 32, 32)
    augmentation, (frames, draws) = build(name, shape, **options), inputs(name, shape, batch=20)
    alone = torch.cat([augmentation(f[None], d[None]) for f, d in zip(frames, draws, strict=True)])
    assert torch.equal(augmentation(frames, draws), alone)


@EVERY
def test_all_frames_of_a_stack_change_alike(name, options):
    shape = FrameShape(3, 64, 64)
    augmentation, (frames, draws) = build(name, shape, **options), inputs(name, shape, batch=16)
    together = augmentation(frames, draws)
    for index in range(3):
        assert torch.equal(augmentation(frames[:, index : index + 1], draws), together[:, index : index + 1])
    assert not torch.equal(augmentation(frames, draws.flip(0)), together)


@EVERY
def test_every_draw_that_it_asks_for_counts(name, options):
    shape = FrameShape(1, 64, 64)
    augmentation, (frames, _) = build(name, shape, **options), inputs(name, shape, batch=1)
    for index in range(spec_of(name).draws):
        low = torch.full((1, spec_of(name).draws), 0.2)
        high = low.clone()
        high[0, index] = 0.8
        assert not torch.equal(augmentation(frames, low), augmentation(frames, high)), f"draw {index}"


@pytest.mark.parametrize("value", [0.0, BELOW_1])
@EVERY
def test_the_ends_of_the_draws_do_no_harm(name, options, value):
    shape = FrameShape(1, 65, 50)
    frames, draws = inputs(name, shape)
    changed = build(name, shape, **options)(frames, torch.full_like(draws, value))
    nearly = build(name, shape, **options)(frames, torch.full_like(draws, min(max(value, 1e-5), 1 - 1e-5)))
    assert (changed.int() - nearly.int()).abs().max() <= 1


class Operations(TorchDispatchMode):
    """Notes what PyTorch is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@EVERY
def test_nothing_waits_for_a_value(name, options):
    """No number is read back, copied in or drawn: a CUDA graph can record it."""
    shape = FrameShape(2, 32, 32)
    augmentation, (frames, draws) = build(name, shape, **options), inputs(name, shape)
    with Operations() as seen:
        augmentation(frames, draws)
        augmentation.evaluate(frames)
    assert seen.names
    waiting = {"_local_scalar_dense", "nonzero", "lift_fresh", "masked_select", "index"}  # `index` takes masks
    assert not {n for n in seen.names if n in waiting or "rand" in n or n in ("bernoulli", "uniform_", "normal_")}


@EVERY
def test_it_compiles_to_one_graph(name, options):
    shape = FrameShape(2, 32, 32)
    augmentation, (frames, draws) = build(name, shape, **options), inputs(name, shape)
    compiled = torch.compile(lambda f, d: augmentation(f, d), backend="eager", fullgraph=True, dynamic=False)
    assert torch.equal(compiled(frames, draws), augmentation(frames, draws))


# -- shifts -----------------------------------------------------------------------------------------------------------


def offsets(*places: tuple[int, int], pad: int = 4) -> Tensor:
    """The draws in the middle of those that give these whole offsets (x, y), 0 to 2 pad."""
    return (torch.tensor(places) + 0.5) / (2 * pad + 1)


@pytest.mark.parametrize("name", ["shift", "shift-bilinear"])
def test_a_shift_moves_by_whole_pixels_as_far_as_its_pad(name):
    frames, draws = inputs(name, FrameShape(2, 64, 64), batch=8)
    assert torch.equal(build(name)(frames, draws), random_shift(frames, draws, 4))
    assert torch.equal(build(name, pad=2)(frames, draws), random_shift(frames, draws, 2))
    assert torch.equal(build(name).evaluate(frames), frames)
    point = torch.zeros(1, 1, 3, 20, 20, dtype=torch.uint8)
    point[..., 9, 9] = 7
    moved = build(name)(point, offsets((0, 7)))
    assert moved.nonzero()[:, 3:].unique(dim=0).tolist() == [[9 + 4 - 7, 9 + 4 - 0]]


def resampled(frames: Tensor, pixels: Tensor, pad: int = 4) -> Tensor:
    """DrQ-v2's way, in floating point: the padded frames, read bilinearly from ``pixels (B, 2)`` (x, y) on."""
    height, width = frames.shape[-2:]
    padded = F.pad(frames.flatten(1, 2).double(), (pad,) * 4, mode="replicate")
    # A crop without scaling: the window's middle against the padded frame's, in halves of the padded frame.
    scale = torch.tensor([width / (width + 2 * pad), height / (height + 2 * pad)], dtype=torch.float64)
    moved = 2 * (pixels.double() - pad) / (torch.tensor([width, height]) + 2 * pad)
    theta = torch.cat([torch.diag(scale).expand(len(frames), 2, 2), moved[:, :, None]], dim=2)
    grid = F.affine_grid(theta, [len(frames), 1, height, width], align_corners=False)
    return F.grid_sample(padded, grid, mode="bilinear", padding_mode="zeros", align_corners=False).view(frames.shape)


def test_drq_v2_as_its_code_does_it_interpolates_nothing():
    """Whole pixels through a bilinear ``grid_sample`` are DrQ's shifts: the corners, the middle and others."""
    places = [(0, 0), (8, 8), (0, 8), (4, 4), (3, 7), (6, 1)]
    frames, pixels = noise(6, 2, 3, 84, 84), torch.tensor(places)
    shifted = build("shift-bilinear")(frames, offsets(*places))
    assert (resampled(frames, pixels) - shifted).abs().max() < 1e-6
    assert torch.equal(shifted, build("shift")(frames, offsets(*places)))


@pytest.mark.parametrize("shape", [(20, 2, 3, 84, 84), (3, 1, 3, 30, 41)], ids=str)
def test_a_subpixel_shift_is_the_bilinear_mean(shape):
    frames, draws = noise(*shape), torch.rand(shape[0], 2, generator=torch.Generator().manual_seed(3))
    shifted = build("shift-bilinear", subpixel=True)(frames, draws)
    # Half a level by rounding, and what float32 coordinates make of up to 255 levels between neighbours.
    assert (resampled(frames, 8 * draws) - shifted).abs().max() < 0.51


def test_half_a_pixel_is_the_mean_of_neighbours():
    frames = torch.zeros(1, 1, 3, 20, 20, dtype=torch.uint8)
    frames[..., 9, 9] = 200
    draws = torch.tensor([[3.5, 4.0]]) / 8  # half a pixel left of the frame's own place: the scene moves right
    moved = build("shift-bilinear", subpixel=True)(frames, draws)[0, 0, 0]
    assert moved[9, 9:11].tolist() == [100, 100]
    assert moved.sum() == 200
    whole = build("shift-bilinear", subpixel=True)(frames, torch.tensor([[0.5, 0.5]]))
    assert torch.equal(whole, frames)


@pytest.mark.parametrize("name", ["shift", "shift-bilinear"])
@pytest.mark.parametrize("pad", [0, -1, 1.5, "4"])
def test_a_pad_that_cannot_be_is_said(name, pad):
    with pytest.raises(ValueError, match=r"pad = .*: must be an integer, 1 or more pixels"):
        build(name, pad=pad)


def test_subpixel_is_yes_or_no():
    with pytest.raises(ValueError, match=r"subpixel = 'yes': must be true or false"):
        build("shift-bilinear", subpixel="yes")


# -- crop and translate -----------------------------------------------------------------------------------------------


def test_a_crop_renders_100_for_84_and_a_translation_100_for_108():
    assert [spec_of("crop").input_size(size) for size in (84, 64, 42, 21)] == [100, 76, 50, 25]
    assert [spec_of("translate").input_size(size) for size in (108, 84, 64, 54)] == [100, 78, 59, 50]


def test_the_other_augmentations_leave_the_size_alone():
    assert {name for name in AUGMENTATIONS if spec_of(name).input_size} == {"crop", "translate"}


@pytest.mark.parametrize("place", [(0, 0), (16, 0), (0, 16), (16, 16), (8, 8), (3, 11)])
def test_a_crop_is_the_window_at_its_place(place):
    frames, (x, y) = noise(1, 2, 3, 100, 100), place
    draws = (torch.tensor([place]) + 0.5) / 17
    assert torch.equal(build("crop")(frames, draws), frames[..., y : y + 84, x : x + 84])


def test_a_crop_when_acting_is_the_middle():
    frames = noise(2, 2, 3, 100, 100)
    assert torch.equal(build("crop").evaluate(frames), frames[..., 8:92, 8:92])


def test_a_crop_knows_its_frames_however_they_lie_in_memory():
    sequence, draws = noise(3, 7, 3, 50, 40), torch.rand(3, 2, generator=torch.Generator().manual_seed(0))
    crop = build("crop", FrameShape(4, 30, 20))
    for frames in (
        sequence[:, 2:6],
        sequence[..., 4:46, 3:39],
        sequence.transpose(-1, -2),
        sequence[:, :1].expand(-1, 4, 3, 50, 40),
    ):
        assert torch.equal(crop(frames, draws), crop(frames.contiguous(), draws))
    whole = build("crop", FrameShape(7, 50, 40))
    assert torch.equal(whole(sequence, draws), sequence)


def test_a_translation_puts_the_frame_at_its_place():
    """On a canvas of 108 it has 9 places on each axis; the draw 0 is the far end."""
    frames = noise(1, 2, 3, 100, 100) // 2 + 1
    translate = build("translate", FrameShape(2, 108, 108))
    for x, y in [(0, 0), (8, 0), (0, 8), (8, 8), (4, 4), (2, 7)]:
        draws = (torch.tensor([[8 - x, 8 - y]]) + 0.5) / 9
        expected = torch.zeros(1, 2, 3, 108, 108, dtype=torch.uint8)
        expected[..., y : y + 100, x : x + 100] = frames
        assert torch.equal(translate(frames, draws), expected)


def test_a_translation_when_acting_is_the_middle():
    frames = noise(1, 2, 3, 100, 100)
    canvas = build("translate", FrameShape(2, 108, 108)).evaluate(frames)
    assert torch.equal(canvas[..., 4:104, 4:104], frames)
    assert canvas.sum() == frames.sum()
    odd = build("translate", FrameShape(2, 10, 12)).evaluate(frames[..., :7, :7])
    assert torch.equal(odd[..., 1:8, 2:9], frames[..., :7, :7])


@pytest.mark.parametrize(("name", "size", "room"), [("crop", 16, 12), ("translate", 8, 12)])
def test_every_place_is_as_likely_as_any_other(name, size, room):
    """5 x 5 places, each a 25th of a grid of draws."""
    frames = torch.zeros(1, 1, 3, size, size, dtype=torch.uint8)
    frames[..., size // 2, size // 2] = 1
    steps = (torch.arange(15) + 0.5) / 15
    draws = torch.cartesian_prod(steps, steps)
    seen = build(name, FrameShape(1, room, room))(frames.expand(225, -1, -1, -1, -1), draws).sum(0)[0, 0]
    assert sorted(seen[seen > 0].tolist()) == [9] * 25


def test_frames_of_a_wrong_size_are_refused():
    small, large = noise(1, 1, 3, 80, 100), noise(1, 1, 3, 84, 85)
    for refused in (build("crop").evaluate, lambda f: build("crop")(f, torch.rand(1, 2))):
        with pytest.raises(ValueError, match=r"crop: frames \(1, 1, 3, 80, 100\) are smaller than the window, 84 x 84"):
            refused(small)
    for refused in (build("translate").evaluate, lambda f: build("translate")(f, torch.rand(1, 2))):
        with pytest.raises(ValueError, match=r"translate: frames \(1, 1, 3, 84, 85\) are larger than the canvas, 84 x 84"):
            refused(large)


# -- colour jitter ----------------------------------------------------------------------------------------------------

NEUTRAL = 0.5


def jitter_draws(brightness=NEUTRAL, contrast=NEUTRAL, saturation=NEUTRAL, hue=NEUTRAL, place=0.0) -> Tensor:
    return torch.tensor([[brightness, contrast, saturation, hue, place]])


@pytest.mark.parametrize("place", [0.0, 0.9])
def test_neutral_draws_leave_the_colours_alone(place):
    frames = noise(1, 2, 3, 84, 84)
    changed = build("color-jitter")(frames, jitter_draws(place=place))
    assert (changed.int() - frames.int()).abs().max() <= 1


def test_all_strengths_at_zero_leave_the_colours_alone():
    frames, draws = inputs("color-jitter", FrameShape(2, 40, 40))
    changed = build("color-jitter", brightness=0, contrast=0, saturation=0, hue=0)(frames, draws)
    assert (changed.int() - frames.int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("turns", "color"),
    [
        (0, (255, 0, 0)),
        (0.1, (255, 153, 0)),
        (1 / 6, (255, 255, 0)),
        (1 / 3, (0, 255, 0)),
        (0.5, (0, 255, 255)),
        (-1 / 3, (0, 0, 255)),
        (-1 / 6, (255, 0, 255)),
        (-0.1, (255, 0, 153)),
    ],
)
def test_hue_turns_red_into_the_known_colour(turns, color):
    """With hue = 0.5, a draw d turns by d - 0.5."""
    draws = jitter_draws(hue=min(turns + 0.5, BELOW_1))
    changed = build("color-jitter", hue=0.5)(filled(255, 0, 0, size=4), draws)
    assert changed[0, 0, :, 1, 2].tolist() == list(color)


def test_hue_turns_as_far_as_rads_does():
    """0.5 x 255 / 360 of a turn, 127.5 degrees: past green by an eighth of the way to cyan."""
    far = build("color-jitter")(filled(255, 0, 0, size=4), jitter_draws(hue=BELOW_1))
    assert far[0, 0, :, 0, 0].tolist() == [0, 255, 32]


@pytest.mark.parametrize(("b", "s", "h"), [(0.9, 0.2, 0.7), (0.1, 0.9, 0.05)])
def test_colours_change_as_hsv_says(b, s, h):
    """Against Python's own colorsys, pixel by pixel."""
    frames = noise(1, 1, 3, 12, 12)
    changed = build("color-jitter")(frames, jitter_draws(brightness=b, saturation=s, hue=h))
    for before, after in zip(frames.flatten(3).transpose(2, 3)[0, 0], changed.flatten(3).transpose(2, 3)[0, 0], strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255).tolist())
        hue = (hue + (2 * h - 1) * 0.5 * 255 / 360) % 1
        saturation, value = min(saturation * (1 + 0.4 * (2 * s - 1)), 1), min(value * (1 + 0.4 * (2 * b - 1)), 1)
        expected = 255 * torch.tensor(colorsys.hsv_to_rgb(hue, saturation, value))
        assert (expected - after).abs().max() <= 0.51


@pytest.mark.parametrize(
    ("draws", "factor"), [(jitter_draws(brightness=0.0), 0.6), (jitter_draws(brightness=0.75), 1.2)], ids=["darker", "brighter"]
)
def test_brightness_scales_a_colour(draws, factor):
    changed = build("color-jitter")(filled(200, 100, 50, size=4), draws)[0, 0, :, 0, 0]
    assert changed.tolist() == [round(factor * c) for c in (200, 100, 50)]


def test_contrast_scales_the_distance_from_each_channels_mean():
    frames = filled(100, 40, 0, size=4)
    frames[..., :2, :] = torch.tensor([140, 60, 0], dtype=torch.uint8).view(3, 1, 1)
    for place in (0.0, 0.9):
        changed = build("color-jitter")(frames, jitter_draws(contrast=0.0, place=place))[0, 0]
        assert changed[:, 0, 0].tolist() == [120 + 12, 50 + 6, 0]  # 0.6 times 20 and 10 above the means
        assert changed[:, 3, 0].tolist() == [120 - 12, 50 - 6, 0]


def test_contrast_comes_first_or_last():
    """What contrast cuts off at white is lost only where it comes first."""
    frames = filled(250, 250, 250, size=4)
    frames[..., :2, :] = 50  # mean 150, and 1.4 x 100 on either side of it: from 10 up to 290
    first, last = (build("color-jitter")(frames, jitter_draws(brightness=0.0, contrast=BELOW_1, place=p)) for p in (0.5, 0.4))
    assert first[0, 0, :, 3, 0].tolist() == [153] * 3  # 0.6 x min(290, 255)
    assert last[0, 0, :, 3, 0].tolist() == [174] * 3  # 0.6 x 250 = 150, 60 above the mean 90; 90 + 1.4 x 60


@pytest.mark.parametrize("place", [0.0, 0.9])
def test_extreme_draws_stay_within_black_and_white(place):
    """A sum that ran over would come back at the other end: white from black."""
    grays = torch.cat([filled(v, v, v, size=8) for v in (0, 255)])
    for value in (0.0, BELOW_1):
        changed = build("color-jitter")(grays, jitter_draws(value, value, value, value, place).expand(2, 5))
        assert not changed[0].any()
        assert changed[1].min() >= 0.6 * 255


@pytest.mark.parametrize(
    ("option", "value", "high"),
    [("brightness", 1.1, 1), ("contrast", -0.1, 1), ("saturation", 2, 1), ("hue", 0.51, 0.5), ("hue", "half", 0.5)],
)
def test_strengths_that_cannot_be_are_said(option, value, high):
    with pytest.raises(ValueError, match=rf"{option} = {value!r}: must be a number, 0 to {high}"):
        build("color-jitter", **{option: value})


# -- grayscale --------------------------------------------------------------------------------------------------------


def test_gray_weighs_the_channels_as_rad_does():
    for color, gray in [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((200, 100, 50), 124)]:
        changed = build("grayscale")(filled(*color, size=4), torch.zeros(1, 1))
        assert (changed == gray).all(), color


def test_what_is_gray_stays_what_it_is():
    frames = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 16, 16).repeat(1, 1, 3, 1, 1)
    assert torch.equal(build("grayscale")(frames, torch.zeros(1, 1)), frames)


@pytest.mark.parametrize(("options", "share"), [({}, 0.3), ({"p": 0.75}, 0.75), ({"p": 0}, 0.0), ({"p": 1}, 1.0)])
def test_a_share_of_the_stacks_turns_gray_and_the_rest_is_left_alone(options, share):
    draws = (torch.arange(100) + 0.5)[:, None] / 100
    changed = build("grayscale", **options)(filled(255, 0, 0, size=2).expand(100, -1, -1, -1, -1), draws)[:, 0, :, 0, 0]
    gray = (changed == 76).all(1)
    assert gray.sum() == round(100 * share)
    assert (changed[~gray] == torch.tensor([255, 0, 0])).all()


@pytest.mark.parametrize("p", [-0.1, 1.5, "often"])
def test_a_probability_that_cannot_be_is_said(p):
    with pytest.raises(ValueError, match=rf"p = {p!r}: a probability must be a number, 0 to 1"):
        build("grayscale", p=p)


# -- cutout -----------------------------------------------------------------------------------------------------------


def box(draws: Tensor, size: int = 84, **options) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is cut out; checks that it is one box, black, and that nothing else changed."""
    frames = noise(1, 2, 3, size, size) // 2 + 1
    changed = build("cutout", FrameShape(2, size, size), **options)(frames, draws)
    black = (changed == 0).flatten(0, 2)
    rows, columns = black[0].any(1).nonzero()[:, 0], black[0].any(0).nonzero()[:, 0]
    left, top, width, height = int(columns[0]), int(rows[0]), len(columns), len(rows)
    expected = frames.clone()
    expected[..., top : top + height, left : left + width] = 0
    assert torch.equal(changed, expected)
    return left, top, width, height


@pytest.mark.parametrize(
    ("draws", "expected"),
    [
        ([0, 0, 0, 0], (0, 0, 10, 10)),
        ([BELOW_1, BELOW_1, 0, 0], (0, 0, 29, 29)),
        ([0, 0, BELOW_1, BELOW_1], (74, 74, 10, 10)),
        ([BELOW_1, 0, BELOW_1, 0], (55, 0, 29, 10)),
        ([0.525, 0.025, 0.5, 0.5], (32, 37, 20, 10)),  # places 0 to 64 and 0 to 74
    ],
)
def test_the_box_has_its_sides_and_its_place(draws, expected):
    assert box(torch.tensor([draws], dtype=torch.float32)) == expected


def test_the_boxs_sides_follow_the_frame():
    ends = [torch.full((1, 4), value) for value in (0.0, BELOW_1)]
    assert [box(d, size=42)[2:] for d in ends] == [(5, 5), (14, 14)]
    assert [box(d, size=64)[2:] for d in ends] == [(8, 8), (22, 22)]
    assert [box(d, smallest=84, largest=85) for d in ends] == [(0, 0, 84, 84)] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smallest": 0}, "from 0 up to, not including, 30"),
        ({"smallest": 30}, "from 30 up to, not including, 30"),
        ({"largest": 86}, "from 10 up to, not including, 86"),
        ({"smallest": 10.5}, r"smallest = 10\.5: must be an integer"),
        ({"largest": "big"}, "largest = 'big': must be an integer"),
    ],
)
def test_sides_that_cannot_be_are_said(options, message):
    with pytest.raises(ValueError, match=message):
        build("cutout", **options)
