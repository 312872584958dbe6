"""Four 3x3 convolutions whose channels each point at one place of the image (Levine et al. 2016, arXiv:1504.00702).

``spatial-softmax``: two initialisations, by option. ``alive`` (the default): centred pixels, orthogonal weights and temperature
0.1, so that the attention of an untrained channel already depends on the scene. ``flat``: PyTorch's weights, pixels in [0, 1]
and temperature 1, whose attention starts uniform: the coordinates hardly move when the scene does. Nothing normalises the
coordinates: their absolute value is what the head is for. Changed from the paper: the convolutions, which are manipulation's
and not pretrained.

``spatial-softmax-seed``: the encoder of robotics_series (github.com/VladPrytula/robotics_series), whole, as a control. It is
the flat start with a temperature that learns, and LayerNorm and tanh over the coordinates. Nothing is changed.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from fetchbench import EncoderSpec, FrameShape, hookimpl


class SpatialSoftmax(nn.Module):
    """The expected image coordinates under each channel's softmax.

    Args:
        temperature: What the maps are divided by, or its initial value.
        learned: Whether it is one parameter that learns, without bounds.
    """

    def __init__(self, temperature: float, learned: bool = False) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor([temperature])) if learned else temperature

    def attention(self, maps: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> ``(B, C, H, W)``, each channel summing to 1."""
        # In float32 whatever the convolutions' precision: coordinates are finer than bfloat16's steps.
        return (maps.float().flatten(2) / self.temperature).softmax(dim=-1).view_as(maps)

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> ``(B, 2 C)``: x of every channel, then y, each in [-1, 1], right and down positive."""
        attention = self.attention(maps)
        x = torch.linspace(-1, 1, maps.shape[3], device=maps.device)
        y = torch.linspace(-1, 1, maps.shape[2], device=maps.device)
        return torch.cat([(attention.sum(2) * x).sum(-1), (attention.sum(3) * y).sum(-1)], dim=1)


class SpatialSoftmaxEncoder(nn.Module):
    """3x3 convolutions with padding 1, as many as there are strides, then a spatial softmax."""

    def __init__(
        self,
        shape: FrameShape,
        filters: int = 32,
        strides: Sequence[int] = (2, 1, 1, 2),
        temperature: float | None = None,
        initialisation: Literal["alive", "flat"] = "alive",
    ) -> None:
        super().__init__()
        if initialisation not in ("alive", "flat"):
            raise ValueError(f"initialisation = {initialisation!r}: must be 'alive' or 'flat'")
        alive = initialisation == "alive"
        if temperature is None:
            temperature = 0.1 if alive else 1.0
        if temperature <= 0:
            raise ValueError(f"temperature = {temperature}: must be above 0")
        frames, channels, _, _ = shape
        layers: list[nn.Module] = []
        inputs = frames * channels
        for stride in strides:
            layers += [nn.Conv2d(inputs, filters, 3, stride=stride, padding=1), nn.ReLU()]
            inputs = filters
        self.convolutions = nn.Sequential(*layers)
        self.head = SpatialSoftmax(temperature)
        self.offset = 0.5 if alive else 0.0
        if alive:
            for layer in self.convolutions:
                if isinstance(layer, nn.Conv2d):
                    nn.init.orthogonal_(layer.weight, nn.init.calculate_gain("relu"))
                    nn.init.zeros_(layer.bias)

    def feature_map(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``(B, filters, H / 4, W / 4)`` with the default strides, before the softmax."""
        return self.convolutions((frames.flatten(1, 2) / 255).sub_(self.offset))

    def points(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``(B, filters, 2)``: the x and y at which each channel points, in [-1, 1]."""
        return self.head(self.feature_map(frames)).unflatten(1, (2, -1)).transpose(1, 2)

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``float32 (B, 2 filters)``, coordinates in [-1, 1]."""
        return self.head(self.feature_map(frames))


class SeedSpatialSoftmaxEncoder(SpatialSoftmaxEncoder):
    """The flat start, a temperature that learns, then LayerNorm and tanh across all coordinates."""

    def __init__(self, shape: FrameShape, filters: int = 32, strides: Sequence[int] = (2, 1, 1, 2)) -> None:
        super().__init__(shape, filters, strides, initialisation="flat")
        self.head = SpatialSoftmax(1.0, learned=True)
        self.normalisation = nn.Sequential(nn.LayerNorm(2 * filters), nn.Tanh())

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``float32 (B, 2 filters)``; no coordinates any more, but what is left of them."""
        return self.normalisation(super().forward(frames))


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(
        name="spatial-softmax",
        build=SpatialSoftmaxEncoder,
        summary="four 3x3 convolutions; each channel gives the place it points at",
        source="arXiv:1504.00702",
        preprocessing="divided by 255, minus 0.5",
    )
    yield EncoderSpec(
        name="spatial-softmax-seed",
        build=SeedSpatialSoftmaxEncoder,
        summary="spatial-softmax as robotics_series has it: it starts dead",
        source="github.com/VladPrytula/robotics_series",
        preprocessing="divided by 255",
        control="starts dead: attention is uniform over the image, and the coordinates hardly move when the scene does",
    )
