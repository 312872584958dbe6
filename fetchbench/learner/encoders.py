"""A method's encoders: built, checked, copied, averaged."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fetchbench.errors import PluginError, one_line
from fetchbench.specs import FrameShape

EMBEDDED = 3
"""Dimensions of a batch of stacks of embeddings, ``(B, F, dim)``; one of pixels has five."""


class PerFrame(nn.Module):
    """Runs a ``frame`` encoder on each frame and joins the F embeddings in order of time.

    Where the encoder is frozen, frames may come as embeddings: each is computed once, when its frame is drawn.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def embed(self, frames: Tensor) -> Tensor:
        """Single frames ``uint8 (N, 3, H, W)`` -> ``float32 (N, dim)``."""
        z: Tensor = self.encoder(frames[:, None])
        return z

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)``, or embeddings ``float32 (B, F, dim)``, -> ``float32 (B, F * dim)``."""
        if frames.dim() == EMBEDDED:
            return frames.flatten(1)
        return self.embed(frames.flatten(0, 1)).reshape(len(frames), -1)


def feature_dim(encoder: nn.Module, shape: FrameShape, name: str) -> int:
    """Run an encoder once on blank frames and check what it returns.

    Args:
        encoder: ``uint8 (B, F, 3, H, W)`` -> ``float32 (B, dim)``.
        shape: Of one observation's frames.
        name: For messages.

    Returns:
        dim.

    Raises:
        PluginError: The encoder fails, or returns another shape or type.
    """
    batch = 2
    frames = torch.zeros((batch, *shape), dtype=torch.uint8)
    given = f"frames of shape {tuple(frames.shape)}"
    was_training = encoder.training
    try:
        with torch.no_grad():
            z = encoder.eval()(frames)
    except Exception as error:
        text = one_line(error)
        raise PluginError(f"encoder {name!r} fails on {given}: {type(error).__name__}: {text}") from error
    finally:
        encoder.train(was_training)
    if not isinstance(z, Tensor):
        raise PluginError(f"encoder {name!r} returns {type(z).__name__} for {given}; it must return a tensor (B, dim)")
    if z.ndim != 2 or z.shape[0] != batch or z.shape[1] == 0:
        raise PluginError(
            f"encoder {name!r} returns shape {tuple(z.shape)} for {given}; it must return ({batch}, dim): "
            "flatten everything but the batch axis"
        )
    if z.dtype != torch.float32:
        raise PluginError(f"encoder {name!r} returns {z.dtype}; it must return torch.float32")
    return z.shape[1]


class Encoders(nn.Module):
    """The one or two encoders that learn, and the averaged copy that the target reads.

    Args:
        encoder: The module; with ``copies = 2`` the actor gets a copy that starts from the same weights.
        copies: 1 or 2, as the routing says.
        trainable: Whether any loss ever reaches them. If not they stay in evaluation mode, so that not even BatchNorm's
            statistics move, and need no averaged copy.
        averaged: Whether the target reads a slowly averaged copy, not the online encoder.
    """

    def __init__(self, encoder: nn.Module, copies: int, trainable: bool, averaged: bool) -> None:
        super().__init__()
        self.trainable = trainable
        # Parts that a plugin froze itself, a pretrained stem, say, stay frozen.
        self.critic = encoder if trainable else encoder.requires_grad_(False)
        self.actor = copy.deepcopy(encoder) if copies == 2 else encoder
        self.target: nn.Module | None = None
        if averaged and trainable:
            self.target = copy.deepcopy(encoder).requires_grad_(False).eval()
        self.train(trainable)

    @property
    def separate(self) -> bool:
        """Whether the actor has an encoder of its own."""
        return self.actor is not self.critic

    def named(self) -> Iterator[tuple[str, nn.Module]]:
        """``("encoder", module)``, or ``("critic encoder", ...)`` and ``("actor encoder", ...)``."""
        if self.separate:
            yield "critic encoder", self.critic
            yield "actor encoder", self.actor
        else:
            yield "encoder", self.critic

    def train(self, mode: bool = True) -> Encoders:
        super().train(mode and self.trainable)
        if self.target is not None:
            self.target.eval()
        return self

    @torch.no_grad()
    def average(self, rate: float) -> None:
        """Move the target copy towards the critic's encoder."""
        if self.target is not None:
            polyak(self.target, self.critic, rate)


def bits(tensor: Tensor) -> Tensor:
    """A tensor's bytes, ``uint8 (n,)``: what is compared where equal means equal, NaN included."""
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def tensor_digests(module: nn.Module) -> dict[str, str]:
    """Name -> digest of every tensor of a module's state."""
    return {name: hashlib.sha256(bits(tensor).cpu().numpy().data).hexdigest() for name, tensor in module.state_dict().items()}


@torch.no_grad()
def polyak(target: nn.Module, online: nn.Module, rate: float) -> None:
    """target <- (1 - rate) target + rate online; buffers (BatchNorm's statistics, say) are copied."""
    averaged: list[Tensor] = list(target.parameters())
    parameters: list[Tensor] = list(online.parameters())
    if averaged:
        torch._foreach_lerp_(averaged, parameters, rate)
    for copied, buffer in zip(target.buffers(), online.buffers(), strict=True):
        copied.copy_(buffer)
