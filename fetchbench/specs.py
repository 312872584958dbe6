"""What plugins say about themselves, and the pixels they see. Data only: this module never imports torch.

Every spec is a frozen dataclass that a hook yields (see :mod:`fetchbench.registry`). The objects that the specs'
``build`` functions return are described by the protocols at the end of each section.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{kind} name {name!r}: use lower-case letters, digits and single hyphens, as in 'four-conv'")


def _check_texts(kind: str, spec: Any) -> None:
    """Tables, pages and records show them: what is no text would fail there, far from the plugin."""
    for one in fields(spec):
        value = getattr(spec, one.name)
        if one.type == "str" and not isinstance(value, str):
            raise TypeError(f"{kind} {spec.name!r}: {one.name} = {value!r}: must be text")


def _check_build(kind: str, name: str, build: object) -> None:
    if not callable(build):
        raise TypeError(f"{kind} {name!r}: build must be callable, got {type(build).__name__}")


# ---------------------------------------------------------------------------------------------------------------------
# Pixels
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FrameShape:
    """The shape of one observation's frames: ``(frames, channels, height, width)``, without the batch axis."""

    frames: int
    height: int
    width: int
    channels: int = 3

    def __iter__(self) -> Iterator[int]:
        return iter((self.frames, self.channels, self.height, self.width))


@dataclass(frozen=True)
class PixelSpec:
    """How a method's frames are made. Part of the method; the scene (camera, marker, lighting) is the suite's.

    Args:
        size: Height and width of the frames that the encoder sees, in pixels.
        stack: Frames per observation, the newest last; before the first step the first frame is repeated.
        render_size: Render at this size and resize by area averaging; ``None`` renders natively at ``size``.
        offsamples: Samples per pixel of OpenGL's multisampling; 0 is off, and up to twice as fast in software.
    """

    size: int = 84
    stack: int = 1
    render_size: int | None = None
    offsamples: int = 0

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    def __post_init__(self) -> None:
        for name, low, high in (("size", 16, 512), ("stack", 1, 16), ("offsamples", 0, 16)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} = {value}: must be {low} to {high}")
        if self.render_size is not None and not self.size <= self.render_size <= 1024:
            raise ValueError(f"render_size = {self.render_size}: must be {self.size} (size) to 1024")

    @property
    def shape(self) -> FrameShape:
        return FrameShape(self.stack, self.size, self.size)

    def sized(self, size: int) -> PixelSpec:
        """The same at another size; what is resized is still rendered no smaller than it is seen."""
        larger = None if self.render_size is None else max(size, self.render_size)
        return replace(self, size=size, render_size=larger)


PIXEL_PRESETS: Mapping[str, PixelSpec] = {
    "reach-cpu": PixelSpec(size=64, stack=1),
    "push": PixelSpec(size=84, stack=4),
    "seed": PixelSpec(size=84, stack=4, render_size=480, offsamples=4),
}
"""Named :class:`PixelSpec` values that a suite's ``pixels = { preset = ... }`` starts from."""


