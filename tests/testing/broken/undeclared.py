"""Uses the encoder's moments and does not say so."""

import torch
from torch import nn

from fetchbench import AuxiliaryLossSpec, hookimpl


class Broken(nn.Module):
    def __init__(self, context, steps: int = 3) -> None:
        super().__init__()
        self.stack = context.shape.frames
        self.net = nn.Linear(2 * context.feature_dim, steps * context.action_dim)

    def forward(self, inputs):
        z = list(inputs.encoder.moments(inputs.frames[:, : self.stack]))
        error = (self.net(torch.cat(z, -1)).view_as(inputs.actions) - inputs.actions).square() * inputs.mask[..., None]
        return error.mean(), {}


@hookimpl
def fetchbench_auxiliary_losses():
    yield AuxiliaryLossSpec(name="broken-undeclared", build=Broken, horizon="steps")
