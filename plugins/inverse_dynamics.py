"""Inverse dynamics: which action led from one observation to the next? (Pathak et al. 2017, arXiv:1705.05363)

Taken: both observations through the one encoder, with gradient through both; their features side by side, one hidden
layer of 256 with ReLU, the action. Changed: their actions are discrete and the loss a cross-entropy; ours are continuous
and it is the mean squared error. Their encoder learns by this (and a forward model) alone; here the routing decides. No
forward model, no curiosity.

Frames are those that acting sees, unaugmented. Where the gripper is blocked (all tasks but PickAndPlace) the fourth
action leaves no trace, and its variance stays as error: a quarter of what always answering the mean costs.
"""

import torch
from torch import Tensor, nn

from fetchbench import AuxiliaryContext, AuxiliaryInputs, AuxiliaryLossSpec, hookimpl


class InverseDynamics(nn.Module):
    """Mean squared error of the action predicted from the features before and after it.

    Args:
        context: Sizes.
        steps: K, transitions per sequence.
        hidden: Width of the hidden layer.
    """

    def __init__(self, context: AuxiliaryContext, steps: int = 1, hidden: int = 256) -> None:
        super().__init__()
        self.frames, self.steps = context.shape.frames, steps
        self.net = nn.Sequential(nn.Linear(2 * context.feature_dim, hidden), nn.ReLU(), nn.Linear(hidden, context.action_dim))

    def forward(self, inputs: AuxiliaryInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """-> the loss, and the root of the mean squared error of an action's component, in [-1, 1]."""
        stacks = [inputs.frames[:, k : k + self.frames] for k in range(self.steps + 1)]
        z = inputs.encode(torch.stack(stacks, dim=1).flatten(0, 1)).unflatten(0, (-1, self.steps + 1))  # (B, K+1, dim)
        error = self.net(torch.cat([z[:, :-1], z[:, 1:]], dim=-1)) - inputs.actions  # (B, K, A)
        loss = (error.square().mean(dim=-1) * inputs.mask).sum() / inputs.mask.sum()
        return loss, {"error": loss.detach().sqrt()}


@hookimpl
def fetchbench_auxiliary_losses():
    yield AuxiliaryLossSpec(
        name="inverse-dynamics",
        build=InverseDynamics,
        horizon="steps",
        summary="recovers the action from the observations before and after it",
        source="arXiv:1705.05363, for continuous actions and without its forward model",
    )
