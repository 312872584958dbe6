"""What the updates between two evaluations said, summed up for the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fetchbench.records.schema import Signal

NAMES = ("critic_loss", "actor_loss", "q", "entropy")
_DIGITS = 6


class Signals:
    """Means of a run's losses, one point per evaluation. They are read at the end of a round, when the updates are done anyway.

    All of it is in :meth:`state_dict`, so a run that is killed and continued has the same.

    Attributes:
        points: So far, by rising step.
    """

    def __init__(self) -> None:
        self.points: list[Signal] = []
        self._sums = dict.fromkeys(NAMES, 0.0)
        self._rounds = 0

    def note(self, metrics: Mapping[str, Tensor]) -> None:
        """Take in the metrics of the last update of a round."""
        for name in NAMES:
            self._sums[name] += float(metrics[name])
        self._rounds += 1

    def close(self, steps: int, updates: int) -> Signal | None:
        """End the interval with an evaluation; returns its point, or nothing where no round had an update."""
        if not self._rounds:
            return None
        means = {name: round(self._sums[name] / self._rounds, _DIGITS) for name in NAMES}
        self.points.append(Signal(steps=steps, updates=updates, **means))
        self._sums, self._rounds = dict.fromkeys(NAMES, 0.0), 0
        return self.points[-1]

    def state_dict(self) -> dict[str, Any]:
        return {"points": [point.model_dump() for point in self.points], "sums": dict(self._sums), "rounds": self._rounds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.points = [Signal(**point) for point in state["points"]]
        self._sums, self._rounds = dict(state["sums"]), state["rounds"]
