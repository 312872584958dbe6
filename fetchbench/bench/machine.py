"""What is measured on."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

from fetchbench._version import __version__
from fetchbench.bench.process import available_memory_mb
from fetchbench.machine import bfloat16_instructions, can_compile, package_version, processor_name

PACKAGES = ("torch", "numpy", "gymnasium", "gymnasium-robotics", "mujoco", "stable-baselines3")


def describe(cores: Sequence[int], renderer: dict[str, str]) -> dict[str, Any]:
    """The machine, as JSON values; no names of hosts, no paths.

    Args:
        cores: Those that are used.
        renderer: What draws; empty where nothing does.

    Returns:
        Among them ``bfloat16``, the processor's instructions that multiply it, and what our fast arithmetic is made of:
        ``precision``, and whether there is a ``compiler``.
    """
    bfloat16 = bfloat16_instructions()
    return {
        "fetchbench": __version__,
        "processor": processor_name(),
        "cores": len(cores),
        "available_memory_mb": round(available_memory_mb()),
        "bfloat16": bfloat16,
        "precision": "bfloat16" if bfloat16 else "float32",
        "compiler": can_compile(),
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "renderer": renderer,
    }
