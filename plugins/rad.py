"""RAD's crop, translate, cutout and grayscale (Laskin et al. 2020, arXiv:2004.14990; its colour jitter is a file of its own).

Taken from the authors' code (github.com/MishaLaskin/rad, ``data_augs.py``, ``train.py`` and ``utils.py``): the sizes 100
-> 84 of ``crop`` and 100 -> 108 of ``translate``, scaled to the frame size; the centre of either when acting; the sides of
``cutout``, 10 to 29 of 84 pixels, its black; the weights and the probability 0.3 of ``grayscale``; one draw for all frames
of a stack.

Changed: ``translate`` renders 100 pixels, where theirs renders 108 and cuts the middle 100 out of them; and the next
observation gets a place of its own, where theirs gets the observation's. ``cutout`` draws the box's place, uniform over
those that lie in the frame; theirs puts a box of sides (h, w) at (h, w). ``grayscale`` rounds, theirs cuts off.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fetchbench import AugmentationSpec, FrameShape, hookimpl


def window(frames: Tensor, draws: Tensor, height: int, width: int) -> Tensor:
    """A window of each stack, uniform over its places: draws ``(B, 2)`` for x and y -> ``(B, F, 3, height, width)``."""
    if frames.stride(-1) != 1:
        frames = frames.contiguous()
    batch, stack, channels, tall, wide = frames.shape
    strides = frames.stride()

    def steps(count: int, axis: int) -> Tensor:
        return torch.arange(count, device=frames.device) * strides[axis]

    left = (draws[:, 0] * (wide - width + 1)).long()
    top = (draws[:, 1] * (tall - height + 1)).long()
    starts = (steps(batch, 0) + top * strides[3] + left)[:, None, None, None]
    starts = starts + steps(stack, 1)[:, None, None] + steps(channels, 2)[:, None] + steps(height, 3)
    # Every row of a window is an unbroken run of memory. Copying runs is several times faster than a gather by pixels.
    reach = sum((size - 1) * stride for size, stride in zip(frames.shape, strides, strict=True)) + 1
    runs = frames.as_strided((reach - width + 1, width), (1, 1))  # row i starts at pixel i; nothing is copied yet
    return runs.index_select(0, starts.flatten()).view(batch, stack, channels, height, width)


class Crop:
    """A window of larger frames, at a random place; the middle one when acting.

    Args:
        shape: Its height and width are the window's.
    """

    def __init__(self, shape: FrameShape) -> None:
        self.height, self.width = shape.height, shape.width

    @staticmethod
    def input_size(size: int) -> int:
        """100 for 84."""
        return round(size * 100 / 84)

    def __call__(self, frames: Tensor, draws: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H_in, W_in)``, draws ``(B, 2)`` for x and y -> ``uint8 (B, F, 3, H, W)``."""
        self._check(frames)
        return window(frames, draws, self.height, self.width)

    def evaluate(self, frames: Tensor) -> Tensor:
        """The window in the middle."""
        self._check(frames)
        top, left = (frames.shape[-2] - self.height) // 2, (frames.shape[-1] - self.width) // 2
        return frames[..., top : top + self.height, left : left + self.width]

    def _check(self, frames: Tensor) -> None:
        if frames.shape[-2] < self.height or frames.shape[-1] < self.width:
            raise ValueError(f"crop: frames {tuple(frames.shape)} are smaller than the window, {self.height} x {self.width}")


