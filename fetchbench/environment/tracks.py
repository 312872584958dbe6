from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fetchbench.environment.tasks import Task


@dataclass(frozen=True)
class VectorLayout:
    indices: tuple[int, ...]
    includes_achieved: bool
    center: np.ndarray
    scale: np.ndarray


def uses_frames(track: str) -> bool:
    return track not in ("state", "blind")


def vector_layout(track: str, task: Task, pixel_track: str, *, scaled: bool = True) -> VectorLayout:
    t = pixel_track if track == "blind" else track
    idx = {
        "state": tuple(range(task.observation_dim)),
        "pixels": task.proprioception,
        "pixels-privileged": task.proprioception,
    }.get(t, ())
    ach = t == "pixels-privileged"
    c = [task.observation_center[i] for i in idx] + (list(task.goal_center) if ach else [])
    s = [task.observation_scale[i] for i in idx] + ([task.goal_scale] * 3 if ach else [])
    c, s = np.array(c, np.float32), np.array(s, np.float32)
    if not scaled:
        c, s = np.zeros_like(c), np.ones_like(s)
    return VectorLayout(idx, ach, c, s)
