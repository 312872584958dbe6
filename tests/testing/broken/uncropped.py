"""A crop that forgets what acting sees: `evaluate` returns the larger frames."""

import torch

from fetchbench import AugmentationSpec, hookimpl


class Broken:
    def __init__(self, shape) -> None:
        self.size = shape.width

    def __call__(self, frames, draws):
        offset = int(8 * 0.5)
        flipped = torch.where(draws[:, 0].view(-1, 1, 1, 1, 1) < 0.5, frames, frames.flip(-1))
        return flipped[..., offset : offset + self.size, offset : offset + self.size]

    def evaluate(self, frames):
        return frames


@hookimpl
def fetchbench_augmentations():
    yield AugmentationSpec(name="broken-uncropped", build=Broken, draws=1, input_size=lambda size: size + 8)
