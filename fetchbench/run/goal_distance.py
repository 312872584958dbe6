"""Whether a method's own distance between an image and a goal image follows the true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fetchbench.learner.build import Built
from fetchbench.records.schema import GoalDistance
from fetchbench.run.scenes import Scenes, embed
from fetchbench.statistics.probing import rank_correlation

PAIRINGS = (7, 31, 101, 211)
"""Each scene is held against those so many places further on: of other resets, mostly, and as many pairs as fit a plot."""


@dataclass(frozen=True)
class Pairs:
    """Scenes two by two: one is the outcome, the other the goal.

    Attributes:
        own: ``float64 (n,)``, the method's distance.
        achieved_m: ``float64 (n,)``, the distance of the achieved goals (of objects along the table), metres.
        gripper_m: ``float64 (n,)``, that of the grippers, metres.
        metric: What the method measures by.
    """

    own: NDArray[np.float64]
    achieved_m: NDArray[np.float64]
    gripper_m: NDArray[np.float64]
    metric: str

    def summary(self) -> GoalDistance | None:
        """For the record; ``None`` where all distances are alike, which correlates with nothing."""
        achieved = rank_correlation(self.own, self.achieved_m)
        gripper = rank_correlation(self.own, self.gripper_m)
        if achieved is None or gripper is None:
            return None
        return GoalDistance(
            pairs=len(self.own),
            rank_correlation=round(achieved, 4),
            gripper_rank_correlation=round(gripper, 4),
            metric=self.metric,
        )


def measure(built: Built, scenes: Scenes) -> Pairs | None:
    """Hold scenes against each other.

    Args:
        built: The method.
        scenes: With frames as it renders them.

    Returns:
        The pairs; ``None`` where the method has no distance between images.
    """
    distance = getattr(built.goals, "distance", None)
    encoders = built.learner.encoders
    if distance is None or encoders is None:
        return None
    # As goals and rewarded outcomes are embedded: the newest frame, repeated to fill the stack.
    z = torch.from_numpy(embed(built.learner, encoders.critic, scenes.frames[:, -1:].repeat(scenes.frames.shape[1], axis=1)))
    first = np.concatenate([np.arange(len(z)) for _ in PAIRINGS])
    second = np.concatenate([np.roll(np.arange(len(z)), -places) for places in PAIRINGS])
    with built.learner.evaluating():
        own = distance(*(z[side].to(built.learner.device) for side in (first, second))).double().cpu().numpy()

    def apart(name: str) -> NDArray[np.float64]:
        length: NDArray[np.float64] = np.linalg.norm(scenes.positions[name][first] - scenes.positions[name][second], axis=1)
        return length

    achieved = "object_xy" if "object_xy" in scenes.positions else "gripper_xyz"
    return Pairs(own, apart(achieved), apart("gripper_xyz"), str(getattr(built.goals, "metric", "its own")))
