"""NatureCNN: three convolutions and a linear projection (Mnih et al. 2015, doi:10.1038/nature14236)."""

import torch
from torch import Tensor, nn

from fetchbench import EncoderSpec, FrameShape, hookimpl


class NatureCNN(nn.Module):
    """32 8x8 filters with stride 4, 64 4x4 with stride 2, 64 3x3 with stride 1, then a ReLU projection."""

    def __init__(self, shape: FrameShape, dim: int = 256) -> None:
        super().__init__()
        frames, channels, height, width = shape
        self.convolutions = nn.Sequential(
            nn.Conv2d(frames * channels, 32, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
            nn.Flatten(),
        )
        with torch.no_grad():
            flat = self.convolutions(torch.zeros(1, frames * channels, height, width)).shape[1]
        self.projection = nn.Sequential(nn.Linear(flat, dim), nn.ReLU())

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``float32 (B, dim)``."""
        x = frames.flatten(1, 2) / 255  # (B, F * 3, H, W)
        return self.projection(self.convolutions(x))


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(
        name="nature",
        build=NatureCNN,
        summary="three convolutions, 8x8, 4x4 and 3x3, and a projection",
        source="doi:10.1038/nature14236",
        preprocessing="divided by 255",
    )
