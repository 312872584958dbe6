"""SAC-AE's regularised autoencoder: the features should suffice to draw the frames (Yarats et al. 2021, arXiv:1910.01741).

Taken from the authors' code (github.com/denisyarats/pytorch_sac_ae): the decoder, a mirror of their encoder, and its
initialisation; frames reduced to 5 bits and centred; mean squared error over all pixels, plus 1e-6 times half the
features' squared length. Their weight decay of 1e-7 on the decoder stands in the loss here: for Adam, the same gradient.

Changed: they add uniform noise to the 32 levels, one draw per pixel; here each level stands for its middle, which is the
same gradient on average, and lowers the loss by (1/32)^2 / 12. Any height and width. The encoder takes one step per
update, on the sum of this gradient and the critic's; theirs takes a step by an optimiser of its own for this loss, which
makes the loss's scale irrelevant: here ``auxiliary_weight`` matters. (At first, on FetchPush at 64x64, this gradient in
the encoder is 250 times smaller than the critic's.) Frames are those that acting sees, unaugmented.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetchbench import AuxiliaryContext, AuxiliaryInputs, AuxiliaryLossSpec, FrameShape, hookimpl

LARGEST = 50_000_000
"""Weights of the decoder's first layer: more are a mistake, and do not fit into memory."""


class Decoder(nn.Module):
    """A linear layer, then 3x3 transposed convolutions with strides 1, 1, 1, 2: ``(B, dim)`` -> ``(B, F * 3, H, W)``."""

    def __init__(self, dim: int, shape: FrameShape, filters: int) -> None:
        super().__init__()
        frames, channels, *size = shape
        mapped = [(length - 3) // 2 + 1 for length in size]  # after the encoder's convolution with stride 2
        added = [length - 2 * m - 1 for length, m in zip(size, mapped, strict=True)]  # 1 where it left a pixel out
        self.map = (filters, *(m - 6 for m in mapped))
        if dim * math.prod(self.map) > LARGEST:
            raise ValueError(
                f"the decoder's first layer would have {dim:,} x {math.prod(self.map):,} weights; "
                "take an encoder that projects to some 50 features, or fewer filters"
            )
        self.linear = nn.Linear(dim, math.prod(self.map))
        layers: list[nn.Module] = [nn.ReLU()]
        for _ in range(3):
            layers += [nn.ConvTranspose2d(filters, filters, 3), nn.ReLU()]
        last = nn.ConvTranspose2d(filters, frames * channels, 3, stride=2, output_padding=(added[0], added[1]))
        self.convolutions = nn.Sequential(*layers, last)
        self.apply(initialise)

    def forward(self, z: Tensor) -> Tensor:
        return self.convolutions(self.linear(z).unflatten(1, self.map))


def initialise(layer: nn.Module) -> None:
    """Orthogonal; of a convolution's 3x3 weights the middle alone (arXiv:1806.05393)."""
    if isinstance(layer, nn.Linear):
        nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.ConvTranspose2d):
        nn.init.zeros_(layer.weight)
        nn.init.orthogonal_(layer.weight.detach()[:, :, 1, 1], nn.init.calculate_gain("relu"))
        nn.init.zeros_(layer.bias)


class Autoencoder(nn.Module):
    """Draws the observation's frames from its features.

    Args:
        context: Sizes.
        filters: Of the decoder's convolutions.
        latent_penalty: Weight of half the features' squared length.
        weight_decay: Of the decoder.
    """

    def __init__(
        self, context: AuxiliaryContext, filters: int = 32, latent_penalty: float = 1e-6, weight_decay: float = 1e-7
    ) -> None:
        super().__init__()
        self.shape = context.shape
        self.latent_penalty, self.weight_decay = latent_penalty, weight_decay
        self.decoder = Decoder(context.feature_dim, context.shape, filters)

    def forward(self, inputs: AuxiliaryInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """-> the loss, and its first term: the mean squared error of a pixel whose values span [-0.5, 0.5]."""
        observation = inputs.frames[:, : self.shape.frames]
        z = inputs.encode(observation)
        target = (observation.flatten(1, 2) // 8 + 0.5) / 32 - 0.5  # (B, F * 3, H, W)
        error = F.mse_loss(self.decoder(z), target)
        length = 0.5 * z.square().sum(dim=1).mean()
        decay = 0.5 * torch.stack([p.square().sum() for p in self.decoder.parameters()]).sum()
        loss = error + self.latent_penalty * length + self.weight_decay * decay
        return loss, {"error": error.detach()}

    @torch.no_grad()
    def reconstruct(self, z: Tensor) -> Tensor:
        """Features ``(B, dim)`` -> the frames that they hold, ``uint8 (B, F, 3, H, W)``."""
        pixels = (self.decoder(z) + 0.5).clamp(0, 1) * 255
        return pixels.round().to(torch.uint8).unflatten(1, (self.shape.frames, self.shape.channels))


@hookimpl
def fetchbench_auxiliary_losses():
    yield AuxiliaryLossSpec(
        name="autoencoder",
        build=Autoencoder,
        summary="draws the frames from the features (SAC-AE)",
        source="arXiv:1910.01741; without dequantisation noise, one encoder step per update",
    )
