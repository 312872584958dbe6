"""Where the camera stands. Part of the scene, so of the protocol: a method may choose its resolution, not its view."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fetchbench.environment.tasks import TASKS
from fetchbench.errors import UnknownNameError

FIELD_OF_VIEW_DEG = 45.0
"""Vertical field of view of the Fetch models, and of a square frame in both directions."""

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """A free camera, in MuJoCo's terms.

    Attributes:
        lookat: The point in the middle of the frame, metres.
        distance: From the camera to ``lookat``, metres.
        azimuth: Direction in which it looks, degrees: 0 along x, 90 along y; the robot stands at small x and works along x.
        elevation: Degrees; negative looks down.
    """

    lookat: Point
    distance: float
    azimuth: float
    elevation: float

    @property
    def eye(self) -> Point:
        """Where the camera stands, metres."""
        x, y, z = (p - self.distance * q for p, q in zip(self.lookat, self._forward, strict=True))
        return x, y, z

    @property
    def _forward(self) -> Point:
        """The direction in which it looks, of length 1."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        return (
            math.cos(elevation) * math.cos(azimuth),
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
        )

    def project(self, point: Point) -> tuple[float, float, float]:
        """Where a point in the world appears.

        Args:
            point: Metres.

        Returns:
            ``(x, y, depth)``: the place in the frame, each axis from -1 (left, bottom) to 1 (right, top), and the distance
            from the camera along its axis, metres.
        """
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        forward = self._forward
        right = (math.sin(azimuth), -math.cos(azimuth), 0.0)
        up = (
            -math.sin(elevation) * math.cos(azimuth),
            -math.sin(elevation) * math.sin(azimuth),
            math.cos(elevation),
        )
        offset = [p - q for p, q in zip(point, self.lookat, strict=True)]
        depth = self.distance + math.fsum(a * b for a, b in zip(offset, forward, strict=True))
        half = depth * math.tan(math.radians(FIELD_OF_VIEW_DEG / 2))
        x, y = (math.fsum(a * b for a, b in zip(offset, axis, strict=True)) / half for axis in (right, up))
        return x, y, depth

    def pixels_across(self, point: Point, width: float, size: int) -> float:
        """How many pixels of a ``size`` x ``size`` frame a thing of this width (metres) at a point takes."""
        depth = self.project(point)[2]
        return width / (2 * depth * math.tan(math.radians(FIELD_OF_VIEW_DEG / 2))) * size


OBJECTS: Mapping[str, tuple[Point, float]] = {
    "FetchPush-v4": ((1.36, 0.75, 0.425), 0.05),
    "FetchSlide-v4": ((1.31, 0.75, 0.42), 0.05),
    "FetchPickAndPlace-v4": ((1.34, 0.75, 0.425), 0.05),
}
"""Task -> the middle of where its object starts and is wanted, on the table, and the object's width, metres."""

_DEFAULT = Camera((1.3, 0.75, 0.55), 2.5, 132.0, -14.0)
"""gymnasium-robotics' own, for all four tasks."""

CAMERAS: Mapping[str, Mapping[str, Camera]] = {
    "fetch-default": dict.fromkeys(TASKS, _DEFAULT),
    # Each holds every start and every goal of its task, and stands hardly further off than that needs. Push and PickAndPlace
    # are seen from the side: from the front the arm hides the block in up to one reset of six.
    "fetch-close": {
        "FetchReach-v4": Camera((1.354, 0.729, 0.487), 0.78, 132.0, -25.0),
        "FetchPush-v4": Camera((1.363, 0.718, 0.39), 0.6, 90.0, -45.0),
        "FetchSlide-v4": Camera((1.385, 0.749, 0.379), 1.05, 180.0, -60.0),
        "FetchPickAndPlace-v4": Camera((1.342, 0.742, 0.632), 0.79, 90.0, -25.0),
    },
}
"""Scene camera -> task -> camera."""


def get_camera(name: str, task: str) -> Camera:
    """Look a camera up.

    Raises:
        UnknownNameError: There is no such camera, or it has no place for the task.
    """
    if name not in CAMERAS:
        raise UnknownNameError("camera", name, CAMERAS)
    if task not in CAMERAS[name]:
        raise UnknownNameError("task", task, CAMERAS[name], f"Camera {name!r} has no place for it.")
    return CAMERAS[name][task]
