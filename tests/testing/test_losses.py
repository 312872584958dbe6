"""What the checks of auxiliary losses and augmentations give a component, and ask of it."""

from __future__ import annotations

import torch
from torch import nn

from fetchbench.records.schema import Component
from fetchbench.registry import Registered, Registry
from fetchbench.run.plugins import load_plugins
from fetchbench.specs import AugmentationSpec, AuxiliaryLossSpec
from fetchbench.testing import check_component
from fetchbench.testing.stand_ins import PROVIDER, StandInLoss

ROUTINGS = {key: found for key, found in load_plugins().components.items() if key[0] == "gradient-routing"}


def check(kind, spec):
    """Check name -> finding."""
    registry = Registry({**ROUTINGS, (kind, spec.name): Registered(kind, spec, PROVIDER)})
    return {finding.check: finding for finding in check_component(kind, Component(name=spec.name), registry).findings}


def statuses(found) -> dict[str, str]:
    return {name: finding.status for name, finding in found.items() if finding.status != "ok"}


class Everything(nn.Module):
    """Uses all that a loss may be given."""

    def __init__(self, context, steps: int = 3) -> None:
        super().__init__()
        self.stack, dim = context.shape.frames, context.feature_dim
        self.net = nn.Linear(2 * dim + 3, steps * context.action_dim)
        self.seen = []

    def forward(self, inputs):
        b, k = inputs.mask.shape
        assert [tuple(view.shape) for view in inputs.views] == [tuple(inputs.frames.shape)] * 2
        assert inputs.normal.shape == (b, inputs.encode(inputs.frames[:, : self.stack]).shape[1])
        first, last = inputs.views[0][:, : self.stack], inputs.views[1][:, 1 : 1 + self.stack]
        z = inputs.encode(first) * (1 + 0.1 * inputs.normal)
        given = torch.cat([z, inputs.encode_momentum(last), inputs.uniform], dim=1)
        error = (self.net(given).view(b, k, -1) - inputs.actions).square().mean(-1)
        return (error * inputs.mask).sum() / inputs.mask.sum(), {"steps": inputs.mask.sum(), "three": 3.0}

    def reconstruct(self, z):
        return torch.zeros(len(z), 2, 3, 64, 64, dtype=torch.uint8)


EVERYTHING = AuxiliaryLossSpec(
    "everything", Everything, horizon="steps", views=2, momentum=0.05, period=2, pretraining_updates=5, batch_size=512,
    uniform_draws=3, normal_draws="feature",
)  # fmt: skip


def test_a_loss_that_uses_all_that_it_is_given_passes():
    found = check("auxiliary-loss", EVERYTHING)
    assert set(statuses(found)) <= {"CUDA graph"}
    assert found["build"].text == "horizon 3"
    assert found["mask"].status == found["reconstruct"].status == "ok"


def test_draws_without_use_are_noticed():
    spec = AuxiliaryLossSpec("idle", StandInLoss, normal_draws=2)
    found = check("auxiliary-loss", spec)
    assert statuses(found).keys() - {"CUDA graph"} == {"draws", "mask"}
    assert found["draws"].text == "its normal draws do not matter"
    assert found["mask"].text == "its horizon is one step, which never leaves the episode"


class Gated:
    """Flips some frames, and shifts the brightness of those."""

    def __init__(self, shape) -> None:
        pass

    def __call__(self, frames, draws):
        flip, shade = (draws[:, i].view(-1, 1, 1, 1, 1) for i in range(2))
        changed = (frames.flip(-1) * (0.5 + 0.5 * shade)).to(torch.uint8)
        return torch.where(flip < 0.1, changed, frames)

    def evaluate(self, frames):
        return frames


def test_a_draw_that_acts_seldom_counts_and_one_that_never_does_is_named():
    sound = check("augmentation", AugmentationSpec("gated", Gated, draws=2))
    assert set(statuses(sound)) <= {"CUDA graph"}
    idle = check("augmentation", AugmentationSpec("gated", Gated, draws=3))
    assert idle["draws"].status == "failed"
    assert idle["draws"].text == "draws[:, 2] never matters, over 48 stacks of noise"


def test_an_augmentation_must_say_what_acting_sees():
    found = check("augmentation", AugmentationSpec("half", lambda shape: lambda frames, draws: frames, draws=1))
    assert found["build"].status == "failed"
    assert found["build"].text == "build returns function, which lacks __call__(frames, draws) or evaluate(frames)"
    assert {finding.status for name, finding in found.items() if name != "build"} == {"skipped"}
