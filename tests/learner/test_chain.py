"""Augmentations one behind the other: ``"outer(inner)"``, the inner first."""

from __future__ import annotations

import pytest
import torch
from small import registry

from fetchbench.errors import PluginError
from fetchbench.learner.augmentations import build_augmentation
from fetchbench.records.schema import Component
from fetchbench.registry import Registry
from fetchbench.specs import AugmentationSpec, FrameShape


class Add:
    """Adds ten times its only draw, and a constant when nothing may be random."""

    def __init__(self, shape, constant: int = 0) -> None:
        self.shape, self.constant = shape, constant

    def __call__(self, frames, draws):
        assert draws.shape == (len(frames), 1)
        return frames + (draws[:, 0] * 10).to(torch.uint8).view(-1, 1, 1, 1, 1)

    def evaluate(self, frames):
        return frames + self.constant


class Double:
    """Doubles, and cuts the first four rows and columns away; takes two draws that it does not use."""

    def __init__(self, shape) -> None:
        self.shape = shape

    def __call__(self, frames, draws):
        assert draws.shape == (len(frames), 2)
        return self.evaluate(frames)

    def evaluate(self, frames):
        return frames[..., 4:, 4:] * 2


KNOWN: Registry = registry(
    "augmentation",
    AugmentationSpec("add", Add, draws=1),
    AugmentationSpec("double", Double, draws=2, input_size=lambda size: size + 4),
    AugmentationSpec("endless", Double, draws=0, input_size=lambda size: size * 100),
)
SHAPE = FrameShape(2, 16, 16)


def chain(*names: str | Component) -> Component:
    """The last name is applied last."""
    found = None
    for name in names:
        found = (Component(name=name) if isinstance(name, str) else name).model_copy(update={"wraps": found})
    assert found is not None
    return found


def test_the_inner_one_comes_first():
    frames = torch.ones(3, 2, 3, 20, 20, dtype=torch.uint8)
    link, size = build_augmentation(KNOWN, chain("add", "double"), SHAPE)
    assert (link.draws, size) == (3, 20)
    draws = torch.tensor([[0.1, 0, 0], [0.2, 0, 0], [0.3, 0, 0]])
    out = link.augmentation(frames, draws)
    assert out.shape == (3, 2, 3, 16, 16)
    assert out[:, 0, 0, 0, 0].tolist() == [4, 6, 8]  # (1 + 10 u) * 2
    other, size = build_augmentation(KNOWN, chain("double", "add"), SHAPE)
    assert size == 20
    assert other.augmentation(frames, draws.flip(1))[:, 0, 0, 0, 0].tolist() == [3, 4, 5]  # 1 * 2 + 10 u


def test_each_is_built_for_the_frames_that_it_returns():
    link, _ = build_augmentation(KNOWN, chain("add", "double", "double"), SHAPE)
    assert [part.augmentation.shape.width for part in link.augmentation.links] == [24, 20, 16]


def test_acting_passes_them_all():
    constant = Component(name="add", options={"constant": 5})
    link, _ = build_augmentation(KNOWN, chain(constant, "double"), SHAPE)
    assert link.augmentation.evaluate(torch.ones(1, 2, 3, 20, 20, dtype=torch.uint8))[0, 0, 0, 0, 0] == 12


def test_one_alone_is_itself():
    link, size = build_augmentation(KNOWN, chain("add"), SHAPE)
    assert isinstance(link.augmentation, Add)
    assert (link.draws, size) == (1, 16)


def test_a_size_that_cannot_be_is_refused_by_name():
    with pytest.raises(PluginError, match="augmentation endless asks for frames that cannot be: size = 1600: must be 16"):
        build_augmentation(KNOWN, chain("endless"), SHAPE)


def test_a_chain_learns_and_renders_what_it_needs(rig):
    r = rig("critic", extra=KNOWN, augmentation=chain("add", "double"))
    assert r.built.rendered.size == 36
    assert r.built.draws.augmentation == 3


def test_the_registry_resolves_every_part_of_a_chain():
    resolved = KNOWN.resolve("augmentation", chain("add", "double"))
    assert resolved.label == "double(add)"
    assert resolved.provider == resolved.wraps.provider == "test"
