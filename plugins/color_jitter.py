"""RAD's colour jitter: brightness, contrast, saturation, hue, a draw each per stack (Laskin et al. 2020, arXiv:2004.14990).

Taken from the authors' code (github.com/MishaLaskin/rad, ``TransformLayer.py``): brightness and saturation scale V and S of
HSV, hue turns H, contrast scales each channel's distance from its mean over the frame; contrast comes first or last with
equal odds. Their hue of 0.5 is multiplied by 255 / 360 before it turns anything: up to 127.5 degrees, which is the default
here, as a part of a turn.

Changed: the odds of contrast's place are thrown per stack, theirs once per batch; the result is rounded to ``uint8``.
"""

import torch
from torch import Tensor

from fetchbench import AugmentationSpec, FrameShape, hookimpl

PART = 16
"""Stacks at a time: what a core's cache holds. All at once takes nearly twice as long there, and much more memory."""

TINY = 1e-6
"""Keeps colourless and black pixels from being divided by 0; whatever they are divided by, they stay what they are."""


class ColorJitter:
    """Colours changed alike in all frames of a stack.

    Args:
        shape: Not needed: any frames will do.
        brightness: The factor on V is uniform within 1 - this and 1 + this.
        contrast: The same of the factor on the distance from the mean.
        saturation: The same of the factor on S.
        hue: The largest rotation, either way, in turns.
    """

    def __init__(
        self,
        shape: FrameShape,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.5 * 255 / 360,
    ) -> None:
        for name, value, high in (
            ("brightness", brightness, 1),
            ("contrast", contrast, 1),
            ("saturation", saturation, 1),
            ("hue", hue, 0.5),
        ):
            if not isinstance(value, int | float) or not 0 <= value <= high:
                raise ValueError(f"{name} = {value!r}: must be a number, 0 to {high}")
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def __call__(self, frames: Tensor, draws: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> the same shape.

        Draws ``(B, 5)``: brightness, contrast, saturation, hue, each neutral at 0.5, and contrast's place, first from 0.5 on.
        """
        parts = zip(frames.split(PART), draws.split(PART), strict=True)
        return torch.cat([self._jittered(part, draw) for part, draw in parts])

    def evaluate(self, frames: Tensor) -> Tensor:
        """The identity."""
        return frames

    def _jittered(self, frames: Tensor, draws: Tensor) -> Tensor:
        brightness, contrast, saturation, hue, place = (2 * draws - 1).view(-1, 5, 1, 1, 1).unbind(1)  # each (B, 1, 1, 1)
        contrast = 1 + self.contrast * contrast
        rgb = contrasted(frames.float(), torch.where(place >= 0, contrast, 1))
        rgb = recoloured(rgb, 1 + self.brightness * brightness, 1 + self.saturation * saturation, self.hue * hue)
        return contrasted(rgb, torch.where(place >= 0, 1, contrast)).round_().to(torch.uint8)


def contrasted(rgb: Tensor, factor: Tensor) -> Tensor:
    """Each channel of each frame, its distance from its mean scaled. In place: ``(B, F, 3, H, W)`` in [0, 255]."""
    factor = factor[..., None]
    mean = rgb.mean(dim=(-2, -1), keepdim=True)
    return rgb.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 255)


def recoloured(rgb: Tensor, brightness: Tensor, saturation: Tensor, turns: Tensor) -> Tensor:
    """V and S of HSV scaled, H turned.

    Args:
        rgb: ``float32 (B, F, 3, H, W)`` in [0, 255].
        brightness: Factor on V, ``(B, 1, 1, 1)``.
        saturation: Factor on S, ``(B, 1, 1, 1)``.
        turns: Added to H, ``(B, 1, 1, 1)``, in turns: 1 / 3 makes red green.
    """
    red, green, blue = rgb.unbind(2)  # each (B, F, H, W)
    value = rgb.amax(2)
    chroma = value - rgb.amin(2)
    # H in sixths of a turn: 0 is red, 2 green, 4 blue.
    is_red, is_green = value == red, value == green
    hue = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green)).div_(chroma.clamp(min=TINY))
    hue = hue.add_(torch.where(is_red, 0.0, torch.where(is_green, 2.0, 4.0))).add_(6 * turns).remainder_(6)
    share = chroma.div_(value.clamp(min=TINY)).mul_(saturation).clamp_(max=1)  # S
    value = value.mul_(brightness).clamp_(max=255)
    chroma = share.mul_(value)
    # Where each channel lies between V - chroma (0) and V (1): a trapezoid in H, the three a third of a turn apart.
    places = torch.stack([(hue - 3).abs_().sub_(1), 2 - (hue - 2).abs_(), 2 - (hue - 4).abs_()], dim=2).clamp_(0, 1)
    return places.mul_(chroma[:, :, None]).add_((value - chroma)[:, :, None])


@hookimpl
def fetchbench_augmentations():
    yield AugmentationSpec(
        name="color-jitter",
        build=ColorJitter,
        draws=5,
        summary="brightness, contrast, saturation and hue",
        source="arXiv:2004.14990; rounded to whole grey levels",
    )
