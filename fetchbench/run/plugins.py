"""Every component there is: the plugins and what the core itself brings. Loading them imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fetchbench.learner.goals import IMAGE_GOALS, VECTOR_GOALS
from fetchbench.registry import Registry, load_registry


def load_plugins(files: Sequence[Path] = ()) -> Registry:
    """Load fetchbench's plugins, installed ones, ``./plugins`` and the given files.

    Args:
        files: Plugin files named by the user.
    """
    return load_registry(files, builtin=[("goal-space", VECTOR_GOALS), ("goal-space", IMAGE_GOALS)])
