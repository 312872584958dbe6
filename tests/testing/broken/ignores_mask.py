"""Counts steps behind the end of the episode."""

import torch
from torch import nn

from fetchbench import AuxiliaryLossSpec, hookimpl


class Broken(nn.Module):
    def __init__(self, context, steps: int = 3) -> None:
        super().__init__()
        self.stack = context.shape.frames
        self.net = nn.Linear(2 * context.feature_dim, steps * context.action_dim)

    def forward(self, inputs):
        z = [inputs.encode(inputs.frames[:, : self.stack]), inputs.encode(inputs.frames[:, -self.stack :])]
        error = (self.net(torch.cat(z, -1)).view_as(inputs.actions) - inputs.actions).square()
        return error.mean(), {}


@hookimpl
def fetchbench_auxiliary_losses():
    yield AuxiliaryLossSpec(name="broken-ignores-mask", build=Broken, horizon="steps")
