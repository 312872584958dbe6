"""A finished run's policy, for use from Python."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fetchbench.environment import Task, get_task
from fetchbench.learner.build import Built
from fetchbench.records.schema import RunRequest
from fetchbench.run.trained import build_run, restore
from fetchbench.specs import PixelSpec


class Policy:
    """A trained policy, deterministic. It keeps the frames of the episode: call :meth:`reset` at its start.

    Attributes:
        request: The run that trained it.
        task: Its task.
        pixels: How its frames are made (camera and marker are the request's ``scene``); ``None`` where it sees none.
    """

    def __init__(self, request: RunRequest, built: Built) -> None:
        self.request = request
        self.task: Task = get_task(request.task)
        self.pixels: PixelSpec | None = built.rendered
        self._built = built
        self._frames: deque[NDArray[np.uint8]] = deque(maxlen=built.learner.stack)

    def reset(self) -> None:
        """Begin an episode."""
        self._frames.clear()

    def __call__(
        self,
        observation: NDArray[np.float64],
        achieved: NDArray[np.float64],
        desired: NDArray[np.float64],
        frame: NDArray[np.uint8] | None = None,
        goal_frame: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.float32]:
        """Choose an action.

        Args:
            observation: ``(D,)``, the task's whole observation; the policy takes what its track lets it see.
            achieved: ``(3,)``, metres; unused but on the track ``pixels-privileged``.
            desired: ``(3,)``, metres.
            frame: ``uint8 (3, H, W)`` of this step, for policies that see frames.
            goal_frame: ``uint8 (3, H, W)``, an image of the goal, for policies whose goals are images.

        Returns:
            ``float32 (A,)`` in [-1, 1].

        Raises:
            ValueError: A frame is missing, or has another shape.
        """
        built, device = self._built, self._built.learner.device

        def tensor(values: NDArray[np.float64]) -> torch.Tensor:
            return torch.from_numpy(np.asarray(values, np.float32)[None]).to(device)

        frames = images = None
        if self.pixels is not None:
            frame = self._checked("frame", frame, self.pixels.size)
            # Before the first step the first frame is repeated.
            self._frames.extend([frame.copy()] * (1 if self._frames else built.learner.stack))
            frames = torch.from_numpy(np.stack(self._frames)[None]).to(device)  # (1, F, 3, H, W)
            if built.goal_images:
                images = torch.from_numpy(self._checked("goal_frame", goal_frame, self.pixels.size)[None]).to(device)
        asked = tensor(desired) if built.reward == "task" else torch.full((1, self.task.goal_dim), torch.nan, device=device)
        goal = built.goals.embed(built.goals.from_task(asked, images))
        vectors = torch.cat([built.vectors(tensor(observation), tensor(achieved)), goal], dim=-1)
        shown = images if built.shows_goals else None
        action: NDArray[np.float32] = built.learner.act(frames, vectors, goal_frames=shown)[0].cpu().numpy()
        return action

    @staticmethod
    def _checked(name: str, frame: NDArray[np.uint8] | None, size: int) -> NDArray[np.uint8]:
        """A frame of the shape that the policy sees."""
        expected = (3, size, size)
        if frame is None or frame.shape != expected:
            raise ValueError(f"{name} is {None if frame is None else frame.shape}: this policy sees frames {expected}")
        return frame


def load_policy(run: Path | str, plugins: Sequence[Path | str] = ()) -> Policy:
    """Load the policy that a run ended with, or has come to.

    Args:
        run: The run's folder, ``runs/<task>/<method>/seed<k>-<key>``.
        plugins: Plugin files that it needs, beside those that are found.

    Returns:
        The policy, on the CPU.

    Raises:
        FetchbenchError: There is no checkpoint, or a plugin is missing or changed.
    """
    folder = Path(run)
    request, built = build_run(folder, [Path(file) for file in plugins])
    return Policy(request, restore(folder, request, built).built)
