"""Random shifts: DrQ's (Kostrikov et al. 2020, arXiv:2004.13649) and DrQ-v2's (Yarats et al. 2021, arXiv:2107.09645).

``shift`` is DrQ's: the border repeated four pixels outwards, and a window of the old size cut out, at one of 9 x 9 places.
From the authors' code (github.com/denisyarats/drq, ``replay_buffer.py``: ReplicationPad2d, RandomCrop) pad and place.

``shift-bilinear`` is DrQ-v2's. Its paper speaks of bilinear interpolation; its code
(github.com/facebookresearch/drqv2, ``drqv2.py``) calls a bilinear ``grid_sample``, but draws whole numbers of pixels and
samples at the pixels' centres, so that nothing is interpolated: what it returns are DrQ's shifts, up to floating point's
last digits. Here, therefore, the default is the very function that ``shift`` is. ``subpixel = true`` does interpolate: shifts
are uniform over the same range, but not whole, so that each pixel is a weighted mean of its four nearest.
Changed: the result is rounded to ``uint8``, where theirs stays in floating point.

In both, all frames of a stack move alike, and K and M views are the method's ``views`` and ``target_views``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fetchbench import AugmentationSpec, FrameShape, hookimpl, random_shift

PART = 16
"""Stacks that are interpolated at a time: what a core's cache holds. All at once takes twice as long there."""


class Shift:
    """A whole number of pixels, by repeating the border.

    Args:
        shape: Not needed: any frames will do.
        pad: The largest shift, in pixels.
    """

    def __init__(self, shape: FrameShape, pad: int = 4) -> None:
        if not isinstance(pad, int) or pad < 1:
            raise ValueError(f"pad = {pad!r}: must be an integer, 1 or more pixels")
        self.pad = pad

    def __call__(self, frames: Tensor, draws: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)``, draws ``(B, 2)`` for x and y -> the same shape."""
        return random_shift(frames, draws, self.pad)

    def evaluate(self, frames: Tensor) -> Tensor:
        """The identity."""
        return frames


class BilinearShift(Shift):
    """As :class:`Shift`, or with bilinear interpolation by parts of a pixel.

    Args:
        shape: Not needed: any frames will do.
        pad: The largest shift, in pixels.
        subpixel: Whether shifts are uniform over [-pad, pad), not over the whole numbers in [-pad, pad].
    """

    def __init__(self, shape: FrameShape, pad: int = 4, subpixel: bool = False) -> None:
        super().__init__(shape, pad)
        if not isinstance(subpixel, bool):
            raise ValueError(f"subpixel = {subpixel!r}: must be true or false")
        self.subpixel = subpixel

    def __call__(self, frames: Tensor, draws: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)``, draws ``(B, 2)`` for x and y -> the same shape."""
        if not self.subpixel:
            return random_shift(frames, draws, self.pad)
        offsets = self.pad * (2 * draws - 1)  # (B, 2), of the window, in pixels: the scene moves the other way
        parts = zip(frames.split(PART), offsets.split(PART), strict=True)
        return torch.cat([sampled(part, offset) for part, offset in parts])


def sampled(frames: Tensor, offsets: Tensor) -> Tensor:
    """Frames read at every pixel's place plus the offset ``(B, 2)``, in pixels: x, y. The border goes on outwards."""
    height, width = frames.shape[-2:]
    # In grid_sample's coordinates the image reaches from -1 to 1, its first pixel's centre lies half a pixel inside.
    x = (2 * (torch.arange(width, device=frames.device) + offsets[:, :1]) + 1) / width - 1  # (B, W)
    y = (2 * (torch.arange(height, device=frames.device) + offsets[:, 1:]) + 1) / height - 1  # (B, H)
    grid = torch.stack([x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], dim=-1)  # (B, H, W, 2)
    images = frames.flatten(1, 2).float()  # (B, F * 3, H, W)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return moved.round_().to(torch.uint8).view_as(frames)


@hookimpl
def fetchbench_augmentations():
    yield AugmentationSpec(
        name="shift",
        build=Shift,
        draws=2,
        summary="moved by up to 4 whole pixels, the border repeated",
        source="arXiv:2004.13649",
    )
    yield AugmentationSpec(
        name="shift-bilinear",
        build=BilinearShift,
        draws=2,
        summary="the same, as DrQ-v2's code does it; with subpixel = true by parts of a pixel",
        source="arXiv:2107.09645; rounded to whole grey levels",
    )
