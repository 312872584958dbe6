"""Draws from torch's global generator what was passed in."""

import torch

from fetchbench import AugmentationSpec, hookimpl


class Broken:
    def __init__(self, shape) -> None:
        self.size = shape.width

    def __call__(self, frames, draws):
        black = torch.rand(len(frames)) < 0.5
        return frames * black.view(-1, 1, 1, 1, 1)

    def evaluate(self, frames):
        return frames


@hookimpl
def fetchbench_augmentations():
    yield AugmentationSpec(name="broken-draws-itself", build=Broken, draws=1)
