"""BatchNorm as it comes: in training every feature depends on the whole batch."""

import torch
from torch import nn

from fetchbench import EncoderSpec, hookimpl


class Broken(nn.Module):
    def __init__(self, shape, dim: int = 8) -> None:
        super().__init__()
        frames, channels, height, width = shape
        self.convolutions = nn.Sequential(
            nn.Conv2d(frames * channels, 8, 5, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()
        )
        with torch.no_grad():
            flat = self.convolutions(torch.zeros(2, frames * channels, height, width)).shape[1]
        self.projection = nn.Linear(flat, dim)

    def forward(self, frames):
        return self.projection(self.convolutions(frames.flatten(1, 2) / 255 - 0.5))


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(name="broken-batch-norm", build=Broken)
