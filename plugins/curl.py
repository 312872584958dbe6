"""CURL: an observation should be known again among the batch's in another view (Srinivas et al. 2020, arXiv:2004.04136).

Taken from the authors' code (github.com/MishaLaskin/curl): InfoNCE with logits ``z_a W z_p^T``, W starting uniform in
[0, 1), each row minus its maximum, cross-entropy with the diagonal as labels; the second view goes through a momentum
encoder.

Changed: both views are random shifts of the frames that acting sees, by up to ``pad`` pixels, whether or not the method
has an augmentation; theirs are crops of 84 from 100. The momentum encoder is the loss's own and moves by 0.025 at every
update; theirs is the target critic's and moves by 0.05 at every second. The encoder takes one step per update, on the sum
of this gradient and the critic's; theirs takes three, since two of their optimisers hold it for this loss alone (their
issue 20). So ``auxiliary_weight`` matters here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetchbench import AuxiliaryContext, AuxiliaryInputs, AuxiliaryLossSpec, hookimpl, random_shift


class CURL(nn.Module):
    """InfoNCE between two shifts of each observation, compared bilinearly.

    Args:
        context: Sizes.
        pad: The largest shift, in pixels.
    """

    def __init__(self, context: AuxiliaryContext, pad: int = 4) -> None:
        super().__init__()
        self.frames, self.pad = context.shape.frames, pad
        self.W = nn.Parameter(torch.rand(context.feature_dim, context.feature_dim))

    def forward(self, inputs: AuxiliaryInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """-> the loss in nats (log B where nothing is told apart), and the share of pairs that are found."""
        observation = inputs.frames[:, : self.frames]
        anchor = inputs.encode(random_shift(observation, inputs.uniform[:, :2], self.pad))  # (B, dim)
        positive = inputs.encode_momentum(random_shift(observation, inputs.uniform[:, 2:], self.pad))
        logits = anchor @ self.W @ positive.T  # (B, B)
        logits = logits - logits.amax(dim=1, keepdim=True)
        labels = torch.arange(len(logits), device=logits.device)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return F.cross_entropy(logits, labels), {"accuracy": accuracy}


@hookimpl
def fetchbench_auxiliary_losses():
    yield AuxiliaryLossSpec(
        name="curl",
        build=CURL,
        momentum=0.025,
        uniform_draws=4,
        summary="tells an observation's two shifts apart from the batch's others",
        source="arXiv:2004.04136; its own views and momentum encoder, one encoder step per update",
    )
