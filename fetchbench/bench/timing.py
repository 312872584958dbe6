"""Times, and what is made of them: medians, spreads, and the ratio of each pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal


def rate(do: Callable[[], object], at_least_s: float) -> float:
    """Call until that many seconds are over, whole calls only; returns calls per second."""
    calls, began = 0, time.perf_counter()
    while True:
        do()
        calls += 1
        elapsed = time.perf_counter() - began
        if elapsed >= at_least_s:
            return calls / elapsed


def take_turns(rounds: int, contestants: Mapping[str, Callable[[], float]]) -> dict[str, Spread]:
    """Measure all contestants once, then all of them again, and so on: what slows the machine down slows them all down.

    Args:
        rounds: How often.
        contestants: Name -> measures once. Each is called once more before, for nothing: what is done for the first time is
            slower.

    Returns:
        Name -> what it measured, one value per round: values of the same place were measured next to each other.
    """
    for measure in contestants.values():
        measure()
    values: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            values[name].append(measure())
    return {name: Spread(tuple(found)) for name, found in values.items()}


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def as_dict(self) -> dict[str, Any]:
        return {"median": self.median, "low": self.low, "high": self.high, "values": list(self.values)}


@dataclass(frozen=True)
class Line:
    """One thing, measured on both sides.

    Attributes:
        what: In words.
        unit: Of both sides.
        better: Which of two values is the better one.
        ours: What we took.
        theirs: What the other took, in pairs with ours; ``None`` where there is no other.
        other: The other's name.
        at_least: Target for the ratio.
        at_most: Target for our own value.
        own_at_least: The same, where more is better.
    """

    what: str
    unit: str
    better: Literal["higher", "lower"]
    ours: Spread
    theirs: Spread | None = None
    other: str = ""
    at_least: float | None = None
    at_most: float | None = None
    own_at_least: float | None = None

    @property
    def ratio(self) -> Spread | None:
        """How many times better ours is, of each pair."""
        if self.theirs is None:
            return None
        pairs = zip(self.ours.values, self.theirs.values, strict=True)
        return Spread(tuple(a / b if self.better == "higher" else b / a for a, b in pairs))

    @property
    def met(self) -> bool | None:
        """Whether the medians meet the target; ``None`` without one."""
        ratio = self.ratio
        if self.at_least is not None and ratio is not None:
            return ratio.median >= self.at_least
        if self.own_at_least is not None:
            return self.ours.median >= self.own_at_least
        return None if self.at_most is None else self.ours.median <= self.at_most

    def as_dict(self) -> dict[str, Any]:
        ratio = self.ratio
        return {
            "what": self.what,
            "unit": self.unit,
            "better": self.better,
            "other": self.other,
            "ours": self.ours.as_dict(),
            "theirs": None if self.theirs is None else self.theirs.as_dict(),
            "ratio": None if ratio is None else ratio.as_dict(),
            "at_least": self.at_least,
            "at_most": self.at_most,
            "own_at_least": self.own_at_least,
            "met": self.met,
        }


@dataclass
class Part:
    """What one part found.

    Attributes:
        name: One of :data:`fetchbench.bench.sizes.PARTS`.
        lines: The comparisons.
        notes: What a reader must know beside them.
        problem: Why it came to no end; empty otherwise.
    """

    name: str
    lines: list[Line]
    notes: list[str]
    problem: str = ""


def single(value: float) -> Spread:
    """What was measured once, or was counted."""
    return Spread((value,))
