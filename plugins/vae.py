"""A variational autoencoder: an encoder whose features have a variance, and the loss that trains it (Kingma and Welling 2014).

arXiv:1312.6114, with the likelihood and the beta with which RIG learns to push (arXiv:1807.04742,
github.com/vitchyr/rlkit, its pusher): Bernoulli, **summed** over pixels, and 10/128 on the divergence **summed** over
features, both averaged over the batch. The reduction belongs to beta: with an error averaged over pixels the beta = 20 of
later work leaves every feature at the prior, and the features say nothing. The networks are rlkit's for 48x48:
convolutions of 16, 32 and 64 filters, a variance of at least 1e-3, and the mirror of that.

Changed: those networks at any size (for 84x84 theirs have larger strides, and BatchNorm), the stack's frames as channels,
PyTorch's initial weights. The whole is divided by the number of pixel values: that leaves its minimum where it is, and
brings it near the other losses, whose gradients the encoder's one step sums up; the balance is ``auxiliary_weight``'s.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetchbench import AuxiliaryContext, AuxiliaryInputs, AuxiliaryLossSpec, EncoderSpec, FrameShape, hookimpl

LEAST_LOG_VARIANCE = math.log(1e-3)


class VAEEncoder(nn.Module):
    """Three convolutions, then a mean and a log-variance per feature. The features are the mean.

    The log-variance has a layer of its own, which ``forward`` does not use: losses on ``moments`` alone train it.
    """

    def __init__(self, shape: FrameShape, dim: int = 16) -> None:
        super().__init__()
        frames, channels, height, width = shape
        if min(height, width) < 23:
            raise ValueError(f"frames of {height}x{width}: the convolutions need 23x23 or more")
        self.convolutions = nn.Sequential(
            nn.Conv2d(frames * channels, 16, 5, stride=3),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
        )
        with torch.no_grad():
            flat = self.convolutions(torch.zeros(1, frames * channels, height, width)).shape[1]
        self.mean = nn.Linear(flat, dim)
        self.log_variance = nn.Linear(flat, dim)

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``float32 (B, dim)``, the mean."""
        return self.mean(self.convolutions(frames.flatten(1, 2) / 255))

    def moments(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """``uint8 (B, F, 3, H, W)`` -> mean and log-variance, each ``(B, dim)``."""
        h = self.convolutions(frames.flatten(1, 2) / 255)
        return self.mean(h), LEAST_LOG_VARIANCE + self.log_variance(h).abs()


class SpatialVAEEncoder(nn.Module):
    """Three convolutions, where each of the last one's channels points, and from these points the mean and log-variance.

    The points (Finn et al. 2016, arXiv:1509.06113) move as what they follow moves, so positions are nearly linear in the
    features; a flattened map's features fold. Theirs is a plain autoencoder, trained to draw a small grey frame.
    """

    def __init__(self, shape: FrameShape, dim: int = 32, channels: int = 32, temperature: float = 0.1) -> None:
        super().__init__()
        frames, colours, height, width = shape
        if min(height, width) < 23:
            raise ValueError(f"frames of {height}x{width}: the points need maps of 3x3 or more, frames of 23x23")
        self.convolutions = nn.Sequential(
            nn.Conv2d(frames * colours, 16, 5, stride=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, channels, 3),
        )
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.mean = nn.Linear(2 * channels, dim)
        self.log_variance = nn.Linear(2 * channels, dim)

    def points(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``(B, channels, 2)``: x and y of each channel's mean place, in [-1, 1]."""
        maps = self.convolutions(frames.flatten(1, 2) / 255 - 0.5).float()
        height, width = maps.shape[2:]
        weight = (maps.flatten(2) / self.log_temperature.exp()).softmax(dim=-1).unflatten(2, (height, width))
        x = torch.linspace(-1, 1, width, device=maps.device)
        y = torch.linspace(-1, 1, height, device=maps.device)
        return torch.stack([weight.sum(dim=2) @ x, weight.sum(dim=3) @ y], dim=2)

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``float32 (B, dim)``, the mean."""
        return self.mean(self.points(frames).flatten(1))

    def moments(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """``uint8 (B, F, 3, H, W)`` -> mean and log-variance, each ``(B, dim)``."""
        h = self.points(frames).flatten(1)
        return self.mean(h), LEAST_LOG_VARIANCE + self.log_variance(h).abs()


class Decoder(nn.Module):
    """A linear layer and three transposed convolutions: ``(B, dim)`` -> logits ``(B, F * 3, H, W)``."""

    def __init__(self, dim: int, shape: FrameShape) -> None:
        super().__init__()
        frames, channels, *self.size = shape
        self.map = (64, *(start(length) for length in self.size))
        self.linear = nn.Linear(dim, math.prod(self.map))
        self.convolutions = nn.Sequential(
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 3, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 3, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(16, frames * channels, 6, stride=3),
        )

    def forward(self, z: Tensor) -> Tensor:
        height, width = self.size
        return self.convolutions(self.linear(z).unflatten(1, self.map))[..., :height, :width]


def start(length: int) -> int:
    """The shortest map that the transposed convolutions make at least so long: 3 for 48, exactly."""
    for kernel, stride in ((6, 3), (3, 2), (3, 2)):
        length = math.ceil((length - kernel) / stride) + 1
    return length


class VAE(nn.Module):
    """The negative evidence lower bound per pixel value, with ``beta`` on the divergence.

    Args:
        context: Sizes.
        beta: Weight of the divergence, relative to the likelihood summed over pixels. 1 is the bound itself.
        pretraining: Updates on what the warm-up saw, before the learner's first. This and the next two are the harness's.
        period: It learns at every so many updates of the learner.
        batch_size: Of batches of its own; without, it learns from the learner's.
    """

    def __init__(
        self,
        context: AuxiliaryContext,
        beta: float = 10 / 128,
        pretraining: int = 0,
        period: int = 1,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.beta = context.shape, beta
        self.values = math.prod(context.shape)
        self.decoder = Decoder(context.feature_dim, context.shape)

    def forward(self, inputs: AuxiliaryInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """-> the loss; divergence and negative log-likelihood in nats per observation; and the number of active features.

        A feature is active where its mean varies over the batch by more than 0.01 (Burda et al. 2016, arXiv:1509.00519).
        """
        observation = inputs.frames[:, : self.shape.frames]
        mean, log_variance = inputs.encoder.moments(observation)
        z = mean + (0.5 * log_variance).exp() * inputs.normal
        target = observation.flatten(1, 2) / 255
        negative = F.binary_cross_entropy_with_logits(self.decoder(z), target, reduction="none").sum(dim=(1, 2, 3)).mean()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
        active = (mean.var(dim=0) > 0.01).float().sum()
        loss = (negative + self.beta * kl) / self.values
        return loss, {"kl": kl.detach(), "reconstruction": negative.detach(), "active": active}

    @torch.no_grad()
    def log_density(self, encoder: nn.Module, frames: Tensor, normal: Tensor) -> Tensor:
        """The evidence lower bound of each observation, with a unit-variance normal likelihood, its constant left out.

        Args:
            encoder: Offers ``moments``.
            frames: ``uint8 (B, F, 3, H, W)``.
            normal: ``(B, S, dim)``, for S samples of the posterior, over which the mean is taken.

        Returns:
            ``float32 (B,)``, nats.

        Source: github.com/vitchyr/rlkit, compute_log_p_log_q_log_d of its variational autoencoders.
        """
        mean, log_variance = (each[:, None] for each in encoder.moments(frames))  # (B, 1, dim)
        z = mean + (0.5 * log_variance).exp() * normal
        error = self.decoder(z.flatten(0, 1)).sigmoid().unflatten(0, z.shape[:2]) - (frames.flatten(1, 2) / 255)[:, None]
        # Prior less posterior: the normalising constants of the two cancel but for the variance.
        prior = -0.5 * (z.square() - normal.square() - log_variance).sum(dim=-1)
        return (prior - 0.5 * error.square().sum(dim=(2, 3, 4))).mean(dim=1)

    @torch.no_grad()
    def reconstruct(self, z: Tensor) -> Tensor:
        """Features ``(B, dim)`` -> the frames that they hold, ``uint8 (B, F, 3, H, W)``."""
        pixels = (self.decoder(z).sigmoid() * 255).round().to(torch.uint8)
        return pixels.unflatten(1, (self.shape.frames, self.shape.channels))


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(
        name="vae",
        build=VAEEncoder,
        summary="three convolutions, then a mean and a variance per feature",
        source="arXiv:1312.6114, 1807.04742",
        preprocessing="divided by 255",
    )
    yield EncoderSpec(
        name="spatial-vae",
        build=SpatialVAEEncoder,
        summary="where each channel points, then a mean and a variance per feature",
        source="arXiv:1509.06113, 1312.6114",
        preprocessing="divided by 255, less 0.5",
    )


@hookimpl
def fetchbench_auxiliary_losses():
    yield AuxiliaryLossSpec(
        name="vae",
        build=VAE,
        period="period",
        pretraining_updates="pretraining",
        batch_size="batch_size",
        normal_draws="feature",
        requires=("moments",),
        summary="draws the frames from noisy features that stay near a normal prior",
        source="arXiv:1312.6114, 1807.04742, per pixel value",
    )
