"""Small components made for the tests."""

from __future__ import annotations

import torch
from torch import nn

from fetchbench.records.schema import Component
from fetchbench.registry import Provider, Registered, Registry
from fetchbench.specs import AugmentationSpec, AuxiliaryLossSpec

PROVIDER = Provider("test", "1", "test", "0")


def registry(kind, *specs) -> Registry:
    return Registry({(kind, spec.name): Registered(kind, spec, PROVIDER) for spec in specs})


class Darken:
    """Multiplies each stack by its draw; remembers what it was given."""

    def __init__(self, shape, floor: float = 0.0) -> None:
        self.floor, self.seen = floor, []

    def __call__(self, frames, draws):
        self.seen.append((tuple(frames.shape), tuple(draws.shape)))
        factor = draws[:, 0].clamp(min=self.floor).view(-1, 1, 1, 1, 1)
        return (frames * factor).to(torch.uint8)

    def evaluate(self, frames):
        return frames


DARKEN = registry("augmentation", AugmentationSpec("darken", Darken, draws=1))


class Predict(nn.Module):
    """Predicts the actions from the first features and the last."""

    def __init__(self, context, steps: int = 3) -> None:
        super().__init__()
        self.net = nn.Linear(2 * context.feature_dim, steps * context.action_dim)
        self.inputs = None

    def forward(self, inputs):
        self.inputs = inputs
        f = inputs.frames.shape[1] - inputs.mask.shape[1]
        z = torch.cat([inputs.encode(inputs.frames[:, :f]), inputs.encode_momentum(inputs.frames[:, -f:])], -1)
        error = (self.net(z).view_as(inputs.actions) - inputs.actions).square() * inputs.mask[..., None]
        return error.mean(), {"error": error.detach().max()}


def loss(**fields) -> Registry:
    return registry("auxiliary-loss", AuxiliaryLossSpec("predict", Predict, **{"horizon": "steps", **fields}))


PREDICT = Component(name="predict")
