"""From a method's components to a learner."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from fetchbench.environment.tasks import Task
from fetchbench.environment.tracks import uses_frames, vector_layout
from fetchbench.errors import FetchbenchError, PluginError
from fetchbench.learner.augmentations import build_augmentation
from fetchbench.learner.batch import Sampler, Vectors
from fetchbench.learner.components import called, spec_of
from fetchbench.learner.draws import DrawSizes
from fetchbench.learner.encoders import Encoders, PerFrame, feature_dim
from fetchbench.learner.goals import UnseenGoals
from fetchbench.learner.networks import Actor, Inputs, TwinCritic
from fetchbench.learner.sac import PLAIN, Auxiliary, Learner
from fetchbench.protocol import LearnerSettings, Track
from fetchbench.records.schema import Component, Execution, Method
from fetchbench.registry import Registry
from fetchbench.replay import EpisodeBatch, Replay
from fetchbench.specs import (
    Augmentation,
    AuxiliaryContext,
    AuxiliaryLossSpec,
    EncoderSpec,
    FrameShape,
    GoalContext,
    GoalSpace,
    GoalSpaceSpec,
    GradientRoutingSpec,
    PixelSpec,
)

DEFAULT_TRUNK = 50
"""Width of the heads' own trunk where the encoder is frozen: nobody else adapts its features."""
T = TypeVar("T")
NO_ROUTING = GradientRoutingSpec("none", critic=0, actor=0, auxiliary=0)


@dataclass(frozen=True)
class InitialisationSeeds:
    """Seeds of the initial weights, apart so that one part's change leaves the others' weights alone."""

    encoder: int
    actor: int
    critic: int
    auxiliary: int


