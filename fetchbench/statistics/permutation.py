"""The permutation test of two methods' scores, on numpy."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

DRAWS = 10_000
"""Relabellings that are drawn where there are too many to go through."""

ENUMERATED = 200_000
"""Relabellings up to which all are gone through: ten seeds against ten on one task are 184,756."""

_ROUNDING = 1e-9
"""Differences that are equal on paper differ by less than this."""


def permutation_p(tasks: Sequence[tuple[Sequence[float], Sequence[float]]], draws: int = DRAWS, seed: int = 0) -> float:
    """How often dealing the two methods' labels anew, within each task, gives a difference at least as large; two-sided.

    The difference is the mean over tasks of the differences of means. Up to :data:`ENUMERATED` relabellings all are gone
    through, and p is exact (Fisher 1935; Pitman 1937); beyond, ``draws`` of them are drawn, and p is
    ``(1 + as extreme) / (1 + draws)``, so that it is never too small (Phipson and Smyth 2010).

    Args:
        tasks: The two methods' scores on each task, one per seed.
        draws: Relabellings to draw.
        seed: Of the draws. Equal scores give an equal p, in whatever order the seeds and the two methods come.
    """
    pairs = [(np.sort(np.asarray(a, np.float64)), np.sort(np.asarray(b, np.float64))) for a, b in tasks]
    observed = math.fsum(a.mean() - b.mean() for a, b in pairs)
    if observed < 0:  # so that draws, too, do not depend on which is named first
        observed, pairs = -observed, [(b, a) for a, b in pairs]
    observed -= _ROUNDING
    ways = [math.comb(len(a) + len(b), len(a)) for a, b in pairs]
    if math.prod(ways) <= ENUMERATED:
        sums = functools.reduce(lambda sums, pair: np.add.outer(sums, _differences(*pair)).ravel(), pairs, np.zeros(1))
        return float(np.mean(np.abs(sums) >= observed))
    rng = np.random.default_rng(seed)
    drawn = sum((_drawn_differences(a, b, draws, rng) for a, b in pairs), np.zeros(draws))
    return (1 + int(np.sum(np.abs(drawn) >= observed))) / (1 + draws)


def smallest_p(seeds_a: int, seeds_b: int, tasks: int = 1) -> float:
    """The smallest p that a permutation test of so many seeds can give: 0.10 for 3 against 3 on one task, 0.008 for 5 and 5.

    Every relabelling is as likely as any other, and the observed one is always among the extreme ones; with equal numbers so
    is its mirror image.

    Args:
        seeds_a: Of one method, on each task.
        seeds_b: Of the other.
        tasks: Of the suite.

    Raises:
        ValueError: An argument below 1.
    """
    if min(seeds_a, seeds_b, tasks) < 1:
        raise ValueError(f"seeds = {seeds_a} and {seeds_b}, tasks = {tasks}: each must be 1 or more")
    return smallest_p_of([(seeds_a, seeds_b)] * tasks)


def smallest_p_of(seeds: Sequence[tuple[int, int]], draws: int = DRAWS) -> float:
    """:func:`smallest_p` where the tasks may have different numbers of seeds.

    Args:
        seeds: Of the two methods, on each task; each 1 or more.
        draws: As in :func:`permutation_p`.
    """
    ways = math.prod(math.comb(a + b, a) for a, b in seeds)
    least: float = (2 if all(a == b for a, b in seeds) else 1) / ways
    return least if ways <= ENUMERATED else max(least, 1 / (1 + draws))


def _differences(a: Array, b: Array) -> Array:
    """The difference of means under every way of dealing the labels: ``(ways,)``."""
    return _difference(np.concatenate([a, b])[_choices(len(a) + len(b), len(a))], a, b)


def _drawn_differences(a: Array, b: Array, draws: int, rng: np.random.Generator) -> Array:
    """The difference of means under ways drawn by chance: ``(draws,)``."""
    both, ways = np.concatenate([a, b]), math.comb(len(a) + len(b), len(a))
    if ways <= ENUMERATED:
        return _difference(both[_choices(len(both), len(a))[rng.integers(ways, size=draws)]], a, b)
    return _difference(rng.permuted(np.tile(both, (draws, 1)), axis=1)[:, : len(a)], a, b)


def _difference(first: Array, a: Array, b: Array) -> Array:
    """The difference of means where these scores, ``(n, len(a))``, are the first method's: ``(n,)``."""
    total = first.sum(axis=1)
    difference: Array = total / len(a) - (a.sum() + b.sum() - total) / len(b)
    return difference


@functools.lru_cache(maxsize=8)
def _choices(n: int, k: int) -> NDArray[np.int16]:
    """Every choice of k of n: ``(ways, k)``."""
    flat = itertools.chain.from_iterable(itertools.combinations(range(n), k))
    return np.fromiter(flat, np.int16, count=math.comb(n, k) * k).reshape(-1, k)
