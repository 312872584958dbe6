"""Asks for a draw and does without."""

from fetchbench import AugmentationSpec, hookimpl


class Broken:
    def __init__(self, shape) -> None:
        self.size = shape.width

    def __call__(self, frames, draws):
        return 255 - frames

    def evaluate(self, frames):
        return frames


@hookimpl
def fetchbench_augmentations():
    yield AugmentationSpec(name="broken-ignores-draws", build=Broken, draws=1)