# ---------------------------------------------------------------------------------------------------------------------
# Encoders
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WeightsSpec:
    """A published checkpoint: where to get it, how to know it, and what its licence allows.

    Args:
        file: The file name under which it is looked for in the cache folder.
        url: Where its authors publish it. Nothing is downloaded without being asked for.
        licence: SPDX identifier, shown on the board.
        sha256: Its digest, where it is known; a file that differs is refused.
        hub: ``"owner/repository/file"`` on the Hugging Face hub, where it is there too; empty otherwise.
    """

    file: str
    url: str
    licence: str
    sha256: str | None = None
    hub: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.file, str) or not self.file or "/" in self.file or self.file in (".", ".."):
            raise ValueError(f"weights file {self.file!r}: must be the name of a file, without a folder")


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder: everything from frames to the feature vector ``z``, projection included.

    ``build(shape, **options)`` returns an ``nn.Module`` whose ``forward`` takes ``uint8 (B, F, 3, H, W)`` and returns
    ``float32 (B, dim)``; ``dim`` is found by running it once. Scaling of the pixels belongs to the module. It may also
    offer ``moments(frames) -> (mean, log_variance)``, each ``(B, dim)``, and ``feature_map(frames) -> (B, C, H', W')``,
    which auxiliary losses may require, and ``points(frames) -> (B, C, 2)``, the x and y in [-1, 1] at which each channel
    looks (right and down positive), which pictures show.

    Args:
        name: What a suite calls it.
        build: Called with a :class:`FrameShape` and the method's options as keyword arguments. With ``wraps``, called
            with the wrapped encoder's module as the second positional argument.
        summary: One line for tables.
        source: Paper or repository.
        input: ``"stack"`` sees all F frames at once; ``"frame"`` sees ``(N, 1, 3, H, W)`` and the harness joins the F
            embeddings in order of time.
        frame_size: The frame size it needs; ``None`` takes the suite's.
        preprocessing: What the module does to a frame before its first layer, in words.
        licence: Licence of the code or weights where it is not fetchbench's own.
        weights: The checkpoint that it loads, if any. Such an encoder takes an option ``weights``: ``"published"`` (that file,
            which must be on the machine), ``"hub"`` (fetched there if it is not), ``"random"`` (none: the control), or a
            file's path; :func:`fetchbench.load_weights` does all of it.
        reference: The authors' own implementation, where there is one to install: the module that ``build`` returned and
            frames ``(B, F, 3, H, W)`` -> the features that the authors' code gives for its weights. Raises ``ImportError``
            where it is not installed. ``fetchbench check`` compares the two.
        wraps: Whether it wraps another encoder: a suite then writes ``"outer(inner)"``.
        trunk: Default width of the heads' own Linear-LayerNorm-tanh after ``z``; ``None`` is none. Frozen encoders
            always have one.
        control: Why it is known to be faulty, where it serves as a control; empty otherwise.
    """

    name: str
    build: Callable[..., nn.Module]
    summary: str = ""
    source: str = ""
    input: Literal["stack", "frame"] = "stack"
    frame_size: int | None = None
    preprocessing: str = ""
    licence: str = ""
    weights: WeightsSpec | None = None
    reference: Callable[[nn.Module, Tensor], Tensor] | None = None
    wraps: bool = False
    trunk: int | None = None
    control: str = ""

    def __post_init__(self) -> None:
        _check_name("encoder", self.name)
        _check_build("encoder", self.name, self.build)
        _check_texts("encoder", self)
        if self.input not in ("stack", "frame"):
            raise ValueError(f"encoder {self.name!r}: input = {self.input!r}: must be 'stack' or 'frame'")
        if self.weights is not None and not isinstance(self.weights, WeightsSpec):
            raise TypeError(f"encoder {self.name!r}: weights = {self.weights!r}: must be a WeightsSpec or None")
        if self.frame_size is not None and not 16 <= self.frame_size <= 512:
            raise ValueError(f"encoder {self.name!r}: frame_size = {self.frame_size}: must be 16 to 512")


# ---------------------------------------------------------------------------------------------------------------------
# Augmentations
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AugmentationSpec:
    """A random change of frames that leaves their meaning alone.

    ``build(shape, **options)`` gets the :class:`FrameShape` that the encoder sees and returns an :class:`Augmentation`.
    Observation and next observation always draw apart. DrQ's K and M views are the learner's business, and so are chains: a
    suite writes ``"outer(inner)"``, and ``inner`` is applied first.

    Args:
        name: What a suite calls it.
        build: Called with the shape and the method's options.
        draws: Uniform numbers in [0, 1) needed per stack.
        input_size: Maps the encoder's frame size to the size to render (crops render larger, translations smaller);
            ``None`` is the same size.
        summary: One line for tables.
        source: Paper or repository.
    """

    name: str
    build: Callable[..., Augmentation]
    draws: int
    input_size: Callable[[int], int] | None = None
    summary: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        _check_name("augmentation", self.name)
        _check_build("augmentation", self.name, self.build)
        _check_texts("augmentation", self)
        if not isinstance(self.draws, int) or self.draws < 0:
            raise ValueError(f"augmentation {self.name!r}: draws = {self.draws!r}: must be an integer, 0 or more")


class Augmentation(Protocol):
    """What :class:`AugmentationSpec` builds. Keeps no state and draws nothing itself."""

    def __call__(self, frames: Tensor, draws: Tensor) -> Tensor:
        """Training: ``uint8 (B, F, 3, H_in, W_in)`` and ``float32 (B, draws)`` in [0, 1) -> ``uint8 (B, F, 3, H, W)``."""
        ...

    def evaluate(self, frames: Tensor) -> Tensor:
        """Acting and evaluation: the same shapes, nothing random (the identity, or a centre crop)."""
        ...


# ---------------------------------------------------------------------------------------------------------------------
# Auxiliary losses
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AuxiliaryLossSpec:
    """A loss besides the critic's and the actor's that shapes the representation.

    ``build(context, **options)`` gets an :class:`AuxiliaryContext` and returns an ``nn.Module`` whose ``forward`` takes
    :class:`AuxiliaryInputs` and returns ``(scalar loss, {name: scalar})``. It may also offer
    ``reconstruct(z) -> uint8 (B, F, 3, H, W)``, which pictures show, and
    ``log_density(encoder, frames, normal) -> float32 (B,)``, how likely observations ``uint8 (B, F, 3, H, W)`` are, in nats,
    estimated with normal numbers ``(B, S, dim)``: goal spaces may require either.

    Args:
        name: What a suite calls it.
        build: Called with the context and the method's options.
        horizon: Steps K that follow the first observation in its batches. This, ``period``, ``pretraining_updates`` and
            ``batch_size`` may also be the name of the option that says so.
        views: Augmented views of the whole sequence that it is given (the identity where the method has no augmentation).
        momentum: Averaging rate per update of its own momentum encoder; ``None`` has none.
        period: It is computed every so many updates.
        pretraining_updates: Updates of this loss alone before the learner's first, on what the warm-up saw.
        batch_size: Its own batch size; ``None`` shares the learner's batch.
        learning_rate: Of its own parameters; ``None`` takes the learner's.
        uniform_draws: Uniform numbers in [0, 1) per batch element.
        normal_draws: Standard normal numbers per batch element, or ``"feature"`` for one per feature.
        requires: What the encoder must offer: any of ``"moments"``, ``"feature_map"``.
        summary: One line for tables.
        source: Paper or repository, with what was changed.
    """

    name: str
    build: Callable[..., nn.Module]
    horizon: int | str = 1
    views: int = 0
    momentum: float | None = None
    period: int | str = 1
    pretraining_updates: int | str = 0
    batch_size: int | str | None = None
    learning_rate: float | None = None
    uniform_draws: int = 0
    normal_draws: int | Literal["feature"] = 0
    requires: tuple[Literal["moments", "feature_map"], ...] = ()
    summary: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        _check_name("auxiliary loss", self.name)
        _check_build("auxiliary loss", self.name, self.build)
        _check_texts("auxiliary loss", self)
        for what, value, low in (
            ("period", self.period, 1),
            ("horizon", self.horizon, 1),
            ("batch_size", self.batch_size, 2),
            ("views", self.views, 0),
            ("pretraining_updates", self.pretraining_updates, 0),
            ("uniform_draws", self.uniform_draws, 0),
            ("normal_draws", self.normal_draws, 0),
        ):
            if isinstance(value, int) and value < low:
                raise ValueError(f"auxiliary loss {self.name!r}: {what} = {value}: must be {low} or more")
        if self.momentum is not None and not 0 < self.momentum <= 1:
            raise ValueError(f"auxiliary loss {self.name!r}: momentum = {self.momentum}: must be above 0, at most 1")


@dataclass(frozen=True)
class AuxiliaryContext:
    """What an auxiliary loss may know when it is built: sizes, nothing else."""

    shape: FrameShape
    feature_dim: int
    action_dim: int


@dataclass(frozen=True)
class AuxiliaryInputs:
    """One batch for an auxiliary loss.

    Attributes:
        frames: ``uint8 (B, F+K, 3, H, W)``; the observation at step k is ``frames[:, k : k + F]``.
        views: Augmented versions of ``frames``, as many as the spec asks for.
        actions: ``float32 (B, K, A)`` in [-1, 1].
        mask: ``bool (B, K)``; whether step k+1 still belongs to the episode.
        uniform: ``float32 (B, uniform_draws)`` in [0, 1).
        normal: ``float32 (B, normal_draws)``, standard normal.
        encode: Frames ``(N, F, 3, H, W)`` -> ``z`` ``(N, dim)``, with the gradient that the routing allows.
        encode_momentum: The same by the loss's own momentum encoder, without gradient.
        encoder: The encoder's module, for ``moments`` and ``feature_map``.
    """

    frames: Tensor
    views: tuple[Tensor, ...]
    actions: Tensor
    mask: Tensor
    uniform: Tensor
    normal: Tensor
    encode: Callable[[Tensor], Tensor]
    encode_momentum: Callable[[Tensor], Tensor]
    encoder: nn.Module


# ---------------------------------------------------------------------------------------------------------------------
# Gradient routings
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule:
    """A weight that changes at named updates: ``Schedule((("critic", 0, 1.0), ("joint", 20_000, 0.5)))``.

    Args:
        stages: ``(name, first update, weight)``, by rising first update, the first at 0.
    """

    stages: tuple[tuple[str, int, float], ...]

    def __post_init__(self) -> None:
        starts = [start for _, start, _ in self.stages]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError(f"schedule stages start at updates {starts}: the first must be 0 and each later than the last")

    def at(self, update: int) -> float:
        """The weight at an update, counted from 0."""
        return next(weight for _, start, weight in reversed(self.stages) if start <= update)


Weight: TypeAlias = "float | Schedule"


@dataclass(frozen=True)
class GradientRoutingSpec:
    """How much of each loss reaches the encoder. Data, not code.

    Args:
        name: What a suite calls it.
        critic: Weight of the critic loss's gradient into the encoder (with two encoders: the critic's).
        actor: Weight of the actor loss's gradient into the encoder (with two encoders: the actor's).
        auxiliary: Weight of the auxiliary loss's gradient into the encoder (with two encoders: the critic's).
        encoders: 1, or 2 for one copy each for critic and actor.
        summary: One line for tables.
        source: Who routes so.
    """

    name: str
    critic: Weight
    actor: Weight
    auxiliary: Weight
    encoders: Literal[1, 2] = 1
    summary: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        _check_name("gradient routing", self.name)
        _check_texts("gradient routing", self)
        if self.encoders not in (1, 2):
            raise ValueError(f"gradient routing {self.name!r}: encoders = {self.encoders!r}: must be 1 or 2")
        for loss in ("critic", "actor", "auxiliary"):
            for weight in self.values(loss):
                if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
                    raise ValueError(f"gradient routing {self.name!r}: {loss} = {weight!r}: must be a number, 0 or more")

    def values(self, loss: str) -> tuple[float, ...]:
        """Every weight that a loss (``"critic"``, ``"actor"``, ``"auxiliary"``) ever has."""
        weight: Weight = getattr(self, loss)
        return tuple(w for _, _, w in weight.stages) if isinstance(weight, Schedule) else (weight,)

    def at(self, loss: str, update: int) -> float:
        """The weight of a loss at an update, counted from 0."""
        weight: Weight = getattr(self, loss)
        return weight.at(update) if isinstance(weight, Schedule) else float(weight)

    @property
    def trains_encoder(self) -> bool:
        """Whether any loss ever reaches an encoder."""
        return any(w > 0 for loss in ("critic", "actor", "auxiliary") for w in self.values(loss))

    @property
    def needs_auxiliary_loss(self) -> bool:
        """Whether an auxiliary loss alone trains the encoder."""
        return any(self.values("auxiliary")) and not any(self.values("critic") + self.values("actor"))


# ---------------------------------------------------------------------------------------------------------------------
# Goal spaces
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GoalSpaceSpec:
    """What a goal is, what the networks see of it, and what reward an outcome earns.

    Args:
        name: What a suite calls it.
        build: Called with the task (:class:`fetchbench.environment.tasks.Task`) and the method's options; returns a
            :class:`GoalSpace`.
        tracks: Observation tracks that it serves.
        reward: ``"task"`` where the task's own rule rewards, ``"latent"`` where a learned distance does; a column of the board.
            A run with latent rewards keeps no achieved goal: who reads one in its replay finds NaN.
        shares: Share of each source among relabelled goals (``"hindsight"``, ``"prior"``, ``"rollout"``); sums to 1. Where
            ``build`` takes options of these names, they are its defaults.
        draws: Uniform numbers in [0, 1) that it needs per goal, beside those of every goal space, or ``"feature"`` for one per
            feature of the encoder.
        summary: One line for tables.
        source: Paper or repository.
    """

    name: str
    build: Callable[..., GoalSpace]
    tracks: tuple[str, ...]
    reward: Literal["task", "latent"] = "task"
    shares: Mapping[str, float] = field(default_factory=lambda: {"hindsight": 1.0})
    draws: int | Literal["feature"] = 0
    summary: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        _check_name("goal space", self.name)
        _check_build("goal space", self.name, self.build)
        _check_texts("goal space", self)
        if abs(sum(self.shares.values()) - 1) > 1e-9:
            raise ValueError(f"goal space {self.name!r}: shares {dict(self.shares)} must sum to 1")
        if self.draws != "feature" and (isinstance(self.draws, bool) or not isinstance(self.draws, int) or self.draws < 0):
            raise ValueError(f"goal space {self.name!r}: draws = {self.draws!r}: must be an integer, 0 or more, or 'feature'")


@dataclass(frozen=True)
class GoalIndices:
    """Where a batch's goals come from: indices into the replay, so that a learned space can embed them when sampled.

    Attributes:
        episode: ``int64 (B,)``, the transition's episode slot.
        step: ``int64 (B,)``, the transition's step t in its episode; its outcome is state t+1.
        relabelled: ``bool (B,)``; where false the episode's own goal stands.
        goal_step: ``int64 (B,)``, 1..T: the state of the same episode whose achieved goal replaces it.
        source: ``float32 (B,)`` in [0, 1): picks the relabelling source by the spec's shares.
        draws: ``float32 (B, n)`` in [0, 1), as many as the spec asks for.
    """

    episode: Tensor
    step: Tensor
    relabelled: Tensor
    goal_step: Tensor
    source: Tensor
    draws: Tensor


@dataclass(frozen=True)
class Pursued:
    """Goals that episodes pursue.

    Attributes:
        goals: ``float32 (N, G)``, in the goal space.
        frames: Images of them, ``uint8 (N, 3, H, W)``, or their embeddings where the replay keeps those; ``None`` on tracks
            without goal images.
    """

    goals: Tensor
    frames: Tensor | None = None


@dataclass(frozen=True)
class GoalContext:
    """What a goal space may use of a method's networks. They change as they learn: it keeps no embedding of theirs.

    To be asked once the method is built, not within ``bind`` itself.

    Attributes:
        feature_dim: Width of ``z``.
        encode: Single frames as the replay keeps them, ``(N, 3, H, W)`` -> ``z`` ``(N, dim)`` of the stack that repeats each,
            as when acting, without gradient.
        moments: The same -> mean and log-variance, each ``(N, dim)``; ``None`` where the encoder does not offer it.
        reconstruct: ``z`` ``(N, dim)`` -> single frames ``uint8 (N, 3, H, W)``, the auxiliary loss's; ``None`` likewise.
        log_density: Single frames and normal numbers ``(N, S, dim)`` -> nats ``(N,)``, the auxiliary loss's; ``None`` likewise.
        own_batch: Whether the auxiliary loss draws a batch of its own.
    """

    feature_dim: int
    encode: Callable[[Tensor], Tensor]
    moments: Callable[[Tensor], tuple[Tensor, Tensor]] | None
    reconstruct: Callable[[Tensor], Tensor] | None
    log_density: Callable[[Tensor, Tensor], Tensor] | None
    own_batch: bool


class GoalSpace(Protocol):
    """What :class:`GoalSpaceSpec` builds. ``G`` is the width of a goal in this space, ``E`` of what the networks see.

    ``replay`` is a :class:`fetchbench.replay.Replay`; the arrays ``achieved (episodes, T+1, 3)``, ``desired (episodes, 3)``
    and, on the track ``image-goal``, ``goal_frames (episodes, 3, H, W)`` and ``frames_at(episode, state)`` are read from it
    by index.

    It may also offer:

    - ``bind(context)``, called once, before all else, with a :class:`GoalContext`, on tracks with frames. Raises ``ValueError``
      where the method lacks what it needs.
    - ``goal_frames(replay, indices) -> uint8 (B, 3, H, W)``: images of a batch's goals (of embeddings, where the replay keeps
      those), on the track ``image-goal``. The encoder sees them as it sees observations, each repeated to fill a stack, under
      the same routing, and the heads see its features of both.
    - ``distance(z, goals) -> float32 (N,)``: how far apart it holds images to be, by the features ``(N, dim)`` of each, and
      ``metric``, a word for it. A run's record says how well that follows the true distance.
    - ``refresh(replay, generator)``, called after every round of episodes once the learner has begun to learn.
    - ``training_states(replay, draws) -> (episode, step)``: which observations, ``int64 (B',)`` each with steps 0..T-1, the
      auxiliary loss learns from, for uniform numbers ``float64 (B',)``; it needs a loss with a batch of its own.
    - ``state_dict()`` and ``load_state_dict(state)``, of tensors and plain values, where a run could not be continued without.
    """

    embedding_dim: int

    def relabel(self, replay: Any, indices: GoalIndices) -> Tensor:
        """The goals of a batch after relabelling: ``float32 (B, G)``."""
        ...

    def embed(self, goals: Tensor) -> Tensor:
        """What the networks see of goals ``(B, G)``: ``float32 (B, E)``, centred and scaled."""
        ...

    def reward(self, replay: Any, indices: GoalIndices, goals: Tensor) -> Tensor:
        """The reward of each transition's outcome for its goal: ``float32 (B,)``."""
        ...

    def from_task(self, desired: Tensor, frames: Tensor | None) -> Tensor:
        """The task's own goals in this space: ``(N, 3)`` in metres and, on ``image-goal``, their images -> ``(N, G)``.

        Where rewards are latent the positions are NaN, here and in :meth:`sample_exploration`.
        """
        ...

    def sample_exploration(self, replay: Any, task: Pursued, draws: Tensor) -> Pursued:
        """The goals to pursue in new training episodes.

        Args:
            replay: What was seen so far; it may be empty.
            task: What the task asks: ``goals`` in metres, ``(N, 3)``.
            draws: ``float32 (N, n)``, uniform in [0, 1), as many as the spec asks for, and one at least.
        """
        ...


PluginSpec: TypeAlias = EncoderSpec | AugmentationSpec | AuxiliaryLossSpec | GradientRoutingSpec | GoalSpaceSpec

KINDS: Mapping[str, type[PluginSpec]] = {
    "encoder": EncoderSpec,
    "augmentation": AugmentationSpec,
    "auxiliary-loss": AuxiliaryLossSpec,
    "gradient-routing": GradientRoutingSpec,
    "goal-space": GoalSpaceSpec,
}
"""The five plugin kinds, each with the spec that its hook yields."""

HOOKS: Mapping[str, str] = {kind: f"fetchbench_{kind.replace('-', '_')}s" for kind in KINDS if kind != "auxiliary-loss"} | {
    "auxiliary-loss": "fetchbench_auxiliary_losses"
}
"""Kind -> name of the hook that yields its specs."""

__all__: Sequence[str] = [
    "HOOKS",
    "KINDS",
    "PIXEL_PRESETS",
    "Augmentation",
    "AugmentationSpec",
    "AuxiliaryContext",
    "AuxiliaryInputs",
    "AuxiliaryLossSpec",
    "EncoderSpec",
    "FrameShape",
    "GoalContext",
    "GoalIndices",
    "GoalSpace",
    "GoalSpaceSpec",
    "GradientRoutingSpec",
    "PixelSpec",
    "PluginSpec",
    "Pursued",
    "Schedule",
    "Weight",
    "WeightsSpec",
]
