"""What a run asks for and what it leaves behind: the request, the metrics lines and the record.

A record has four blocks: ``request`` (all that decides the outcome), ``result`` (the outcome, bit-identical on CPU however
often the run was interrupted, with a digest), ``provenance`` (code, packages, machine) and ``cost``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, JsonValue, field_validator, model_validator

from fetchbench.protocol import (
    LEARNER_VERSION,
    PROTOCOL_VERSION,
    Budget,
    Evaluation,
    LearnerSettings,
    Scene,
    Settings,
    StopRule,
    Track,
)
from fetchbench.specs import PixelSpec

Status: TypeAlias = Literal["done", "diverged", "failed", "censored"]
"""``done``: ran its budget. ``diverged``: no longer finite, scores 0. ``failed``: broke its own declaration, not scored.
``censored``: stopped early by the suite's rule."""

Reward: TypeAlias = Literal["task", "latent"]
"""``task``: the task's own rule. ``latent``: a learned distance."""


class Component(Settings):
    """One plugin component of a method, with the options that its ``build`` gets.

    ``provider``, ``version``, ``source_sha256`` and ``licence`` (of the weights or code where it is not the provider's own) are
    empty until :func:`fetchbench.registry.Registry.resolve` fills them.
    """

    name: str
    options: dict[str, JsonValue] = Field(default_factory=dict)
    wraps: Component | None = None
    provider: str = ""
    version: str = ""
    source_sha256: str = ""
    licence: str = ""

    @field_validator("options")
    @classmethod
    def _finite(cls, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name, value in options.items():
            if not _is_finite(value):
                raise ValueError(f"option {name!r} holds a number that is not finite")
        return options

    @field_validator("wraps")
    @classmethod
    def _shallow(cls, wraps: Component | None) -> Component | None:
        depth, inner = 1, wraps
        while inner is not None:
            depth, inner = depth + 1, inner.wraps
        if depth > MOST_NESTED:
            raise ValueError(f"{depth} components in one another: {MOST_NESTED} are the most")
        return wraps

    @property
    def label(self) -> str:
        """``spatial-softmax(temperature=1.0)``, ``coordconv(manipulation)``: what the board shows."""
        inner = [self.wraps.label] if self.wraps else []
        inner += [f"{key}={value}" for key, value in self.options.items()]
        return self.name + (f"({', '.join(inner)})" if inner else "")

    def declaration(self) -> dict[str, Any]:
        """Name and options without what resolving added."""
        return self.model_dump(mode="json", exclude={"provider", "version", "source_sha256", "licence"}) | (
            {"wraps": self.wraps.declaration()} if self.wraps else {}
        )


def _is_finite(value: JsonValue) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


MOST_NESTED = 8
"""Components in one another."""

LONGEST_NAME = 120
"""Characters of a method's name, which is a folder's too."""

COMPONENT_FIELDS = {
    "encoder": "encoder",
    "augmentation": "augmentation",
    "auxiliary_loss": "auxiliary-loss",
    "routing": "gradient-routing",
    "goal_space": "goal-space",
}
"""The fields of a method that name a component -> the plugin kind."""


class Method(Settings):
    """One row of a suite: what varies. The tracks ``state`` and ``blind`` have neither pixels nor an encoder.

    Args:
        views: K: augmented views of the observation over which the critic loss is averaged.
        target_views: M: augmented views of the next observation over which the target is averaged.
        auxiliary_weight: Times the auxiliary loss, before the routing's own weight.
        trunk: Width of the heads' own Linear-LayerNorm-tanh after ``z``; 0 is none, ``None`` the encoder's default.
    """

    name: str = Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$", max_length=LONGEST_NAME)
    track: Track
    pixels: PixelSpec | None = None
    encoder: Component | None = None
    augmentation: Component | None = None
    views: int = Field(default=1, ge=1, le=8)
    target_views: int = Field(default=1, ge=1, le=8)
    auxiliary_loss: Component | None = None
    auxiliary_weight: float = Field(default=1.0, ge=0)
    routing: Component | None = None
    goal_space: Component = Component(name="vector")
    trunk: int | None = Field(default=None, ge=0, le=4096)

    def components(self) -> Iterator[tuple[str, Component]]:
        """``(plugin kind, component)`` of every plugin component; a wrapped encoder follows the one that wraps it."""
        for field, kind in COMPONENT_FIELDS.items():
            component: Component | None = getattr(self, field)
            while component is not None:
                yield kind, component
                component = component.wraps


class Execution(Settings):
    """How the arithmetic is done. Fixed in the request: resuming keeps it. No part of a run's key.

    Args:
        device: Where networks train.
        threads: Of the trainer's arithmetic.
        precision: Of the encoders' passes when learning; ``bfloat16`` is autocast. All else, and acting, is float32; on a
            GPU, beside bfloat16, its products are TensorFloat-32.
        compile: ``none``; ``inductor`` runs the encoders through ``torch.compile``; ``capture`` captures the whole update as
            one CUDA graph; ``cuda-graph`` does both.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(default=1, ge=1, le=256)
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: Literal["none", "inductor", "capture", "cuda-graph"] = "none"

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.captures and self.device != "cuda":
            raise ValueError(f"compile = {self.compile!r} needs device = 'cuda', not {self.device!r}")
        return self

    @property
    def captures(self) -> bool:
        """Whether whole updates are captured as CUDA graphs."""
        return self.compile in ("capture", "cuda-graph")

    @property
    def compiles(self) -> bool:
        """Whether encoders go through ``torch.compile``."""
        return self.compile in ("inductor", "cuda-graph")

    @property
    def on_cpu(self) -> Execution:
        """Plain arithmetic on the CPU: to build a method for a look at it, or for its policy alone."""
        return Execution(threads=self.threads)


class RunRequest(Settings):
    """Everything that decides a run's outcome. ``key`` is its identity: equal keys are the same run.

    Args:
        reward: What rewards the method in training, as its goal space says. No part of the key, which holds the goal space
            itself.
        stop: When it is stopped early; ``None`` never does. It is part of the protocol, and so of the key, where it is set.
    """

    format: Literal[1] = 1
    protocol_version: int = PROTOCOL_VERSION
    learner_version: int = LEARNER_VERSION
    suite: str
    task: str
    seed: int = Field(ge=0)
    scene: Scene
    pixel_track: Track
    learner: LearnerSettings
    budget: Budget
    evaluation: Evaluation
    stop: StopRule | None = None
    method: Method
    reward: Reward = "task"
    execution: Execution = Execution()
    mujoco: str = ""
    key: str = ""

    @property
    def image_goals(self) -> bool:
        """Whether every goal must be one that an image can show: so it is for all rows of a suite on such a track."""
        return self.pixel_track == "image-goal"

    def protocol(self) -> dict[str, Any]:
        """What every row of one table shares, and what decides its outcome: how often it is saved does not."""
        shared = {"scene", "pixel_track", "learner", "budget", "evaluation"}
        dump = self.model_dump(mode="json", include=shared, exclude={"budget": {"checkpoint_every_steps"}})
        # Runs from before there was such a rule keep their keys.
        return dump if self.stop is None else dump | {"stop": self.stop.model_dump(mode="json")}


Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Amount: TypeAlias = Annotated[float, Field(ge=0)]


class EvaluationPoint(Settings):
    """One evaluation of the deterministic policy.

    Attributes:
        steps: Environment steps so far.
        updates: Updates so far.
        success: Share of the counted episodes (unsolved at reset) that are solved at the last step.
        success_any: Share of them that are solved at any step.
        success_last_ten: Share of their last ten steps that are solved.
        success_raw: Share of all episodes drawn, solved at reset or not, that are solved at the last step.
        episodes: Counted episodes.
        drawn: All episodes.
        return_mean: Mean undiscounted return of the counted episodes, in [-50, 0].
        distance_m: Mean distance between achieved and desired goal at the last step of the counted episodes, metres.
    """

    steps: Count
    updates: Count
    success: Share
    success_any: Share
    success_last_ten: Share
    success_raw: Share
    episodes: Count
    drawn: Count
    return_mean: float
    distance_m: float


class AuditEntry(Settings):
    """What one real batch showed of the routing.

    Attributes:
        updates: Updates before it.
        gradient_norm: ``"critic -> critic encoder"`` etc.: the norm of the gradient that each loss sends into each
            encoder, weighted as declared; ``None`` where the routing has no such path in the graph.
        moved: Optimiser -> groups of parameters that its step changed, sorted.
    """

    updates: Count
    gradient_norm: dict[str, float | None]
    moved: dict[str, list[str]]


class Probe(Settings):
    """What an encoder's features held at one point of a run, over scenes with random gripper and object poses.

    Attributes:
        steps: Environment steps so far.
        updates: Updates so far.
        encoder: ``"encoder"``, or ``"critic encoder"`` and ``"actor encoder"``.
        scenes: Number of scenes.
        r2: ``"gripper_xyz"``, ``"object_xy"``: share of the position's variance that a ridge regression on the features (on
            2,048 of them, evenly spaced, where there are more) explains, cross-validated; below 0 where it is worse than the
            mean.
        error_cm: Mean distance between predicted and true position, cm.
        mean_error_cm: The same of always predicting the mean.
        effective_rank: Of the same features, centred, on the first 1,000 scenes (Roy and Vetterli 2007).
        dead_units: Features whose mean deviation is at most 0.025 of the mean feature's (Sokar et al. 2023).
        drift: Change of the features since the point before, relative to their size; ``None`` at the first.
    """

    steps: Count
    updates: Count
    encoder: str
    scenes: Count
    r2: dict[str, float]
    error_cm: dict[str, float]
    mean_error_cm: dict[str, float]
    effective_rank: float
    dead_units: Count
    drift: float | None = None


class Signal(Settings):
    """What the updates between two evaluations said: means over the last update of each round of episodes.

    Attributes:
        steps: Environment steps at the evaluation that closes the interval.
        updates: Updates so far.
        critic_loss: As the learner's settings define it: of other settings it has another scale.
        actor_loss: Entropy coefficient times log-probability, less Q.
        q: Of the critics, over relabelled batches.
        entropy: Of the policy, nats.
    """

    steps: Count
    updates: Count
    critic_loss: float
    actor_loss: float
    q: float
    entropy: float


class GoalDistance(Settings):
    """How well the method's distance between an image and a goal image follows the true one, over scenes with random poses.

    Attributes:
        pairs: Number of pairs.
        rank_correlation: Spearman's, between the features' distance and the distance of the achieved goals, in [-1, 1].
        gripper_rank_correlation: The same with the gripper's distance.
        metric: ``"euclidean"``, ...: what the goal space measures by.
    """

    pairs: Count
    rank_correlation: float
    gripper_rank_correlation: float
    metric: str


LATER_FIELDS = ("probes", "goal_distance", "signals")
"""Fields of a result that records did not always have: no part of its digest where they are empty."""


class Result(Settings):
    """The outcome.

    Attributes:
        score: Mean success of the last evaluations; 0 if diverged, ``None`` if failed or never evaluated.
        reason: Why the run is not ``done``; empty otherwise.
        parameters: Group -> number of parameters (``encoder``, ``actor``, ``critic``, ...), trainable or not: one copy of
            the encoder, and none of the averaged copies.
        feature_dim: Width of ``z``; ``None`` without an encoder.
        probes: What the encoders' features held, by rising step; none without an encoder.
        goal_distance: What the goal space's own distance is worth; ``None`` where that was not measured.
        signals: Losses at the evaluations, by rising step; none before the first update, nor in older records.
        sha256: Digest of every other field.
    """

    status: Status
    reason: str = ""
    steps: Count
    updates: Count
    episodes: Count
    score: Share | None
    evaluations: list[EvaluationPoint]
    audit: list[AuditEntry]
    parameters: dict[str, Count]
    feature_dim: Count | None = None
    probes: list[Probe] = Field(default_factory=list)
    goal_distance: GoalDistance | None = None
    signals: list[Signal] = Field(default_factory=list)
    sha256: str = ""

    def digest(self) -> str:
        # Records from before there were these fields keep the digest that they were sealed with.
        empty = {field for field in LATER_FIELDS if not getattr(self, field)}
        return sha256_of(self.model_dump(mode="json", exclude={"sha256", *empty}))

    def sealed(self) -> Result:
        """A copy that carries its own digest."""
        return self.model_copy(update={"sha256": self.digest()})


class Provenance(Settings):
    """Where the result comes from. None of it decides the outcome on CPU."""

    fetchbench: str
    commit: str | None = None
    dirty: bool | None = None
    python: str
    platform: str
    processor: str
    cores: Count
    gpu: str | None = None
    renderer: dict[str, str] = Field(default_factory=dict)
    weights: dict[str, str] = Field(default_factory=dict, description="network -> sha256 of the file its weights came from")
    licences: dict[str, str] = Field(default_factory=dict, description="network -> licence of the published weights it loaded")
    packages: dict[str, str]
    suite_sha256: str = ""
    finished: str = Field(description="ISO 8601, UTC")


class Cost(Settings):
    """What the run took, its environment workers included, over all attempts.

    What an attempt did after its last checkpoint is not counted where it was killed.
    """

    wall_s: Amount
    core_s: Amount
    steps_per_s: Amount
    updates_per_s: Amount
    peak_memory_mb: Amount
    peak_gpu_memory_mb: Amount | None = None
    replay_mb: Amount
    frames_on: Literal["", "cpu", "cuda"] = Field("", description="where the replay kept its frames; empty without any")
    frames_as: Literal["", "pixels", "embeddings"] = Field("", description="what it kept of each; empty without frames")
    probe_s: Amount = Field(0.0, description="of the duration, what the probes took")
    attempts: Count


class Record(Settings):
    """One finished run."""

    format: Literal[1] = 1
    request: RunRequest
    result: Result
    provenance: Provenance
    cost: Cost


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_of(value: Any) -> str:
    """Digest of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
