"""What an encoder's features hold, judged on scenes whose state is known: pure functions of arrays, in double precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FOLDS = 5
PENALTIES = tuple(10.0**power for power in range(-6, 3))
"""Ridge penalties to choose from, as multiples of the features' largest squared singular value."""

DORMANT = 0.025
"""A unit with at most this share of the mean unit's activity is dead: the tau of Sokar et al. 2023 (arXiv:2302.12902)."""

_CONSTANT = 1e-6
"""A feature that varies by less than this share of its size is constant up to the rounding of float32."""
_BLOCK = 4096
"""Columns taken to double precision at a time: flattened feature maps are tens of thousands wide."""


@dataclass(frozen=True)
class Readout:
    """How well positions can be read from features by a linear map, on scenes that it was not fitted to.

    Attributes:
        r2: 1 - (sum of squared errors) / (the same of ``mean_error``'s predictor), over all coordinates; at most 1, and below
            0 where the features mislead. 0 where the positions do not vary.
        error: Mean Euclidean distance between the predicted and the true position, in their unit.
        mean_error: The same for the mean position of the scenes that were fitted to.
    """

    r2: float
    error: float
    mean_error: float


def read_out(
    features: NDArray[Any], positions: Mapping[str, Array], groups: NDArray[np.int64], folds: int = FOLDS
) -> dict[str, Readout]:
    """Ridge regression from features to positions, cross-validated.

    Features are scaled to unit deviation over all scenes, which looks at no position; their mean, the positions' mean and the
    weights are those of the fitted folds alone. Each fold's penalty is the one of :data:`PENALTIES` that does best on the
    *other* folds when they are held out in turn. (A fold's own positions are among those that these were fitted to, and so have
    a small say in the penalty, not in the fit.)

    Args:
        features: ``(n, d)``, any width: over n the dual form is used.
        positions: Name -> ``float64 (n, k)``; each gets a penalty of its own.
        groups: ``(n,)``; scenes of one group are never on both sides of a split.
        folds: Groups are dealt out to this many folds in turn.

    Raises:
        ValueError: There are fewer groups than folds, or a feature is not finite.
    """
    fold = fold_of(groups, folds)
    values = np.concatenate([np.asarray(position, np.float64) for position in positions.values()], axis=1)  # (n, sum of k)
    residuals = held_out_residuals(*principal_components(features), values, fold)
    mean_residuals = _mean_residuals(values, fold)
    found, start = {}, 0
    for name, position in positions.items():
        columns = slice(start, start := start + position.shape[1])
        chosen = _choose_penalties(residuals[:, :, columns], fold)
        found[name] = _readout(chosen, mean_residuals[:, columns])
    return found


