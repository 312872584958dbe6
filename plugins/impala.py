"""IMPALA's residual network, the deep one (Espeholt et al. 2018, arXiv:1802.01561, figure 3, right).

Taken from the paper and the authors' code (github.com/google-deepmind/scalable_agent): three sections of 16, 32 and 32
channels, each a 3x3 convolution, a 3x3 max pooling with stride 2 and two residual blocks (ReLU, 3x3, ReLU, 3x3, sum), then
ReLU, a linear layer to 256 and ReLU: 15 convolutions. Pixels are divided by 255. Weights start as in Sonnet, which that code
builds on: a normal distribution of deviation 1 / sqrt(inputs), cut off at two deviations; biases at 0.

Changed: the pooling pads both sides, where TensorFlow's ``SAME`` pads an even side at its end alone (the maps have the same
sizes); no LSTM and no language input follow. ``width`` multiplies the channels, as in Cobbe et al. 2020 (arXiv:1912.01588).
"""

import torch
from torch import Tensor, nn

from fetchbench import EncoderSpec, FrameShape, hookimpl


class Residual(nn.Module):
    """``x + conv(relu(conv(relu(x))))``, of the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Impala(nn.Module):
    """Three sections of a convolution, a pooling and two residual blocks; then a linear layer."""

    def __init__(self, shape: FrameShape, dim: int = 256, width: int = 1) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width = {width}: it multiplies the channels; must be 1 or more")
        frames, channels, height, columns = shape
        layers: list[nn.Module] = []
        inputs = frames * channels
        for filters in (16 * width, 32 * width, 32 * width):
            layers += [nn.Conv2d(inputs, filters, 3, padding=1), nn.MaxPool2d(3, stride=2, padding=1)]
            layers += [Residual(filters), Residual(filters)]
            inputs = filters
        self.sections = nn.Sequential(*layers, nn.ReLU())
        with torch.no_grad():
            flat = self.sections(torch.zeros(1, frames * channels, height, columns)).numel()
        self.projection = nn.Sequential(nn.Linear(flat, dim), nn.ReLU())
        self.apply(initialise)

    def feature_map(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``(B, 32 width, H / 8, W / 8)``, sizes rounded up at each of the three poolings."""
        return self.sections(frames.flatten(1, 2) / 255)

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``float32 (B, dim)``."""
        return self.projection(self.feature_map(frames).flatten(1))


def initialise(layer: nn.Module) -> None:
    """Sonnet's default weights."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        deviation = layer.weight[0].numel() ** -0.5
        nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        nn.init.zeros_(layer.bias)


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(
        name="impala",
        build=Impala,
        summary="residual network of 15 convolutions, and a projection",
        source="arXiv:1802.01561; github.com/google-deepmind/scalable_agent",
        preprocessing="divided by 255",
    )
