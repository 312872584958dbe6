"""A method's augmentation: one, or several one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fetchbench.errors import PluginError
from fetchbench.learner.components import called, spec_of
from fetchbench.records.schema import Component
from fetchbench.registry import Registry
from fetchbench.specs import Augmentation, AugmentationSpec, FrameShape, PixelSpec


@dataclass(frozen=True)
class Link:
    """One augmentation of a chain, and how many uniform numbers it takes per stack."""

    augmentation: Augmentation
    draws: int


class Chain:
    """Augmentations in order, the first applied first. Each sees its own part of the draws.

    Args:
        links: In the order in which frames pass them.
    """

    def __init__(self, links: Sequence[Link]) -> None:
        self.links = tuple(links)

    def __call__(self, frames: Tensor, draws: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H_in, W_in)`` and the draws of all, ``(B, sum)`` -> ``uint8 (B, F, 3, H, W)``."""
        for link, own in zip(self.links, torch.split(draws, [link.draws for link in self.links], dim=1), strict=True):
            frames = link.augmentation(frames, own)
        return frames

    def evaluate(self, frames: Tensor) -> Tensor:
        """Nothing random: each augmentation's own."""
        for link in self.links:
            frames = link.augmentation.evaluate(frames)
        return frames


def build_augmentation(registry: Registry, component: Component, shape: FrameShape) -> tuple[Link, int]:
    """A method's augmentation.

    Args:
        registry: Where its parts are found.
        component: The augmentation that is applied last; it wraps the one before it, if any.
        shape: Of the frames that the encoder sees.

    Returns:
        The augmentation with its draws, and the size of the frames to render for it.

    Raises:
        FetchbenchError: A part does not build, or asks for frames that cannot be.
    """
    links: list[Link] = []
    size = shape.width
    part: Component | None = component
    while part is not None:
        link, size = _link(registry, part, FrameShape(shape.frames, size, size))
        links.insert(0, link)
        part = part.wraps
    if len(links) == 1:
        return links[0], size
    return Link(Chain(links), sum(link.draws for link in links)), size


def _link(registry: Registry, component: Component, shape: FrameShape) -> tuple[Link, int]:
    """One augmentation, by itself, and the size of the frames that it wants.

    Args:
        shape: Of the frames that it returns.
    """
    spec = spec_of(registry, "augmentation", component, AugmentationSpec)
    augmentation = called("augmentation", component, lambda: spec.build(shape, **component.options))
    wanted = called("augmentation", component, lambda: spec.input_size(shape.width) if spec.input_size else shape.width)
    try:
        PixelSpec(size=wanted)
    except (TypeError, ValueError) as error:
        raise PluginError(f"augmentation {component.label} asks for frames that cannot be: {error}") from error
    return Link(augmentation, spec.draws), wanted
