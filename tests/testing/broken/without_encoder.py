"""Features without gradient: nothing of the loss reaches the encoder."""

import torch
from torch import nn

from fetchbench import AuxiliaryLossSpec, hookimpl


class Broken(nn.Module):
    def __init__(self, context, steps: int = 3) -> None:
        super().__init__()
        self.stack = context.shape.frames
        self.net = nn.Linear(2 * context.feature_dim, steps * context.action_dim)

    def forward(self, inputs):
        with torch.no_grad():
            z = [inputs.encode(inputs.frames[:, : self.stack])] * 2
        error = (self.net(torch.cat(z, -1)).view_as(inputs.actions) - inputs.actions).square() * inputs.mask[..., None]
        return error.mean(), {}


@hookimpl
def fetchbench_auxiliary_losses():
    yield AuxiliaryLossSpec(name="broken-without-encoder", build=Broken, horizon="steps")
