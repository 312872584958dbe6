"""Observation tracks: what the networks may see, as data.

The achieved goal is always there for hindsight relabelling. It reaches a network on the track ``pixels-privileged`` alone: for
object tasks it is the object's exact place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fetchbench.environment.tasks import Task
from fetchbench.protocol import PIXEL_TRACKS, Track


@dataclass(frozen=True)
class VectorLayout:
    """A track's vector inputs, the desired goal left out (the goal space embeds it).

    Attributes:
        indices: Which numbers of the observation, in order.
        includes_achieved: Whether the achieved goal follows them.
        center: ``float32 (V,)``, subtracted.
        scale: ``float32 (V,)``, multiplied afterwards.
    """

    indices: tuple[int, ...]
    includes_achieved: bool
    center: NDArray[np.float32]
    scale: NDArray[np.float32]


def uses_frames(track: Track) -> bool:
    """Whether the networks of a track see frames."""
    return track in PIXEL_TRACKS


def vector_layout(track: Track, task: Task, pixel_track: Track, *, scaled: bool = True) -> VectorLayout:
    """The vector inputs of a track.

    Args:
        track: The method's.
        task: Its dimensions and constants.
        pixel_track: The suite's own pixel track: ``blind`` sees what it shows besides the frames.
        scaled: Whether they are centred and scaled by the task's constants, or raw.
    """
    seen = pixel_track if track == "blind" else track
    indices: tuple[int, ...] = ()
    if seen == "state":
        indices = tuple(range(task.observation_dim))
    elif seen in ("pixels", "pixels-privileged"):
        indices = task.proprioception
    achieved = seen == "pixels-privileged"
    center = [task.observation_center[i] for i in indices]
    scale = [task.observation_scale[i] for i in indices]
    if achieved:
        center += task.goal_center
        scale += [task.goal_scale] * task.goal_dim
    if not scaled:
        center, scale = [0.0] * len(center), [1.0] * len(scale)
    return VectorLayout(indices, achieved, np.array(center, np.float32), np.array(scale, np.float32))