class Translate:
    """Smaller frames on a black canvas, at a random place; in the middle when acting.

    Args:
        shape: Its height and width are the canvas's.
    """

    def __init__(self, shape: FrameShape) -> None:
        self.height, self.width = shape.height, shape.width

    @staticmethod
    def input_size(size: int) -> int:
        """100 for 108."""
        return round(size * 100 / 108)

    def __call__(self, frames: Tensor, draws: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H_in, W_in)``, draws ``(B, 2)`` for x and y -> ``uint8 (B, F, 3, H, W)``."""
        x, y = self._room(frames)
        # Black on both sides of each axis; where the window lies in that decides where the frame lies in the window.
        return window(F.pad(frames, (x, x, y, y)), draws, self.height, self.width)

    def evaluate(self, frames: Tensor) -> Tensor:
        """The frame in the middle of its canvas."""
        x, y = self._room(frames)
        return F.pad(frames, (x // 2, x - x // 2, y // 2, y - y // 2))

    def _room(self, frames: Tensor) -> tuple[int, int]:
        """Columns and rows of the canvas that the frame leaves black."""
        x, y = self.width - frames.shape[-1], self.height - frames.shape[-2]
        if x < 0 or y < 0:
            raise ValueError(
                f"translate: frames {tuple(frames.shape)} are larger than the canvas, {self.height} x {self.width}"
            )
        return x, y


class Cutout:
    """A black box of random sides at a random place within the frame.

    Args:
        shape: Sides are scaled from 84 to its height and width.
        smallest: Of the box's sides, in pixels of an 84-pixel frame.
        largest: Its sides stay below that, as ``randint``'s do.
    """

    def __init__(self, shape: FrameShape, smallest: int = 10, largest: int = 30) -> None:
        for name, side in (("smallest", smallest), ("largest", largest)):
            if not isinstance(side, int):
                raise ValueError(f"{name} = {side!r}: must be an integer, in pixels of an 84-pixel frame")
        # Per axis, x then y: the pixels of the frame, the smallest side, and how many sides there are to draw from.
        self.axes: list[tuple[int, int, int]] = []
        for size in (shape.width, shape.height):
            low, high = round(smallest * size / 84), round(largest * size / 84)
            if not 1 <= low < high <= size + 1:
                raise ValueError(
                    f"smallest = {smallest}, largest = {largest}: on frames of {size} pixels the box's sides would go "
                    f"from {low} up to, not including, {high}; there must be one, of 1 to {size} pixels"
                )
            self.axes.append((size, low, high - low))

    def __call__(self, frames: Tensor, draws: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)``, draws ``(B, 4)`` for width, height, left and top -> the same shape."""
        inside = []
        for axis, (size, low, sides) in enumerate(self.axes):
            side = low + (draws[:, axis] * sides).long()
            first = (draws[:, 2 + axis] * (size - side + 1)).long()
            pixels = torch.arange(size, device=frames.device)
            inside.append((pixels >= first[:, None]) & (pixels < (first + side)[:, None]))  # (B, size)
        box = inside[0][:, None, None, None, :] & inside[1][:, None, None, :, None]  # (B, 1, 1, H, W)
        return frames * ~box

    def evaluate(self, frames: Tensor) -> Tensor:
        """The identity."""
        return frames


class Grayscale:
    """Some stacks without their colours.

    Args:
        shape: Not needed: any frames will do.
        p: The share of stacks.
    """

    def __init__(self, shape: FrameShape, p: float = 0.3) -> None:
        if not isinstance(p, int | float) or not 0 <= p <= 1:
            raise ValueError(f"p = {p!r}: a probability must be a number, 0 to 1")
        self.p = p

    def __call__(self, frames: Tensor, draws: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)``, draws ``(B, 1)`` -> the same shape."""
        red, green, blue = frames.unbind(2)
        gray = torch.mul(red, 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).round_().to(torch.uint8)
        return torch.where((draws < self.p)[:, :, None, None, None], gray[:, :, None], frames)

    def evaluate(self, frames: Tensor) -> Tensor:
        """The identity."""
        return frames


@hookimpl
def fetchbench_augmentations():
    source = "arXiv:2004.14990"
    yield AugmentationSpec("crop", Crop, 2, Crop.input_size, "a window of 84 in 100 pixels, in proportion", source)
    yield AugmentationSpec(
        "translate", Translate, 2, Translate.input_size, "a frame of 100 on a canvas of 108 pixels, in proportion", source
    )
    yield AugmentationSpec("cutout", Cutout, 4, None, "a black box", f"{source}; placed anywhere")
    yield AugmentationSpec("grayscale", Grayscale, 1, None, "3 stacks in 10 without colour", source)
