"""The mean colour of the image, over 255 twice: as good as a constant."""

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
        self.colour = nn.Linear(frames * channels, dim)
        del self.convolution, self.projection

    def forward(self, frames):
        return self.colour(frames.flatten(1, 2).float().mean((2, 3)) / 255 / 255)


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(name="broken-constant", build=Broken)
