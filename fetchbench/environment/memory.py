"""Memory that the trainer and its environment workers share: actions one way, observations and frames the other."""

from __future__ import annotations

import math
import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetchbench.environment.tasks import Task

_ALIGNMENT = 64


class SharedArrays:
    """The arrays of N environments over one file descriptor.

    The file has no name: it is gone when the last process that holds it is gone, however that one ends.

    Attributes:
        seed: ``uint64 (N,)``.
        action: ``float32 (N, A)``.
        observation: ``float64 (N, D)``.
        achieved: ``float64 (N, 3)``.
        desired: ``float64 (N, 3)``.
        frames: ``uint8 (N, 3, H, W)``; ``None`` without pixels.
        goal_frames: ``uint8 (N, 3, H, W)``; ``None`` without pixels, and without goal images.

    Args:
        descriptor: Of a file that is large enough (:meth:`create` makes one).
        task: Its dimensions.
        count: N.
        frame_size: H and W; ``None`` without pixels.
        goal_images: Whether there are goal images.
    """

    seed: NDArray[np.uint64]
    action: NDArray[np.float32]
    observation: NDArray[np.float64]
    achieved: NDArray[np.float64]
    desired: NDArray[np.float64]
    frames: NDArray[np.uint8] | None = None
    goal_frames: NDArray[np.uint8] | None = None

    def __init__(self, descriptor: int, task: Task, count: int, frame_size: int | None, goal_images: bool = False) -> None:
        fields = _fields(task, count, frame_size, goal_images)
        memory = mmap.mmap(descriptor, _bytes(fields))
        offset = 0
        for name, (shape, dtype) in fields.items():
            array: NDArray[Any] = np.frombuffer(memory, dtype, math.prod(shape), offset).reshape(shape)
            setattr(self, name, array)
            offset += _aligned(array.nbytes)

    @staticmethod
    def create(task: Task, count: int, frame_size: int | None, goal_images: bool = False) -> int:
        """Make a file for such arrays; returns its descriptor, which the caller closes."""
        descriptor = os.memfd_create("fetchbench")
        os.ftruncate(descriptor, _bytes(_fields(task, count, frame_size, goal_images)))
        return descriptor


_Fields = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]


def _fields(task: Task, count: int, frame_size: int | None, goal_images: bool) -> _Fields:
    fields: _Fields = {
        "seed": ((count,), np.dtype(np.uint64)),
        "action": ((count, task.action_dim), np.dtype(np.float32)),
        "observation": ((count, task.observation_dim), np.dtype(np.float64)),
        "achieved": ((count, task.goal_dim), np.dtype(np.float64)),
        "desired": ((count, task.goal_dim), np.dtype(np.float64)),
    }
    if frame_size is not None:
        for name in ("frames", "goal_frames") if goal_images else ("frames",):
            fields[name] = ((count, 3, frame_size, frame_size), np.dtype(np.uint8))
    return fields


def _bytes(fields: _Fields) -> int:
    return sum(_aligned(math.prod(shape) * dtype.itemsize) for shape, dtype in fields.values())


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
