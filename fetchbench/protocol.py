"""What a table of the board holds fixed: scene, learner, budget, evaluation. Data only, validated by pydantic.

A suite file fills these models; a run's request and its record carry them whole. They validate strictly, and from JSON
(``model_validate_json``), where a list may fill a tuple.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

PROTOCOL_VERSION = 1
"""Enters every random stream and every run's key: raised when the meaning of a suite's settings changes."""

LEARNER_VERSION = 1
"""Enters every run's key: raised when the golden traces of the learner change."""

Track: TypeAlias = Literal["state", "blind", "pixels", "pixels-only", "pixels-privileged", "image-goal"]
TRACKS: Mapping[Track, str] = {
    "state": "the full observation and the desired goal: what perfect perception scores",
    "blind": "what the suite's pixel track shows, without the frames: what this learner scores without perception",
    "pixels": "frames, proprioception, desired goal",
    "pixels-only": "frames, desired goal",
    "pixels-privileged": "frames, proprioception, achieved and desired goal: for reproducing earlier work only",
    "image-goal": "frames and a goal image",
}
PIXEL_TRACKS: tuple[Track, ...] = ("pixels", "pixels-only", "pixels-privileged", "image-goal")


LARGEST_COUNT = 2**53
"""Whole numbers beyond it are not exact where they meet fractions."""

LARGEST_NUMBER = 1e100
"""So large that nothing measured comes near, and small enough that sums and squares stay finite."""


