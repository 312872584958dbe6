"""Statistics of its own that move whenever it runs, frozen or not."""

import torch
from torch import nn

from fetchbench import EncoderSpec, hookimpl


class Broken(nn.Module):
    def __init__(self, shape, dim: int = 8) -> None:
        super().__init__()
        frames, channels, height, width = shape
        self.convolution = nn.Conv2d(frames * channels, 8, 5, stride=4)
        with torch.no_grad():
            flat = self.convolution(torch.zeros(1, frames * channels, height, width)).numel()
        self.projection = nn.Linear(flat, dim)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, frames):
        self.seen += len(frames)
        maps = self.convolution(frames.flatten(1, 2) / 255 - 0.5).relu()
        return self.projection(maps.flatten(1))


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(name="broken-moving-statistics", build=Broken)