def fold_of(groups: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """The fold of each scene: ``(n,)``, groups dealt out in turn.

    Raises:
        ValueError: There are fewer groups than folds.
    """
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < folds:
        raise ValueError(f"{len(names)} groups cannot be split into {folds} folds")
    return index % folds


def principal_components(features: NDArray[Any]) -> tuple[Array, Array]:
    """The scenes in the principal axes of the centred, scaled features, and the squared singular values.

    Args:
        features: ``(n, d)``.

    Returns:
        ``(n, r)`` and ``(r,)``, r the smaller of n and d, so that the product of the first with its transpose is the scenes'
        matrix of inner products, and its columns are orthogonal with these squared lengths.

    Raises:
        ValueError: A feature is not finite.
    """
    n, d = features.shape
    if d <= n:
        (block,) = _standardised(features, n)
        squares, axes = np.linalg.eigh(block.T @ block)
        return block @ axes, np.maximum(squares, 0)
    inner = np.zeros((n, n))
    for block in _standardised(features, _BLOCK):
        inner += block @ block.T
    squares, axes = np.linalg.eigh(inner)
    squares = np.maximum(squares, 0)
    return axes * np.sqrt(squares), squares


def held_out_residuals(components: Array, squares: Array, values: Array, fold: NDArray[np.int64]) -> Array:
    """The errors of ridge regressions on folds that they were not fitted to, without fitting one for each.

    A linear smoother S that fits all scenes with residuals r has the residuals (I - S_FF)^-1 r_F on the scenes F when they are
    left out: the deletion formula of least squares, exact for ridge with a free intercept and a fixed penalty.

    Args:
        components: ``(n, r)``, of :func:`principal_components`.
        squares: ``(r,)``.
        values: ``(n, k)``.
        fold: ``(n,)``.

    Returns:
        ``(penalties, n, k)``.
    """
    n = len(values)
    centred = values - values.mean(axis=0)
    residuals = np.empty((len(PENALTIES), *values.shape))
    largest = squares.max(initial=0.0) or 1.0
    for i, penalty in enumerate(PENALTIES):
        weights = 1 / (squares + penalty * largest)  # (r,)
        fitted = components @ (weights[:, None] * (components.T @ centred))
        for f in np.unique(fold):
            rows = fold == f
            part = components[rows]
            smoother = (part * weights) @ part.T + 1 / n
            residuals[i, rows] = np.linalg.solve(np.eye(len(part)) - smoother, (centred - fitted)[rows])
    return residuals


def effective_rank(features: NDArray[Any]) -> float:
    """How many directions the centred features fill: exp of the entropy of their normalised singular values.

    Roy and Vetterli 2007, "The effective rank", definition 1. Between 1 and the smaller of n and d; 0 where nothing varies.

    Args:
        features: ``(n, d)``, not scaled.
    """
    n, d = features.shape
    inner = np.zeros((min(n, d), min(n, d)))
    for block, _ in _centred(features, n if d <= n else _BLOCK):
        inner += block.T @ block if d <= n else block @ block.T
    squares = np.linalg.eigvalsh(inner)
    squares[squares <= squares.max() * max(n, d) * np.finfo(np.float64).eps] = 0
    values = np.sqrt(squares[squares > 0])
    if not len(values):
        return 0.0
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def dead_units(features: NDArray[Any], threshold: float = DORMANT) -> int:
    """Features that hardly vary over the scenes.

    The dormant score of Sokar et al. 2023 (arXiv:2302.12902, definition 3.1), with activations taken from their own mean, which
    their code offers too: features need not end in a ReLU, and a constant that is not zero is as dead.

    Args:
        features: ``(n, d)``.
        threshold: Share of the mean over units at or below which one is dead.
    """
    parts = [np.where(deviation > 0, np.abs(block).mean(axis=0), 0) for block, deviation in _centred(features, _BLOCK)]
    activity = np.concatenate(parts)  # (d,)
    return int((activity <= threshold * activity.mean()).sum())


def drift(before: NDArray[Any], after: NDArray[Any]) -> float:
    """How far features of the same scenes moved: the Frobenius norm of the change over that of the features before.

    Args:
        before: ``(n, d)``.
        after: ``(n, d)``.
    """
    old, new = np.asarray(before, np.float64), np.asarray(after, np.float64)
    size = np.linalg.norm(old)
    return float(np.linalg.norm(new - old) / size) if size else 0.0


def _centred(features: NDArray[Any], width: int) -> Iterator[tuple[Array, Array]]:
    """Blocks of columns in double precision, without their means: ``(n, b)``, and their deviations: ``(b,)``.

    The deviation of a constant column is 0, whatever rounding made of it.
    """
    for start in range(0, features.shape[1], width):
        block = features[:, start : start + width].astype(np.float64)
        mean = block.mean(axis=0)
        if not np.isfinite(mean).all():
            raise ValueError("a feature is not finite")
        block -= mean
        deviation = np.sqrt(np.einsum("ij,ij->j", block, block) / len(block))
        deviation[deviation <= _CONSTANT * np.hypot(mean, deviation)] = 0
        yield block, deviation


def _standardised(features: NDArray[Any], width: int) -> Iterator[Array]:
    """Blocks of columns ``(n, b)`` with mean 0 and deviation 1; constant ones are 0."""
    for block, deviation in _centred(features, width):
        block /= np.where(deviation > 0, deviation, np.inf)
        yield block


def _mean_residuals(values: Array, fold: NDArray[np.int64]) -> Array:
    residuals = np.empty_like(values)
    for f in np.unique(fold):
        residuals[fold == f] = values[fold == f] - values[fold != f].mean(axis=0)
    return residuals


def _choose_penalties(residuals: Array, fold: NDArray[np.int64]) -> Array:
    """``(penalties, n, k)`` -> ``(n, k)``: each fold's residuals at the penalty that does best on the others."""
    squares = (residuals**2).sum(axis=2)  # (penalties, n)
    chosen = np.empty(residuals.shape[1:])
    for f in np.unique(fold):
        best = squares[:, fold != f].sum(axis=1).argmin()
        chosen[fold == f] = residuals[best, fold == f]
    return chosen


def _readout(residuals: Array, mean_residuals: Array) -> Readout:
    total = float((mean_residuals**2).sum())
    return Readout(
        r2=1 - float((residuals**2).sum()) / total if total else 0.0,
        error=float(np.linalg.norm(residuals, axis=1).mean()),
        mean_error=float(np.linalg.norm(mean_residuals, axis=1).mean()),
    )


def rank_correlation(first: Array, second: Array) -> float | None:
    """Spearman's rank correlation of two series ``(n,)``, in [-1, 1]; ``None`` where either is constant."""
    from scipy.stats import spearmanr

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.clip(spearmanr(first, second).statistic, -1, 1))
