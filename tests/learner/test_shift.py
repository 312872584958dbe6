"""The random shift against the padded picture that it is cut from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import fetchbench
from fetchbench.learner.frames import random_shift

BELOW_1 = 1 - 2**-24
"""The largest number that ``torch.rand`` gives."""


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def draws_for(*offsets: tuple[int, int], pad: int = 4) -> Tensor:
    """The draws in the middle of those that give these offsets (x, y), 0 to 2 pad."""
    return (torch.tensor(offsets) + 0.5) / (2 * pad + 1)


def cut(frames: Tensor, offsets: list[tuple[int, int]], pad: int) -> Tensor:
    """Kostrikov et al.'s shift, stack by stack: pad by repeating the border, cut a window out."""
    height, width = frames.shape[-2:]
    padded = torch.nn.functional.pad(frames.flatten(0, 1).double(), (pad,) * 4, mode="replicate").unflatten(0, frames.shape[:2])
    windows = [p[..., y : y + height, x : x + width] for p, (x, y) in zip(padded, offsets, strict=True)]
    return torch.stack(windows).to(frames.dtype)


def test_it_is_public():
    assert fetchbench.random_shift is random_shift


@pytest.mark.parametrize("offset", [(0, 0), (8, 0), (0, 8), (8, 8), (4, 4), (1, 6), (5, 3)])
def test_a_pixel_moves_by_the_offset(offset):
    frames = torch.zeros(1, 2, 3, 20, 30, dtype=torch.uint8)
    frames[..., 9, 14] = 200
    shifted = random_shift(frames, draws_for(offset))
    x, y = offset
    expected = torch.zeros_like(frames)
    expected[..., 9 + 4 - y, 14 + 4 - x] = 200
    assert torch.equal(shifted, expected)


def test_the_middle_draw_changes_nothing():
    frames = noise(3, 2, 3, 17, 11)
    assert torch.equal(random_shift(frames, torch.full((3, 2), 0.5)), frames)
    assert torch.equal(random_shift(frames, torch.rand(3, 2), pad=0), frames)


@pytest.mark.parametrize("pad", [1, 3, 4, 6, 30])
@pytest.mark.parametrize("value", [0.0, BELOW_1])
def test_the_ends_of_the_draws_are_the_ends_of_the_offsets(pad, value):
    frames, offset = noise(1, 1, 3, 12, 9), 2 * pad if value else 0
    assert torch.equal(random_shift(frames, torch.full((1, 2), value), pad), cut(frames, [(offset, offset)], pad))


def test_the_border_is_repeated():
    frames = torch.zeros(1, 1, 3, 16, 16, dtype=torch.uint8)
    frames[..., :, 0], frames[..., 0, :], frames[..., -1, :] = 10, 50, 90  # left, then top and bottom
    right_down = random_shift(frames, draws_for((0, 0)))
    assert (right_down[..., :5, :] == 50).all()  # the top row and four copies of it
    assert (right_down[..., 5:, :5] == 10).all()
    assert not right_down[..., 5:, 5:].any()
    up = random_shift(frames, draws_for((4, 8)))
    assert (up[..., -5:, :] == 90).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(5, 1, 3, 24, 24), (5, 4, 3, 13, 20), (5, 7, 3, 20, 13)], ids=str)
def test_it_is_a_window_of_the_padded_frames(shape, dtype):
    frames, offsets = noise(*shape).to(dtype), [(0, 8), (3, 3), (7, 1), (8, 4), (2, 5)]
    before = frames.clone()
    shifted = random_shift(frames, draws_for(*offsets))
    assert shifted.dtype == dtype
    assert shifted.is_contiguous()
    assert torch.equal(shifted, cut(frames, offsets, 4))
    assert torch.equal(frames, before)


@pytest.mark.parametrize("pad", [1, 4])
def test_how_the_frames_lie_in_memory_does_not_matter(pad):
    offsets = [(0, 2 * pad), (pad, pad), (2, 1)]
    draws, long = draws_for(*offsets, pad=pad), noise(3, 6, 3, 14, 14)
    views = {
        "a part of a sequence": long[:, 1:5],
        "mirrored axes": long.transpose(-1, -2),
        "channels last": long.contiguous(memory_format=torch.channels_last_3d),
        "one frame many times": long[:, :1].expand(-1, 4, -1, -1, -1),
    }
    for name, frames in views.items():
        assert torch.equal(random_shift(frames, draws, pad), cut(frames, offsets, pad)), name


def test_every_offset_is_as_likely_as_any_other():
    """On a grid of draws, each of the 81 offsets comes equally often."""
    frames = torch.zeros(1, 1, 3, 9, 9, dtype=torch.uint8)
    frames[..., 4, 4] = 1
    steps = (torch.arange(27) + 0.5) / 27
    draws = torch.cartesian_prod(steps, steps)
    shifted = random_shift(frames.expand(len(draws), -1, -1, -1, -1), draws)
    assert torch.equal(shifted.sum(0)[0, 0], torch.full((9, 9), 9))


def test_stacks_move_each_by_itself_and_their_frames_alike():
    frame = noise(1, 1, 3, 15, 15)
    shifted = random_shift(frame.expand(4, 3, -1, -1, -1), draws_for((0, 0), (8, 2), (8, 2), (1, 1)))
    assert all(torch.equal(stack[0], other) for stack in shifted for other in stack)
    assert torch.equal(shifted[1], shifted[2])
    assert not torch.equal(shifted[0], shifted[3])


class Operations(TorchDispatchMode):
    """Notes what PyTorch is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_nothing_waits_for_a_value():
    """No number is read back and none is copied in: a CUDA graph can record it."""
    with Operations() as seen:
        random_shift(noise(2, 1, 3, 8, 8), torch.rand(2, 2))
    assert "index_select" in seen.names
    assert not seen.names & {"_local_scalar_dense", "nonzero", "lift_fresh", "masked_select", "index"}  # `index` takes masks


def test_it_compiles_to_one_graph():
    frames, draws = noise(3, 2, 3, 12, 12), draws_for((0, 8), (3, 3), (7, 1))
    compiled = torch.compile(random_shift, backend="eager", fullgraph=True, dynamic=False)
    assert torch.equal(compiled(frames, draws), random_shift(frames, draws))


@pytest.mark.parametrize(
    ("frames", "draws", "pad", "message"),
    [
        (noise(2, 3, 8, 8), torch.rand(2, 2), 4, r"frames \(2, 3, 8, 8\): must be \(B, F, 3, H, W\)"),
        (noise(2, 1, 3, 8, 8), torch.rand(2, 1), 4, r"draws \(2, 1\): a shift of 2 stacks takes \(2, 2\)"),
        (noise(2, 1, 3, 8, 8), torch.rand(4, 2), 4, r"draws \(4, 2\): a shift of 2 stacks takes \(2, 2\)"),
        (noise(2, 1, 3, 8, 8), torch.rand(2, 2), -1, "pad = -1: must be an integer, 0 or more pixels"),
        (noise(2, 1, 3, 8, 8), torch.rand(2, 2), 1.5, r"pad = 1\.5: must be an integer, 0 or more pixels"),
        (noise(2, 1, 3, 8, 8).float().requires_grad_(), torch.rand(2, 2), 4, "frames require a gradient.*detach them"),
    ],
    ids=["frames", "draws too few", "draws of another batch", "negative", "not whole", "gradient"],
)
def test_what_cannot_be_is_said(frames, draws, pad, message):
    with pytest.raises(ValueError, match=message):
        random_shift(frames, draws, pad)
