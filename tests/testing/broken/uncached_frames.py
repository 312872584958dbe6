"""A frame encoder that subtracts the mean of all frames that it is given: embedded once, a frame gives something else."""

from torch import nn

from fetchbench import EncoderSpec, hookimpl


class Broken(nn.Module):
    def __init__(self, shape, dim: int = 8) -> None:
        super().__init__()
        self.projection = nn.Linear(shape.channels * 64, dim)
        self.pool = nn.AdaptiveAvgPool2d(8)

    def forward(self, frames):
        pixels = frames[:, 0] / 255
        return self.projection(self.pool(pixels - pixels.mean((0, 2, 3), keepdim=True)).flatten(1))


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(name="broken-uncached-frames", build=Broken, input="frame")
