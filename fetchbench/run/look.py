"""What an encoder is shown, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fetchbench.errors import PluginError, one_line
from fetchbench.learner.build import Built
from fetchbench.learner.encoders import PerFrame
from fetchbench.learner.sac import Learner


@dataclass(frozen=True)
class Look:
    """An encoder at K moments of an episode.

    Attributes:
        frames: ``uint8 (K, 3, H, W)``, the newest frame of each stack that it was given.
        stack: F.
        points: ``float32 (K, C, 2)``, where each channel points: x and y in [-1, 1], right and down positive; ``None``
            where the encoder does not offer it.
        activation: ``float32 (K, H', W')``, its feature map, averaged over channels; ``None`` likewise.
        channels: C, of either.
        reconstruction: ``uint8 (K, 3, H, W)``, the newest frame as the auxiliary loss decodes it from ``z``; ``None`` likewise.
    """

    frames: NDArray[np.uint8]
    stack: int
    points: NDArray[np.float32] | None = None
    activation: NDArray[np.float32] | None = None
    channels: int = 0
    reconstruction: NDArray[np.uint8] | None = None


def look(built: Built, frames: NDArray[np.uint8], moments: Sequence[int]) -> Look:
    """Show the acting encoder an episode again.

    Args:
        built: The trained networks.
        frames: ``uint8 (T+1, 3, H, W)`` of the episode, as drawn.
        moments: K states of it.

    Raises:
        PluginError: What the encoder or the auxiliary loss offers fails, or has the wrong shape.
    """
    learner = built.learner
    encoders = learner.encoders
    if encoders is None:
        raise ValueError("this method has no encoder")
    with learner.evaluating():
        given = shown(learner, frames, moments)
        # An encoder of single frames is asked about the newest alone.
        encoder, asked = encoders.actor, given
        if isinstance(encoder, PerFrame):
            encoder, asked = encoder.encoder, given[:, -1:]
        points = _offer("encoder", encoder, "points", asked, (len(moments), None, 2))
        maps = (
            None if points is not None else _offer("encoder", encoder, "feature_map", asked, (len(moments), None, None, None))
        )
        # The auxiliary loss works on the critic's encoder, where there are two.
        decoded = decode(learner, encoders.critic(given), tuple(given.shape[1:]))
    channels = points if points is not None else maps
    return Look(
        frames=_array(given[:, -1]),
        stack=learner.stack,
        points=None if points is None else _array(points.float()),
        activation=None if maps is None else _array(maps.float().mean(dim=1)),
        channels=0 if channels is None else channels.shape[1],
        reconstruction=decoded,
    )


def decode(learner: Learner, z: Tensor, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """What the auxiliary loss's decoder makes of features.

    Args:
        learner: In evaluation mode.
        z: ``(K, dim)``.
        shape: ``(F, 3, H, W)``, of the stacks that its encoder is given.

    Returns:
        The newest frame of each stack, ``uint8 (K, 3, H, W)``; ``None`` without a decoder.

    Raises:
        PluginError: It fails, or what it returns has the wrong shape.
    """
    module = None if learner.auxiliary is None else learner.auxiliary.module
    decoded = _offer("auxiliary loss", module, "reconstruct", z, (len(z), *shape))
    return None if decoded is None else _array(decoded[:, -1])


def shown(learner: Learner, frames: NDArray[np.uint8], moments: Sequence[int]) -> Tensor:
    """The stacks that the encoder is given when it acts: ``uint8 (T+1, 3, H, W)`` -> ``uint8 (K, F, 3, H', W')``."""
    states = (np.asarray(moments)[:, None] + np.arange(1 - learner.stack, 1)).clip(0)  # (K, F)
    return learner.seen(torch.from_numpy(frames[states]).to(learner.device))


def _offer(kind: str, module: nn.Module | None, name: str, given: Tensor, shape: tuple[int | None, ...]) -> Tensor | None:
    """What a plugin's object answers, where it offers that; ``None`` in a shape stands for any length."""
    offer: Callable[[Tensor], Tensor] | None = getattr(module, name, None)
    if offer is None:
        return None
    what = f"{kind} {type(module).__name__}: {name}"
    try:
        answer = offer(given)
    except Exception as error:
        raise PluginError(f"{what} fails: {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(answer, Tensor):
        raise PluginError(f"{what} returns {type(answer).__name__}; it must be a tensor")
    found = tuple(answer.shape)
    if len(found) != len(shape) or any(want not in (None, have) for want, have in zip(shape, found, strict=True)):
        wanted = ", ".join("*" if want is None else str(want) for want in shape)
        raise PluginError(f"{what} returns shape {found}; it must be ({wanted})")
    return answer


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.cpu().numpy()
    return array
