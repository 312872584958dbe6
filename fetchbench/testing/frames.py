"""Frames to check with: noise, plain colours, and real ones."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from fetchbench.environment import VectorEnvironment, get_task
from fetchbench.errors import FetchbenchError, one_line
from fetchbench.protocol import Scene
from fetchbench.specs import FrameShape, PixelSpec

EPISODES, STATES = 8, 8
PROTOCOL_SHAPES = ((1, 64), (4, 84))
"""Stack and size of the pixel presets: what names no size of its own takes either."""


def noise(shape: FrameShape, batch: int, seed: int = 0) -> Tensor:
    """Every pixel uniform: ``uint8 (batch, F, 3, H, W)``."""
    return torch.randint(0, 256, (batch, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def plain(shape: FrameShape) -> Tensor:
    """A black, a grey and a white stack: ``uint8 (3, F, 3, H, W)``."""
    return torch.stack([torch.full(tuple(shape), value, dtype=torch.uint8) for value in (0, 128, 255)])


def scenes(shape: FrameShape, count: int) -> tuple[Tensor, str]:
    """Real stacks: FetchPush from eight resets, under random actions.

    Args:
        shape: Of one stack, of at most eight frames.
        count: How many, at most 64.

    Returns:
        ``uint8 (count, F, 3, H, W)``, and why they are not real, where there is no OpenGL; empty otherwise.
    """
    episodes, problem = _episodes(shape.height)  # (EPISODES, STATES, 3, S, S)
    length = min(shape.frames, STATES)
    stacks = torch.stack([episodes[:, t : t + length] for t in range(STATES - length + 1)]).flatten(0, 1)
    chosen = stacks[torch.linspace(0, len(stacks) - 1, min(count, len(stacks))).long()]
    return chosen[:, torch.arange(shape.frames).clamp(max=length - 1), :, :, : shape.width], problem


@functools.lru_cache(maxsize=4)
def _episodes(size: int) -> tuple[Tensor, str]:
    """``uint8 (EPISODES, STATES, 3, size, size)``."""
    task, rng = get_task("FetchPush-v4"), np.random.default_rng(0)
    try:
        with VectorEnvironment(task, Scene(), PixelSpec(size=size), EPISODES) as environment:
            drawn = [environment.reset(range(EPISODES)).frames]
            for _ in range(STATES - 1):
                action = rng.uniform(-1, 1, (EPISODES, task.action_dim)).astype(np.float32)
                drawn.append(environment.step(action).frames)
    except FetchbenchError as error:
        return tables(size), one_line(error)
    return torch.from_numpy(np.stack([frames for frames in drawn if frames is not None], axis=1)), ""


def tables(size: int) -> Tensor:
    """Stand-ins for real frames, of the same shape: a shaded table over which a dark square moves."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    table = torch.stack([90 + 60 * rows, 80 + 50 * columns, 100 + 30 * rows * columns]).to(torch.uint8)
    frames = table.expand(EPISODES, STATES, 3, size, size).clone()
    side, generator = max(2, size // 12), torch.Generator().manual_seed(0)
    starts = torch.randint(side, size - 2 * side - STATES, (EPISODES, 2), generator=generator).tolist()
    for episode, (row, column) in zip(frames, starts, strict=True):
        for t, frame in enumerate(episode):
            frame[:, row + t : row + t + side, column : column + side] = 20
    return frames
