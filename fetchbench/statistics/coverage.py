"""How often the interval of one task holds the truth where a seed either works or fails: exact, by counting."""

from __future__ import annotations

import math
from collections.abc import Iterable

from fetchbench.statistics.intervals import binomial_variance, mean_interval

EPISODES = 250
"""Behind each score: five evaluations of 50 episodes, the protocol's own. Fewer widen the interval by next to nothing."""

_RATES = {0.6: "three seeds in five", 0.8: "four seeds in five"}
"""What the note reports on: a method that works about as often as not, and one that mostly works."""


def all_or_nothing_coverage(seeds: int, rate: float = 0.6, level: float = 0.95, episodes: int = EPISODES) -> float:
    """How often :func:`~fetchbench.statistics.mean_interval` holds the true mean of seeds that score 1 or 0, on one task.

    Where all seeds agree, nothing tells that another could have come out otherwise, and the interval is no wider than the
    evaluation's error. No interval for a mean mends that at three seeds; more seeds do. All ``seeds + 1`` outcomes are
    weighed by their binomial probability, so the figure is exact and not a simulation's.

    Args:
        seeds: Number of seeds, 2 or more.
        rate: The share of seeds that work, which is the true mean; ``rate`` and ``1 - rate`` give the same.
        level: What the interval promises, in (0, 1).
        episodes: Behind each score; they set the floor of the variance (:func:`~fetchbench.statistics.binomial_variance`).

    Returns:
        A probability: 0.72, 0.91 and 0.94 at 3, 5 and 10 seeds.

    Raises:
        ValueError: Fewer than two seeds, or a rate or level outside (0, 1).
    """
    if seeds < 2:
        raise ValueError(f"seeds = {seeds}: an interval needs 2 or more")
    if not 0 < rate < 1:
        raise ValueError(f"rate = {rate}: must lie in (0, 1)")
    floor = binomial_variance(1.0, episodes)  # the same for 0
    covered = 0.0
    for working in range(seeds + 1):
        found = mean_interval([1.0] * working + [0.0] * (seeds - working), level, floor)
        if found.low is not None and found.high is not None and found.low <= rate <= found.high:
            ways = math.lgamma(seeds + 1) - math.lgamma(working + 1) - math.lgamma(seeds - working + 1)
            covered += math.exp(ways + working * math.log(rate) + (seeds - working) * math.log(1 - rate))
    return covered


def coverage_note(seeds: Iterable[int]) -> str:
    """What to print under a board of single tasks: in how many of 100 cases the 95 % interval holds, by number of seeds.

    Args:
        seeds: The numbers of seeds that the competitors have, anchors left out; below 2 there is no interval, and nothing to
            say.

    Returns:
        Two sentences in plain text, or an empty string.
    """
    counts = sorted({count for count in seeds if count >= 2})
    if not counts:
        return ""
    first, second = [_listed(100 * all_or_nothing_coverage(count, rate) for count in counts) for rate in _RATES]
    often, mostly = _RATES.values()
    return (
        "Where a seed either works or fails outright, how often the 95 % interval of a single task holds the true mean depends "
        f"on how many seeds work. Over {_listed(counts)} seeds it does so in {first} of 100 cases if {often} work, and in "
        f"{second} if {mostly} work: look at every seed."
    )


def _listed(values: Iterable[float]) -> str:
    """``72, 91 and 94``."""
    *first, last = [f"{value:.0f}" for value in values]
    return f"{', '.join(first)} and {last}" if first else last
