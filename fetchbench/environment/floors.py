"""What policies that learn nothing score on each task, measured: a learner that does no better has learned nothing."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal, TypeAlias

PolicyName: TypeAlias = Literal["nothing", "random", "open-loop"]


@dataclass(frozen=True)
class Floor:
    """What one such policy scores.

    Attributes:
        policy: ``nothing`` stands still; ``random`` draws uniform actions; ``open-loop`` repeats one action per episode,
            ``gain`` times the way from the gripper at reset to the goal in metres: it looks at nothing after that.
        episodes: Unsolved at reset.
        success: Share of them that is solved at the last step.
        success_raw: Share of all that were drawn, those solved at reset among them, that is solved at the last step.
        gain: Of ``open-loop``, the best of a few.
    """

    policy: PolicyName
    episodes: int
    success: float
    success_raw: float
    gain: float | None = None


@functools.cache
def floors(task: str) -> tuple[Floor, ...]:
    """What was measured on a task, with ``python -m fetchbench.bench.floors --json``; empty for one that was not."""
    text = resources.files("fetchbench.environment").joinpath("floors.json").read_text(encoding="utf-8")
    return tuple(Floor(**floor) for floor in json.loads(text).get(task, []))


def floor_text(measured: Sequence[Floor]) -> str:
    """``doing nothing 0.00 (0.07 with the episodes that are solved at reset), acting at random 0.01, ...``."""
    names: dict[PolicyName, str] = {
        "nothing": "doing nothing",
        "random": "acting at random",
        "open-loop": "the best constant action towards the goal",
    }
    parts = []
    for floor in measured:
        raw = f" ({floor.success_raw:.2f} with the episodes that are solved at reset)" if floor.policy == "nothing" else ""
        parts.append(f"{names[floor.policy]} {floor.success:.2f}{raw}")
    return ", ".join(parts)
