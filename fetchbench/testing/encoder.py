"""An encoder under test: built, copied, and put to use."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
from dataclasses import replace

import torch
from torch import Tensor, nn

from fetchbench.errors import WeightsError
from fetchbench.learner.build import encoder_module, initialised
from fetchbench.learner.components import spec_of
from fetchbench.records.schema import Component
from fetchbench.registry import Registry
from fetchbench.specs import EncoderSpec, FrameShape, GradientRoutingSpec
from fetchbench.testing.frames import noise
from fetchbench.testing.stand_ins import STAND_IN_LOSS, StandInEncoder
from fetchbench.testing.trial import Trial

SIZE, STACK, BATCH = 64, 2, 8
HEAVY_SIZE, HEAVY_PARAMETERS, HEAVY_BATCH = 128, 5_000_000, 2
"""From here on batches are small, so that a minute is enough."""

LARGE_PARAMETERS = 60_000_000
"""Above, one frame at a time is all that is asked for."""


class EncoderUnderTest:
    """An encoder, built when it is first asked for.

    Args:
        registry: Where it is found, and the routings under which it must learn.
        component: Its name and options, and the encoder that it wraps.

    Attributes:
        missing_weights: Where its weights would be found, if they are not on this machine: then it has random ones.
        moments_alone: Parameters that ``moments`` reaches and ``forward`` does not.
    """

    def __init__(self, registry: Registry, component: Component) -> None:
        self.registry, self.component = registry, component
        self.spec: EncoderSpec = spec_of(registry, "encoder", component, EncoderSpec)
        self.missing_weights = ""
        self.moments_alone: set[str] = set()

    @functools.cached_property
    def size(self) -> int:
        return self.registry.frame_size(self.component) or SIZE

    @property
    def shape(self) -> FrameShape:
        """Of the frames that one call of the module sees."""
        return self.sees(STACK, self.size)

    def sees(self, stack: int, size: int) -> FrameShape:
        """What one call of the module sees of a method's frames."""
        return FrameShape(1 if self.spec.input == "frame" else stack, size, size)

    @functools.cached_property
    def module(self) -> nn.Module:
        """What ``build`` returned, in training mode. Checks that change it take a :meth:`copy`."""
        return self.built(self.shape)

    @property
    def is_built(self) -> bool:
        return "module" in vars(self)

    def copy(self) -> nn.Module:
        return copy.deepcopy(self.module)

    def built(self, shape: FrameShape, seed: int = 0) -> nn.Module:
        """A module with weights from a seed.

        Raises:
            PluginError: It does not build.
        """
        with initialised(seed):
            try:
                module = self._module(shape)
            except WeightsError as error:
                self.missing_weights = str(error)
                self.component = self._unweighted(self.component)
                module = self._module(shape)
            # Layers that find their sizes when they first run draw their weights here. Failing is the checks' business.
            with contextlib.suppress(Exception), torch.no_grad():
                module.eval()(noise(shape, 1))
        return module.train()

    def _module(self, shape: FrameShape) -> nn.Module:
        """What ``build`` returns; a wrapping encoder that names no other gets the stand-in."""
        alone = self.spec.wraps and self.component.wraps is None
        return encoder_module(self.registry, self.component, shape, *([StandInEncoder(shape)] if alone else []))

    def _unweighted(self, component: Component) -> Component:
        """The same with random weights, and so with what it wraps."""
        options, wraps = component.options, component.wraps
        spec = spec_of(self.registry, "encoder", component, EncoderSpec)
        if "weights" in inspect.signature(spec.build).parameters:
            options = {**options, "weights": "random"}
        return component.model_copy(update={"options": options, "wraps": wraps and self._unweighted(wraps)})

    @functools.cached_property
    def parameters(self) -> int:
        # Of a layer that never ran there are none yet, and that is another check's business.
        return sum(p.numel() for p in self.module.parameters() if not isinstance(p, nn.parameter.UninitializedParameter))

    @property
    def heavy(self) -> bool:
        return self.size >= HEAVY_SIZE or self.parameters > HEAVY_PARAMETERS

    @property
    def large(self) -> bool:
        return self.parameters > LARGE_PARAMETERS

    @property
    def batch(self) -> int:
        return 1 if self.large else HEAVY_BATCH if self.heavy else BATCH

    @property
    def routings(self) -> list[GradientRoutingSpec]:
        """Every routing there is."""
        found = [self.registry.get("gradient-routing", name).spec for name in self.registry.names("gradient-routing")]
        return [spec for spec in found if isinstance(spec, GradientRoutingSpec)]

    def trial(self, routing: GradientRoutingSpec, *, loss: bool = False) -> Trial:
        """A method with a copy of this encoder."""
        module = self.copy()
        spec = replace(self.spec, build=lambda shape: module, wraps=False, frame_size=None)
        auxiliary = [("auxiliary-loss", STAND_IN_LOSS)] if loss else []
        stack = 1 if self.heavy and self.spec.input == "frame" else STACK
        return Trial(
            ("encoder", spec), ("gradient-routing", routing), *auxiliary, size=self.size, stack=stack, batch=self.batch
        )


def run(module: nn.Module, frames: Tensor, *, training: bool = False) -> Tensor:
    """Features without gradient, of a copy of the frames."""
    with torch.no_grad():
        z: Tensor = module.train(training)(frames.clone())
    return z
