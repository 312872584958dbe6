"""Shrinking frames by area averaging: each large pixel counts by the share of it that falls into a small one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def area_weights(size: int, smaller: int) -> NDArray[np.float32]:
    """Weights that shrink an axis by area averaging: ``float32 (smaller, size)``, each row summing to 1."""
    edges = np.linspace(0, size, smaller + 1)
    pixels = np.arange(size)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights: NDArray[np.float32] = (covered.clip(0) * smaller / size).astype(np.float32)
    return weights


def resize(frame: NDArray[np.uint8], weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``uint8 (3, S, S)`` -> ``uint8 (3, H, H)`` for weights ``(H, S)``, rounded to the nearest level."""
    shrunk = weights @ frame.astype(np.float32) @ weights.T
    levels: NDArray[np.uint8] = np.rint(shrunk).astype(np.uint8)
    return levels
