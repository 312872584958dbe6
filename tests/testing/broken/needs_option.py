"""An option without a default: a suite that names the encoder alone cannot build it."""

from torch import nn

from fetchbench import EncoderSpec, hookimpl


class Broken(nn.Module):
    def __init__(self, shape, dim) -> None:
        super().__init__()


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(name="broken-needs-option", build=Broken)
