"""fetchbench: which visual representation makes sparse-reward manipulation learnable from pixels, and why?

The names below are what plugin authors need, and :func:`load_policy`. Each is imported when it is first asked for, so that
``import fetchbench`` costs nothing and pulls in neither torch nor MuJoCo.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fetchbench._version import __version__

if TYPE_CHECKING:
    from fetchbench.errors import FetchbenchError, PluginError, WeightsError
    from fetchbench.learner.frames import random_shift
    from fetchbench.learner.pretrained import Preprocessing, load_weights
    from fetchbench.registry import hookimpl
    from fetchbench.run.policy import load_policy
    from fetchbench.specs import (
        Augmentation,
        AugmentationSpec,
        AuxiliaryContext,
        AuxiliaryInputs,
        AuxiliaryLossSpec,
        EncoderSpec,
        FrameShape,
        GoalContext,
        GoalIndices,
        GoalSpace,
        GoalSpaceSpec,
        GradientRoutingSpec,
        PixelSpec,
        Pursued,
        Schedule,
        WeightsSpec,
    )

__all__ = [
    "Augmentation",
    "AugmentationSpec",
    "AuxiliaryContext",
    "AuxiliaryInputs",
    "AuxiliaryLossSpec",
    "EncoderSpec",
    "FetchbenchError",
    "FrameShape",
    "GoalContext",
    "GoalIndices",
    "GoalSpace",
    "GoalSpaceSpec",
    "GradientRoutingSpec",
    "PixelSpec",
    "PluginError",
    "Preprocessing",
    "Pursued",
    "Schedule",
    "WeightsError",
    "WeightsSpec",
    "__version__",
    "hookimpl",
    "load_policy",
    "load_weights",
    "random_shift",
]

_HOMES = {
    "FetchbenchError": "errors",
    "PluginError": "errors",
    "Preprocessing": "learner.pretrained",
    "WeightsError": "errors",
    "hookimpl": "registry",
    "load_policy": "run.policy",
    "load_weights": "learner.pretrained",
    "random_shift": "learner.frames",
}
"""Where a name lives; what is not here is a spec."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fetchbench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"fetchbench.{_HOMES.get(name, 'specs')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
