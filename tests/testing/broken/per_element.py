"""One loss for each element of the batch."""

import torch
from torch import nn

from fetchbench import AuxiliaryLossSpec, hookimpl


class Broken(nn.Module):
    def __init__(self, context, steps: int = 3) -> None:
        super().__init__()
        self.stack = context.shape.frames
        self.net = nn.Linear(2 * context.feature_dim, steps * context.action_dim)

    def forward(self, inputs):
        z = [inputs.encode(inputs.frames[:, : self.stack])] * 2
        error = (self.net(torch.cat(z, -1)).view_as(inputs.actions) - inputs.actions).square() * inputs.mask[..., None]
        return error.mean(dim=(1, 2)), {}


@hookimpl
def fetchbench_auxiliary_losses():
    yield AuxiliaryLossSpec(name="broken-per-element", build=Broken, horizon="steps")
