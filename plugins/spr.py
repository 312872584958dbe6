"""SPR: features predicted K steps ahead should be those that come (Schwarzer et al. 2021, arXiv:2007.05929).

Taken from the paper: from the features of the first observation a transition model goes K = 5 steps ahead with the
actions taken; after each, projection and predictor should give the direction of the projected features of the observation
that came, by momentum copies of encoder and projection. Taken from the form for continuous actions, PlayVirtual's
baseline (arXiv:2106.04152, github.com/microsoft/Playvirtual): the networks (transition with 512 hidden units and
LayerNorm; projection and predictor with 100), no loss at step 0, weight 1.

Changed: one random shift by up to ``pad`` pixels for the observation and one for all K targets of a sequence, whether or
not the method has an augmentation; theirs crops each apart and scales its intensity. Momentum 0.025 at every update for
0.05 at every second, K = 5 for 6; no clipping of gradients, and the learner's batch for their 128 sequences. Sequences
that run into an episode's end count up to there; theirs are left out. The encoder takes one step per update, on the sum of
this gradient and the critic's; theirs is held by two more optimisers for this loss. So ``auxiliary_weight`` matters here.

Nothing in it but the momentum keeps all features from becoming one. On FetchPush from pixels (64x64, random actions) 100
updates brought the targets' spread to 0.000. Alone (routing ``aux``) it stayed there, to the 400th; with the critic's
loss beside it (routing ``critic``) it was 0.09 after 300 and 0.13 after 600.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetchbench import AuxiliaryContext, AuxiliaryInputs, AuxiliaryLossSpec, hookimpl, random_shift

MOMENTUM = 0.025


class SPR(nn.Module):
    """``2 - 2 cos`` between predicted and later features: the squared distance of their directions, within the episode.

    Args:
        context: Sizes.
        steps: K, how far ahead.
        hidden: Width of the transition model.
        projection: Hidden width of projection and predictor.
        pad: The largest shift, in pixels.
    """

    def __init__(
        self, context: AuxiliaryContext, steps: int = 5, hidden: int = 512, projection: int = 100, pad: int = 4
    ) -> None:
        super().__init__()
        dim = context.feature_dim
        self.frames, self.steps, self.pad = context.shape.frames, steps, pad
        self.transition = nn.Sequential(
            nn.Linear(dim + context.action_dim, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, dim)
        )
        self.projection = nn.Sequential(nn.Linear(dim, projection), nn.ReLU(), nn.Linear(projection, dim))
        self.predictor = nn.Sequential(nn.Linear(dim, projection), nn.ReLU(), nn.Linear(projection, dim))
        self.averaged = as_buffers(self.projection)

    def forward(self, inputs: AuxiliaryInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """-> the loss in [0, 4], the mean cosine, and how far the targets spread: 1 in all directions, 0 where all are one."""
        targets = F.normalize(self.targets(inputs), dim=-1, eps=1e-3)
        cosine = (F.normalize(self.predictions(inputs), dim=-1, eps=1e-3) * targets).sum(dim=-1)  # (B, K)
        cosine = (cosine * inputs.mask).sum() / inputs.mask.sum()
        spread = 1 - targets[:, 0].mean(dim=0).square().sum()  # the first step is always within the episode
        return 2 - 2 * cosine, {"cosine": cosine.detach(), "spread": spread}

    def predictions(self, inputs: AuxiliaryInputs) -> Tensor:
        """What the first observation and the actions say of the K that follow: ``(B, K, dim)``."""
        z = inputs.encode(random_shift(inputs.frames[:, : self.frames], inputs.uniform[:, :2], self.pad))
        ahead = []
        for step in range(self.steps):
            z = self.transition(torch.cat([z, inputs.actions[:, step]], dim=1))
            ahead.append(z)
        return self.predictor(self.projection(torch.stack(ahead, dim=1)))

    @torch.no_grad()
    def targets(self, inputs: AuxiliaryInputs) -> Tensor:
        """The projected features of the K observations that follow: ``(B, K, dim)``."""
        if self.training:  # before its use: so after each step of the projection, as the momentum encoder moves
            for own, online in zip(self.averaged.buffers(), self.projection.parameters(), strict=True):
                own.lerp_(online, MOMENTUM)
        frames = random_shift(inputs.frames[:, 1:], inputs.uniform[:, 2:], self.pad)
        stacks = torch.stack([frames[:, k : k + self.frames] for k in range(self.steps)], dim=1)  # (B, K, F, 3, H, W)
        return self.averaged(inputs.encode_momentum(stacks.flatten(0, 1)).unflatten(0, (-1, self.steps)))


def as_buffers(module: nn.Module) -> nn.Module:
    """A copy with its parameters as buffers: state that no optimiser steps."""
    copied = copy.deepcopy(module)
    for part in copied.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())
    return copied


@hookimpl
def fetchbench_auxiliary_losses():
    yield AuxiliaryLossSpec(
        name="spr",
        build=SPR,
        horizon="steps",
        momentum=MOMENTUM,
        uniform_draws=4,
        summary="predicts the features of the next K observations from the actions",
        source="arXiv:2007.05929 in the form of arXiv:2106.04152; its own views, one encoder step per update",
    )
