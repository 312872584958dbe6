"""An auxiliary loss under test: built, given batches, and put to use."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace

import torch
from torch import Tensor, nn

from fetchbench.learner.build import initialised
from fetchbench.learner.components import spec_of
from fetchbench.learner.sac import PLAIN
from fetchbench.records.schema import Component, Execution
from fetchbench.registry import Registry
from fetchbench.specs import AuxiliaryContext, AuxiliaryInputs, AuxiliaryLossSpec, FrameShape, GradientRoutingSpec
from fetchbench.testing.frames import noise
from fetchbench.testing.stand_ins import CRITIC, stand_in_encoder
from fetchbench.testing.trial import Trial

SHAPE, BATCH = FrameShape(2, 64, 64), 6


class LossUnderTest:
    """An auxiliary loss beside an encoder that offers what it requires, and nothing else.

    Args:
        registry: Where it is found, and the routings under which it must work.
        component: Its name and options.
    """

    def __init__(self, registry: Registry, component: Component) -> None:
        self.registry, self.component = registry, component
        found = spec_of(registry, "auxiliary-loss", component, AuxiliaryLossSpec)
        self.spec = replace(
            found,
            build=functools.partial(found.build, **component.options),
            batch_size=min(found.batch_size, BATCH) if isinstance(found.batch_size, int) else found.batch_size,
        )

    @functools.cached_property
    def trial(self) -> Trial:
        return self.method(CRITIC)

    def method(self, routing: GradientRoutingSpec, execution: Execution = PLAIN, shape: FrameShape = SHAPE) -> Trial:
        """A method with this loss."""
        return Trial(
            ("encoder", stand_in_encoder(self.spec.requires)),
            ("auxiliary-loss", self.spec),
            ("gradient-routing", routing),
            size=shape.height,
            stack=shape.frames,
            batch=BATCH,
            execution=execution,
        )

    @property
    def is_built(self) -> bool:
        return "trial" in vars(self)

    @property
    def pretraining_updates(self) -> int:
        auxiliary = self.trial.learner.auxiliary
        assert auxiliary is not None
        return auxiliary.pretraining_updates

    @property
    def module(self) -> nn.Module:
        auxiliary = self.trial.learner.auxiliary
        assert auxiliary is not None
        return auxiliary.module

    @property
    def encoder(self) -> nn.Module:
        encoders = self.trial.learner.encoders
        assert encoders is not None
        return encoders.critic

    @property
    def horizon(self) -> int:
        return self.trial.built.horizon

    def built(self, seed: int) -> nn.Module:
        """The loss alone, with weights from a seed."""
        dim, action_dim = self.trial.built.feature_dim or 0, self.trial.built.draws.actions
        with initialised(seed):
            return self.spec.build(AuxiliaryContext(SHAPE, dim, action_dim))

    def copies(self) -> tuple[nn.Module, nn.Module]:
        """Copies of the loss and of the encoder."""
        return copy.deepcopy(self.module), copy.deepcopy(self.encoder)

    def inputs(self, encoder: nn.Module, seed: int = 0, behind: int | None = None) -> AuxiliaryInputs:
        """One batch. Half of its sequences run over the end of their episode, after one step.

        Args:
            encoder: Gives ``encode``; a copy of it gives ``encode_momentum``.
            seed: Of what is drawn.
            behind: Seed of what lies behind the episode's end; by default what the replay puts there.
        """
        k, frames_seen, spec = self.horizon, SHAPE.frames, self.spec
        generator = torch.Generator().manual_seed(seed)
        frames = noise(FrameShape(frames_seen + k, SHAPE.height, SHAPE.width), BATCH, seed)
        actions = torch.rand(BATCH, k, self.trial.built.draws.actions, generator=generator) * 2 - 1
        mask = torch.ones(BATCH, k, dtype=torch.bool)
        mask[BATCH // 2 :, 1:] = False
        end = frames_seen + 1  # states after the first step
        frames[BATCH // 2 :, end:] = frames[BATCH // 2 :, end - 1 : end]
        actions = actions * mask[..., None]
        if behind is not None:
            other = torch.Generator().manual_seed(behind)
            shape = frames[BATCH // 2 :, end:].shape
            frames[BATCH // 2 :, end:] = torch.randint(0, 256, shape, dtype=torch.uint8, generator=other)
            actions[BATCH // 2 :, 1:] = torch.rand(actions[BATCH // 2 :, 1:].shape, generator=other)
        momentum = lagging(encoder)

        def encode_momentum(given: Tensor) -> Tensor:
            with torch.no_grad():
                z: Tensor = momentum(given)
            return z

        normals = self.trial.built.draws.auxiliary_normal
        return AuxiliaryInputs(
            frames=frames,
            views=tuple(frames.roll(1 + view, dims=-1) for view in range(spec.views)),
            actions=actions,
            mask=mask,
            uniform=torch.rand(BATCH, spec.uniform_draws, generator=generator),
            normal=torch.randn(BATCH, normals, generator=generator),
            encode=encoder,
            encode_momentum=encode_momentum,
            encoder=encoder,
        )


@torch.no_grad()
def lagging(encoder: nn.Module) -> nn.Module:
    """A momentum copy that has fallen behind: where it equals the encoder, some losses have no gradient."""
    momentum, generator = copy.deepcopy(encoder), torch.Generator().manual_seed(0)
    for parameter in momentum.parameters():
        parameter.mul_(1 + 0.1 * torch.randn(parameter.shape, generator=generator))
    return momentum


def value(module: nn.Module, inputs: AuxiliaryInputs) -> Tensor:
    """The loss."""
    loss: Tensor = module(inputs)[0]
    return loss
