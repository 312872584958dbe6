"""Small components that stand in for those that a method needs beside the one under test."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fetchbench.registry import Provider, Registered, Registry
from fetchbench.specs import (
    AuxiliaryContext,
    AuxiliaryInputs,
    AuxiliaryLossSpec,
    EncoderSpec,
    FrameShape,
    GradientRoutingSpec,
    PluginSpec,
)

PROVIDER = Provider("fetchbench.testing", "built in", "built in", "")


def registry_of(*specs: tuple[str, PluginSpec]) -> Registry:
    """A registry of ``(kind, spec)`` pairs."""
    return Registry({(kind, spec.name): Registered(kind, spec, PROVIDER) for kind, spec in specs})


class StandInEncoder(nn.Module):
    """Three strided convolutions and a linear projection; offers nothing besides features."""

    def __init__(self, shape: FrameShape, dim: int = 16) -> None:
        super().__init__()
        frames, channels, height, width = shape
        self.convolutions = nn.Sequential(
            nn.Conv2d(frames * channels, 8, 4, stride=4),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1),
        )
        with torch.no_grad():
            flat = self.convolutions(torch.zeros(1, frames * channels, height, width)).numel()
        self.projection = nn.Linear(flat, dim)

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``float32 (B, dim)``."""
        z: Tensor = self.projection(self._maps(frames).flatten(1))
        return z

    def _maps(self, frames: Tensor) -> Tensor:
        maps: Tensor = self.convolutions(frames.flatten(1, 2) / 255 - 0.5)
        return maps


class _Moments:
    """Offers ``moments``."""

    def moments(self: Any, frames: Tensor) -> tuple[Tensor, Tensor]:
        mean = self(frames)
        return mean, mean.tanh() - 1


class _FeatureMap:
    """Offers ``feature_map``."""

    def feature_map(self: Any, frames: Tensor) -> Tensor:
        maps: Tensor = self._maps(frames)
        return maps


def stand_in_encoder(requires: tuple[str, ...] = ()) -> EncoderSpec:
    """An encoder that offers what is required of it, and nothing else: what uses more must say so."""
    offers = [part for name, part in (("moments", _Moments), ("feature_map", _FeatureMap)) if name in requires]
    return EncoderSpec("stand-in", type("StandInEncoder", (*offers, StandInEncoder), {}))


class StandInLoss(nn.Module):
    """Predicts the first action from the features before and after it."""

    def __init__(self, context: AuxiliaryContext) -> None:
        super().__init__()
        self.net = nn.Linear(2 * context.feature_dim, context.action_dim)

    def forward(self, inputs: AuxiliaryInputs) -> tuple[Tensor, dict[str, Tensor]]:
        stack = inputs.frames.shape[1] - inputs.mask.shape[1]
        z = [inputs.encode(inputs.frames[:, start : start + stack]) for start in (0, 1)]
        return (self.net(torch.cat(z, dim=-1)) - inputs.actions[:, 0]).square().mean(), {}


class StandInDecoder(nn.Module):
    """Draws the newest frame, in one grey, from the encoder's mean; offers all that a loss may offer a goal space."""

    def __init__(self, context: AuxiliaryContext) -> None:
        super().__init__()
        self.shape = context.shape
        self.net = nn.Linear(context.feature_dim, 1)

    def _grey(self, z: Tensor) -> Tensor:
        grey: Tensor = self.net(z).sigmoid()[:, 0]
        return grey

    def forward(self, inputs: AuxiliaryInputs) -> tuple[Tensor, dict[str, Tensor]]:
        frames = inputs.frames[:, : self.shape.frames]
        mean, log_variance = _moments(inputs.encoder, frames)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return self._error(mean, frames).mean() + kl, {}

    def _error(self, z: Tensor, frames: Tensor) -> Tensor:
        return (self._grey(z) - frames.float().mean(dim=(1, 2, 3, 4)) / 255).square()

    def reconstruct(self, z: Tensor) -> Tensor:
        grey = (255 * self._grey(z)).to(torch.uint8)
        return grey.view(-1, 1, 1, 1, 1).expand(-1, *self.shape)

    def log_density(self, encoder: Any, frames: Tensor, normal: Tensor) -> Tensor:
        return -self._error(_moments(encoder, frames)[0], frames) + 0 * normal.mean(dim=(1, 2))


def _moments(encoder: Any, frames: Tensor) -> tuple[Tensor, Tensor]:
    mean, log_variance = encoder.moments(frames)
    return mean, log_variance


STAND_IN_DECODER = AuxiliaryLossSpec("stand-in-decoder", StandInDecoder, batch_size=8)
STAND_IN_LOSS = AuxiliaryLossSpec("stand-in", StandInLoss)
CRITIC = GradientRoutingSpec("stand-in", critic=1, actor=0, auxiliary=1)
AUXILIARY = GradientRoutingSpec("stand-in-auxiliary", critic=0, actor=0, auxiliary=1)
NOTHING = GradientRoutingSpec("stand-in-frozen", critic=0, actor=0, auxiliary=0)
