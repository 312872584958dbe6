"""Returns floats in [0, 1], where frames are uint8."""

from fetchbench import AugmentationSpec, hookimpl


class Broken:
    def __init__(self, shape) -> None:
        self.size = shape.width

    def __call__(self, frames, draws):
        return (frames / 255 * draws.view(-1, 1, 1, 1, 1)).clamp(0, 1)

    def evaluate(self, frames):
        return frames


@hookimpl
def fetchbench_augmentations():
    yield AugmentationSpec(name="broken-floating", build=Broken, draws=1)