class Settings(BaseModel):
    """Base of every settings model: unknown fields are errors, values are frozen, types are not guessed at.

    Every number is finite, since JSON has no other and a request could not be read back, and none is so large that reckoning
    with it fails.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _no_number_is_beyond_reckoning(self) -> Self:
        for field, value in self.__dict__.items():
            if (number := _beyond_reckoning(value)) is not None:
                raise ValueError(f"{field} = {_power_of_ten(number)}: no number here is so large")
        return self


def _beyond_reckoning(value: object) -> int | float | None:
    """The first number in a value that is too large; ``None`` where there is none. Models inside have looked themselves."""
    if isinstance(value, int | float):
        return value if abs(value) > (LARGEST_COUNT if isinstance(value, int) else LARGEST_NUMBER) else None
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return next((number for inner in inside if (number := _beyond_reckoning(inner)) is not None), None)


def _power_of_ten(number: int | float) -> str:
    """Roughly, for a message: whole numbers may have thousands of digits."""
    digits = len(str(abs(number))) if isinstance(number, int) else int(math.log10(abs(number))) + 1
    return f"{'-' if number < 0 else ''}1e{digits - 1}"


class Scene(Settings):
    """Camera, marker and lighting: the same for every method of a suite.

    Args:
        camera: ``fetch-close``, one camera per task that holds every start and goal; ``fetch-default``, gymnasium's own.
        marker: Whether the red goal sphere is drawn. A shown marker contradicts every relabelled goal.
        lighting: ``plain`` draws no shadows; ``stock`` is gymnasium's own.
    """

    camera: Literal["fetch-close", "fetch-default"] = "fetch-close"
    marker: Literal["hidden", "shown"] = "hidden"
    lighting: Literal["plain", "stock"] = "plain"


class LearnerSettings(Settings):
    """HER + SAC, whole. The defaults are the preset ``reach-cpu``.

    Args:
        environments: Environments stepped side by side.
        warmup_steps: Environment steps of uniform random actions before the first update: at least the 50 of one whole
            episode in every environment, since updates read finished episodes alone.
        updates_per_step: Updates per environment step after warm-up.
        learning_rate: Of critics, actor, entropy coefficient and encoders (Adam).
        encoder_learning_rate_multiplier: Times ``learning_rate``, for the encoders alone.
        batch_size: Transitions per update.
        buffer_steps: Transitions that the replay holds; ``None`` holds the whole run.
        discount: Gamma.
        target_rate: Tau: share of the online weights that the target takes over at each update.
        target_features: ``average`` reads the target critics' features from a slowly averaged encoder, ``online`` from
            the online encoder, as DrQ-v2 does.
        entropy: ``learned`` adapts the coefficient to ``target_entropy``; ``fixed`` keeps ``entropy_coefficient``.
        entropy_coefficient: Alpha, or its initial value where it is learned.
        target_entropy: In nats.
        critic_loss: ``sum`` of the two critics' mean squared errors, or ``half-sum``.
        hidden: Widths of the heads' hidden layers (ReLU).
        log_std_bounds: Clamp of the policy's log standard deviation.
        relabel_k: k: a share 1 - 1/(k+1) of every batch is relabelled.
        relabel_strategy: Which later state becomes the goal.
        vectors: ``scaled`` centres and scales every vector input by the task's constants; ``raw`` does not, and learns
            nothing on FetchReach.
    """

    environments: int = Field(1, ge=1, le=64)
    warmup_steps: int = Field(1000, ge=50)
    updates_per_step: float = Field(1.0, gt=0, le=8)
    learning_rate: float = Field(1e-3, gt=0, lt=1)
    encoder_learning_rate_multiplier: float = Field(1.0, gt=0, le=100)
    batch_size: int = Field(128, ge=2, le=65536)
    buffer_steps: int | None = Field(None, ge=50)
    discount: float = Field(0.95, gt=0, lt=1)
    target_rate: float = Field(0.01, gt=0, le=1)
    target_features: Literal["average", "online"] = "average"
    entropy: Literal["learned", "fixed"] = "learned"
    entropy_coefficient: float = Field(0.1, gt=0)
    target_entropy: float = -4.0
    critic_loss: Literal["sum", "half-sum"] = "sum"
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = (256, 256)
    log_std_bounds: tuple[float, float] = (-20.0, 2.0)
    relabel_k: int = Field(4, ge=0)
    relabel_strategy: Literal["future", "final", "episode"] = "future"
    vectors: Literal["scaled", "raw"] = "scaled"

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.warmup_steps < 50 * self.environments:
            raise ValueError(
                f"warmup_steps = {self.warmup_steps}: with {self.environments} environments the first episodes end at step "
                f"{50 * self.environments}, and updates need a finished one"
            )
        low, high = self.log_std_bounds
        if low >= high:
            raise ValueError(f"log_std_bounds = ({low:g}, {high:g}): the first must be below the second")
        return self


LEARNER_PRESETS: Mapping[str, LearnerSettings] = {
    "reach-cpu": LearnerSettings(),
    "push": LearnerSettings(
        environments=4,
        updates_per_step=0.25,
        learning_rate=1e-4,
        batch_size=256,
        buffer_steps=500_000,
        target_rate=0.005,
        entropy="fixed",
        entropy_coefficient=0.05,
        critic_loss="half-sum",
        relabel_k=8,
    ),
    "push-state": LearnerSettings(
        environments=8,
        updates_per_step=0.125,
        learning_rate=3e-4,
        batch_size=256,
        buffer_steps=1_000_000,
        target_rate=0.005,
        entropy="fixed",
        entropy_coefficient=0.05,
        critic_loss="half-sum",
    ),
}
"""Named :class:`LearnerSettings`. ``push`` and ``push-state`` follow robotics_series (github.com/VladPrytula/robotics_series),
but for the vectors: theirs were raw."""


class Budget(Settings):
    """How much a run may spend.

    Args:
        steps: Environment steps, warm-up included, over all environments.
        checkpoint_every_steps: Environment steps between checkpoints (rounded up to the next episode end).
    """

    steps: int = Field(ge=100)
    checkpoint_every_steps: int = Field(1000, ge=50)


class Evaluation(Settings):
    """How a run is scored: deterministic policy, success at the last step of episodes that were unsolved at reset.

    Args:
        every_steps: Environment steps between evaluations (rounded up to the next episode end); one more ends the run.
        episodes: Episodes unsolved at reset per evaluation; episodes are drawn until there are that many.
        last: A run's score is the mean of this many last evaluations.
    """

    every_steps: int = Field(ge=50)
    episodes: int = Field(50, ge=1, le=1000)
    last: int = Field(5, ge=1, le=100)


class StopRule(Settings):
    """When a run that learns nothing is stopped before its budget is spent. A stopped run is censored, not failed.

    It is looked at after every evaluation but the last, and holds where all of the following do.

    Args:
        after_steps: Environment steps that a run has in any case.
        at_most_success: The success of the last ``evaluations`` evaluations is at most this, in each of them.
        evaluations: How many in a row.
        critic_loss: ``any``; or ``not-rising``: the critic loss does not rise either, as
            :func:`fetchbench.records.diagnosis.critic_loss_rise` has it. Where that cannot be told, the run goes on.
    """

    after_steps: int = Field(ge=50)
    at_most_success: float = Field(0.1, ge=0, lt=1)
    evaluations: int = Field(3, ge=1, le=100)
    critic_loss: Literal["any", "not-rising"] = "any"


STOP_PRESETS: Mapping[str, StopRule] = {
    "seed": StopRule(after_steps=3_000_000, critic_loss="not-rising"),
}
"""Named :class:`StopRule`. ``seed`` is the rule of robotics_series, success of at most 10 % with a critic loss that is flat or
falls, but for its moment: at 1 M steps it would have stopped that project's own best run, which had 8 % then and took off at
2.1 to 2.5 M."""
