"""The environment: four Fetch tasks, observation tracks, cameras, and workers that step and draw.

Simulating and drawing happen in processes of their own (``python -m fetchbench.environment``), which never import torch. What
this package offers its callers imports neither MuJoCo nor gymnasium.
"""

from fetchbench.environment.cameras import CAMERAS, Camera, get_camera
from fetchbench.environment.tasks import TASKS, Task, get_task
from fetchbench.environment.tracks import VectorLayout, uses_frames, vector_layout
from fetchbench.environment.vector import Observations, Usage, VectorEnvironment, probe

__all__ = [
    "CAMERAS",
    "TASKS",
    "Camera",
    "Observations",
    "Task",
    "Usage",
    "VectorEnvironment",
    "VectorLayout",
    "get_camera",
    "get_task",
    "probe",
    "uses_frames",
    "vector_layout",
]
