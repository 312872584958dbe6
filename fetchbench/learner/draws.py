"""All randomness of one update, drawn outside it: equal draws give the equal update on every path."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DrawSizes:
    """How many numbers an update needs. B is the batch size, A the width of an action.

    Attributes:
        batch: B.
        actions: A.
        views: K views of the observation.
        target_views: M views of the next observation.
        augmentation: Uniform numbers per augmented stack; 0 without an augmentation.
        auxiliary_batch: Batch of the auxiliary loss; 0 without one.
        auxiliary_views: Augmented views of its sequences.
        auxiliary_uniform: Uniform numbers per element of its batch.
        auxiliary_normal: Normal numbers per element of its batch.
    """

    batch: int
    actions: int
    views: int = 1
    target_views: int = 1
    augmentation: int = 0
    auxiliary_batch: int = 0
    auxiliary_views: int = 0
    auxiliary_uniform: int = 0
    auxiliary_normal: int = 0


@dataclass(frozen=True)
class Draws:
    """One update's random numbers; sizes as in :class:`DrawSizes`.

    Attributes:
        noise: ``float32 (B, A)``, normal: the actor loss's actions.
        next_noise: ``float32 (M, B, A)``, normal: the target's actions.
        views: ``float32 (K, B, n)``, uniform: augmentation of the observation.
        next_views: ``float32 (M, B, n)``, uniform: augmentation of the next observation.
        auxiliary_views: ``float32 (V, B', n)``, uniform.
        auxiliary_uniform: ``float32 (B', u)``, uniform.
        auxiliary_normal: ``float32 (B', v)``, normal.
    """

    noise: Tensor
    next_noise: Tensor
    views: Tensor
    next_views: Tensor
    auxiliary_views: Tensor
    auxiliary_uniform: Tensor
    auxiliary_normal: Tensor


def draw(sizes: DrawSizes, noise: torch.Generator, augmentation: torch.Generator, device: torch.device | str = "cpu") -> Draws:
    """Draw one update's numbers from CPU generators, so that every device gets the same.

    Args:
        sizes: How many.
        noise: Stream of the policy's and the auxiliary loss's noise.
        augmentation: Stream of the augmentation.
        device: Where they go.
    """
    s = sizes

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=noise).to(device, non_blocking=True)

    def uniform(*shape: int, generator: torch.Generator) -> Tensor:
        return torch.rand(*shape, generator=generator).to(device, non_blocking=True)

    return Draws(
        noise=normal(s.batch, s.actions),
        next_noise=normal(s.target_views, s.batch, s.actions),
        views=uniform(s.views, s.batch, s.augmentation, generator=augmentation),
        next_views=uniform(s.target_views, s.batch, s.augmentation, generator=augmentation),
        auxiliary_views=uniform(s.auxiliary_views, s.auxiliary_batch, s.augmentation, generator=augmentation),
        auxiliary_uniform=uniform(s.auxiliary_batch, s.auxiliary_uniform, generator=noise),
        auxiliary_normal=normal(s.auxiliary_batch, s.auxiliary_normal),
    )
