"""Four 3x3 convolutions and a flat projection, for scenes with small objects.

The layers follow the manipulation CNN of robotics_series (github.com/VladPrytula/robotics_series), the projection follows
Yarats et al. 2021 (arXiv:1910.01741). Changed: pixels are centred.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fetchbench import EncoderSpec, FrameShape, hookimpl


class Manipulation(nn.Module):
    """3x3 convolutions with padding 1, as many as there are strides, then Linear-LayerNorm-tanh."""

    def __init__(self, shape: FrameShape, dim: int = 50, filters: int = 32, strides: Sequence[int] = (2, 1, 1, 2)) -> None:
        super().__init__()
        frames, channels, height, width = shape
        layers: list[nn.Module] = []
        inputs = frames * channels
        for stride in strides:
            layers += [nn.Conv2d(inputs, filters, 3, stride=stride, padding=1), nn.ReLU()]
            inputs = filters
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        with torch.no_grad():
            flat = self.convolutions(torch.zeros(1, frames * channels, height, width)).shape[1]
        self.projection = nn.Sequential(nn.Linear(flat, dim), nn.LayerNorm(dim), nn.Tanh())

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``float32 (B, dim)``."""
        x = (frames.flatten(1, 2) / 255).sub_(0.5)  # (B, F * 3, H, W)
        return self.projection(self.convolutions(x))


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(
        name="manipulation",
        build=Manipulation,
        summary="four 3x3 convolutions, flattened and projected",
        source="github.com/VladPrytula/robotics_series; arXiv:1910.01741",
        preprocessing="divided by 255, minus 0.5",
    )