@dataclass(frozen=True)
class Built:
    """A method, ready to learn.

    Attributes:
        learner: Networks and update.
        goals: The goal space.
        vectors: The track's vector inputs.
        rendered: What the environment must draw; ``None`` on tracks without frames.
        horizon: K, of the auxiliary loss; 0 without one.
        feature_dim: Width of ``z``; ``None`` without an encoder.
        draws: Sizes of an update's random numbers.
        own_batch: Batch of the auxiliary loss's own; ``None`` where it shares the learner's.
        goal_images: Whether goals are images.
        shows_goals: Whether the encoder sees these images, and the heads its features of them.
        goal_draws: Uniform numbers that the goal space needs per goal.
        reward: ``"task"``, or ``"latent"``: then the replay is given no achieved goal.
        embeds: Embeds single frames ``uint8 (N, 3, H, W)`` -> ``float32 (N, dim)``, where the replay keeps embeddings in the
            place of pixels; ``None`` where it keeps pixels.
        notice: What a user should know of how it will run; empty otherwise.
    """

    learner: Learner
    goals: GoalSpace
    vectors: Vectors
    rendered: PixelSpec | None
    horizon: int
    feature_dim: int | None
    draws: DrawSizes
    own_batch: int | None
    goal_images: bool = False
    shows_goals: bool = False
    goal_draws: int = 0
    reward: Literal["task", "latent"] = "task"
    embeds: PerFrame | None = None
    notice: str = ""

    @property
    def cached(self) -> bool:
        """Whether each frame is embedded once, when it is drawn."""
        return self.embeds is not None

    @property
    def frame(self) -> tuple[int, ...] | None:
        """Shape of what the replay keeps of a frame: ``(3, H, W)`` pixels or ``(dim,)``; ``None`` on tracks without frames."""
        if self.rendered is None:
            return None
        if self.embeds is None:
            return (3, self.rendered.size, self.rendered.size)
        assert self.feature_dim is not None
        return (self.feature_dim // self.learner.stack,)

    @property
    def frame_dtype(self) -> torch.dtype:
        """Of what :attr:`frame` describes."""
        return torch.float32 if self.cached else torch.uint8

    def stored(self, frames: np.ndarray) -> np.ndarray:
        """What the replay keeps of drawn frames: ``uint8 (N, 3, H, W)`` -> ``(N, *frame)``."""
        if self.embeds is None:
            return frames
        with torch.no_grad():
            embedded: np.ndarray = self.embeds.embed(torch.from_numpy(frames).to(self.learner.device)).cpu().numpy()
        return embedded

    def told(self, episodes: EpisodeBatch) -> EpisodeBatch:
        """What the replay may know of episodes. Where rewards are latent, numbers that the networks do not see are NaN."""
        if self.reward == "task":
            return episodes
        observation, shown = np.full_like(episodes.observation, np.nan), list(self.vectors.indices)
        observation[..., shown] = episodes.observation[..., shown]
        achieved, desired = (np.full_like(goals, np.nan) for goals in (episodes.achieved, episodes.desired))
        return replace(episodes, observation=observation, achieved=achieved, desired=desired)

    def sampler(self, replay: Replay) -> Sampler:
        """What turns a replay's transitions into the learner's batches."""
        settings = self.learner.settings
        return Sampler(
            replay,
            self.goals,
            self.vectors,
            k=settings.relabel_k,
            strategy=settings.relabel_strategy,
            stack=self.learner.stack,
            horizon=self.horizon,
            own_batch=self.own_batch is not None,
            shows_goals=self.shows_goals,
        )


def build(
    method: Method,
    task: Task,
    pixel_track: Track,
    settings: LearnerSettings,
    registry: Registry,
    seeds: InitialisationSeeds,
    execution: Execution = PLAIN,
    *,
    cache: bool = True,
) -> Built:
    """Build a method's networks and check that its components fit together.

    Args:
        method: Components and their options.
        task: What it acts in.
        pixel_track: The suite's own pixel track.
        settings: The suite's learner settings.
        registry: Where its components are found.
        seeds: Of the initial weights.
        execution: How the arithmetic is done.
        cache: Whether a frozen encoder of single frames embeds each of them once, in float32. It changes the cost, and in
            bfloat16 the rounding, of what an update reads.

    Raises:
        FetchbenchError: A component that does not build, breaks its contract, or does not fit the others.
    """
    scaled = settings.vectors == "scaled"
    space, goals = _goal_space(registry, method, task, scaled)
    if method.track == "blind" and pixel_track == "image-goal":
        goals = UnseenGoals(goals)
    vectors = Vectors(vector_layout(method.track, task, pixel_track, scaled=scaled), execution.device)
    routing = NO_ROUTING
    if method.routing is not None:
        routing = spec_of(registry, "gradient-routing", method.routing, GradientRoutingSpec)
    parts = _Pixels(registry, method, routing, settings, task, seeds) if uses_frames(method.track) else None
    features = parts.feature_dim if parts else 0
    if space.reward == "latent":
        _check_latent(method, parts)
    if parts is not None and (bind := getattr(goals, "bind", None)):
        context = _goal_context(parts, lambda: learner)
        called("goal space", method.goal_space, lambda: bind(context))
    width = vectors.dim + goals.embedding_dim
    # Where goals are images that the encoder sees, the heads see its features of both.
    shows_goals = method.track == "image-goal" and hasattr(goals, "goal_frames")
    seen = features * (2 if shows_goals else 1)
    trunk = parts.trunk if parts else 0
    with initialised(seeds.actor):
        actor = Actor(Inputs(seen, width, trunk), settings.hidden, task.action_dim, settings.log_std_bounds)
    with initialised(seeds.critic):
        critic = TwinCritic(Inputs(seen, width, trunk), settings.hidden, task.action_dim)
    auxiliary = parts.auxiliary if parts else None
    learner = Learner(
        encoders=parts.encoders if parts else None,
        actor=actor,
        critic=critic,
        routing=routing,
        settings=settings,
        stack=parts.shape.frames if parts else 1,
        augmentation=parts.augmentation if parts else None,
        views=method.views,
        target_views=method.target_views,
        auxiliary=auxiliary,
        execution=execution,
    )
    draws = features if space.draws == "feature" else space.draws
    return Built(
        learner=learner,
        goals=goals,
        vectors=vectors,
        rendered=parts.rendered if parts else None,
        horizon=auxiliary.horizon if auxiliary else 0,
        feature_dim=features if parts else None,
        draws=_draw_sizes(method, settings, task, parts),
        own_batch=auxiliary.batch_size if auxiliary else None,
        goal_images=method.track == "image-goal",
        shows_goals=shows_goals,
        goal_draws=draws,
        reward=space.reward,
        embeds=parts.embeds if parts and cache else None,
        notice=parts.notice if parts else "",
    )


@contextmanager
def initialised(seed: int) -> Iterator[None]:
    """Draw initial weights from a seed, whatever was drawn before, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class _Pixels:
    """The parts of a method that see frames."""

    def __init__(
        self,
        registry: Registry,
        method: Method,
        routing: GradientRoutingSpec,
        settings: LearnerSettings,
        task: Task,
        seeds: InitialisationSeeds,
    ) -> None:
        if method.encoder is None or method.pixels is None or method.routing is None:
            raise FetchbenchError(f"method {method.name!r}: track {method.track!r} needs an encoder, pixels and a routing")
        size = registry.frame_size(method.encoder) or method.pixels.size
        self.shape = FrameShape(method.pixels.stack, size, size)
        with initialised(seeds.encoder):
            encoder = _stacked(registry, method.encoder, self.shape)
            # Layers that find their sizes when they first run draw their weights here.
            self.feature_dim = feature_dim(encoder, self.shape, method.encoder.label)
        averaged = settings.target_features == "average"
        self.encoders = Encoders(encoder, routing.encoders, routing.trains_encoder, averaged)
        default = registry.trunk(method.encoder) or (0 if routing.trains_encoder else DEFAULT_TRUNK)
        self.trunk = default if method.trunk is None else method.trunk
        self.augmentation, self.augmentation_draws, self.rendered = self._augmentation(registry, method, size)
        self.auxiliary = self._auxiliary(registry, method, routing, task, seeds)
        self.embeds: PerFrame | None = None
        self.notice = ""
        if not routing.trains_encoder and isinstance(encoder, PerFrame):
            if self.augmentation is None and self.auxiliary is None:
                self.embeds = encoder
            else:
                needs = "an augmentation" if self.augmentation is not None else "an auxiliary loss"
                self.notice = (
                    f"{needs} needs the frames themselves: the frozen encoder runs on every batch, and no embedding is kept"
                )

    def _augmentation(self, registry: Registry, method: Method, size: int) -> tuple[Augmentation | None, int, PixelSpec]:
        """The augmentation, its draws per stack, and what to render for it."""
        component, pixels = method.augmentation, method.pixels or PixelSpec()
        if component is None:
            if method.views > 1 or method.target_views > 1:
                raise FetchbenchError(f"method {method.name!r}: views need an augmentation; without one they are all equal")
            return None, 0, pixels.sized(size)
        found, wanted = build_augmentation(registry, component, self.shape)
        return found.augmentation, found.draws, pixels.sized(wanted)

    def _auxiliary(
        self, registry: Registry, method: Method, routing: GradientRoutingSpec, task: Task, seeds: InitialisationSeeds
    ) -> Auxiliary | None:
        component = method.auxiliary_loss
        if component is None:
            if routing.needs_auxiliary_loss:
                raise FetchbenchError(
                    f"method {method.name!r}: routing {routing.name!r} trains the encoder by an auxiliary loss alone, and "
                    "there is none; name one with `auxiliary_loss`, or take another routing"
                )
            return None
        spec = spec_of(registry, "auxiliary-loss", component, AuxiliaryLossSpec)
        for offer in spec.requires:
            if not hasattr(self.encoders.critic, offer):
                raise PluginError(
                    f"auxiliary loss {component.name!r} needs an encoder that offers {offer}(frames), and "
                    f"{method.encoder.name if method.encoder else ''!r} does not"
                )
        context = AuxiliaryContext(self.shape, self.feature_dim, task.action_dim)
        with initialised(seeds.auxiliary):
            module = called("auxiliary loss", component, lambda: spec.build(context, **component.options))
        _check_module("auxiliary loss", component, module)
        momentum = None
        if spec.momentum is not None:
            momentum = copy.deepcopy(self.encoders.critic).requires_grad_(False)
        numbers = {field: _number(spec, component, field, least) for field, least in LEAST.items()}
        return Auxiliary(spec, module, method.auxiliary_weight, momentum, **numbers)


def encoder_module(registry: Registry, component: Component, shape: FrameShape, *inner: nn.Module) -> nn.Module:
    """What an encoder's ``build`` returns.

    Args:
        registry: Where it is found, and the encoder that it wraps.
        component: Its name and options.
        shape: Of the frames that one call of the module sees.
        inner: What it wraps, where the component does not name that.

    Raises:
        PluginError: It does not build, or is no module.
    """
    spec = spec_of(registry, "encoder", component, EncoderSpec)
    if component.wraps is not None:
        inner = (_stacked(registry, component.wraps, shape),)
    encoder = called("encoder", component, lambda: spec.build(shape, *inner, **component.options))
    _check_module("encoder", component, encoder)
    return encoder


def _stacked(registry: Registry, component: Component, shape: FrameShape) -> nn.Module:
    """An encoder of whole stacks, also where its module sees single frames."""
    if spec_of(registry, "encoder", component, EncoderSpec).input == "frame":
        return PerFrame(encoder_module(registry, component, FrameShape(1, shape.height, shape.width)))
    return encoder_module(registry, component, shape)


def _check_module(kind: str, component: Component, built: object) -> None:
    if not isinstance(built, nn.Module):
        raise PluginError(f"{kind} {component.name!r}: build returns {type(built).__name__}; it must return an nn.Module")


def _goal_space(registry: Registry, method: Method, task: Task, scaled: bool) -> tuple[GoalSpaceSpec, GoalSpace]:
    spec = spec_of(registry, "goal-space", method.goal_space, GoalSpaceSpec)
    if method.track not in spec.tracks:
        raise FetchbenchError(
            f"method {method.name!r}: goal space {spec.name!r} serves the tracks {', '.join(spec.tracks)}, not {method.track!r}"
        )
    given = method.goal_space.options
    if "scaled" in inspect.signature(spec.build).parameters:
        given = {"scaled": scaled, **given}
    return spec, called("goal space", method.goal_space, lambda: spec.build(task, **given))


def _check_latent(method: Method, parts: _Pixels | None) -> None:
    """Refuse what rewards without positions cannot be joined with."""
    if method.track == "pixels-privileged":
        raise FetchbenchError(
            f"method {method.name!r}: track {method.track!r} shows the achieved goal, of which a run with latent rewards keeps "
            "nothing; take another track, or a goal space with the task's reward"
        )
    if parts is not None and parts.rendered.size != parts.shape.height:
        raise FetchbenchError(
            f"method {method.name!r}: goals are drawn {parts.shape.height} pixels high, as the encoder sees them, and its "
            f"augmentation wants frames of {parts.rendered.size}; take one that keeps the size, as shift does"
        )


def _goal_context(parts: _Pixels, learner: Callable[[], Learner]) -> GoalContext:
    """What a goal space may use of a method: the critic's encoder, which is also the one that an auxiliary loss trains.

    Args:
        parts: What sees frames.
        learner: What runs them, once there is one: the heads are made for the width of a goal.
    """

    def ready() -> Learner:
        try:
            return learner()
        except NameError:
            raise PluginError("the networks are still being built: keep the context in `bind`, and ask it later") from None

    encoder = parts.encoders.critic
    auxiliary = None if parts.auxiliary is None else parts.auxiliary.module

    def stacks(frames: Tensor) -> Tensor:
        return ready().seen(ready().stacked(frames))

    def offered(module: nn.Module | None, name: str, ask: Callable[..., T]) -> Callable[..., T] | None:
        """What a plugin's object offers under a name: asked in evaluation mode, without gradient."""
        if (offer := getattr(module, name, None)) is None:
            return None

        def asked(*given: Tensor) -> T:
            with ready().evaluating():
                return ask(offer, *given)

        return asked

    return GoalContext(
        feature_dim=parts.feature_dim,
        encode=lambda frames: ready().features(encoder, ready().stacked(frames)),
        moments=offered(encoder, "moments", lambda moments, frames: moments(stacks(frames))),
        reconstruct=offered(auxiliary, "reconstruct", lambda reconstruct, z: reconstruct(z)[:, -1]),
        log_density=offered(auxiliary, "log_density", lambda density, frames, normal: density(encoder, stacks(frames), normal)),
        own_batch=parts.auxiliary is not None and parts.auxiliary.batch_size is not None,
    )


LEAST = {"horizon": 1, "period": 1, "pretraining_updates": 0, "batch_size": 2}
"""The numbers of an auxiliary loss that an option may set, and the least that each may be."""


def _number(spec: AuxiliaryLossSpec, component: Component, field: str, least: int) -> Any:
    """A number that the spec states, or the value of the option that it names."""
    option: int | str | None = getattr(spec, field)
    if not isinstance(option, str):
        return option
    what, words = f"auxiliary loss {spec.name!r}", field.replace("_", " ")
    parameter = inspect.signature(spec.build).parameters.get(option)
    if parameter is None:
        raise PluginError(f"{what}: its {words} names the option {option!r}, which build does not take")
    value = component.options.get(option, parameter.default)
    if value is None and field == "batch_size":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PluginError(f"{what}: {option} = {value!r} is its {words}: a whole number, {least} or more")
    return value


def _draw_sizes(method: Method, settings: LearnerSettings, task: Task, parts: _Pixels | None) -> DrawSizes:
    sizes = DrawSizes(settings.batch_size, task.action_dim, method.views, method.target_views)
    if parts is None:
        return sizes
    values: dict[str, Any] = {"augmentation": parts.augmentation_draws}
    if parts.auxiliary is not None:
        spec = parts.auxiliary.spec
        values |= {
            "auxiliary_batch": parts.auxiliary.batch_size or settings.batch_size,
            "auxiliary_views": spec.views,
            "auxiliary_uniform": spec.uniform_draws,
            "auxiliary_normal": parts.feature_dim if spec.normal_draws == "feature" else spec.normal_draws,
        }
    return replace(sizes, **values)
