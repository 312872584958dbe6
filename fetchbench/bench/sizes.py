"""What is measured, and how large. The only file of this part that names plugins: it chooses methods, as a suite does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PARTS = ("render", "replay", "updates", "training", "cache", "gpu", "memory")
"""In the order in which they are measured. ``memory`` is what ``replay`` and ``training`` took."""

WITH_SB3 = ("replay", "updates", "training", "gpu", "memory")
"""The parts that need stable-baselines3."""

ENCODER = "manipulation"
ROUTINGS = ("separate", "actor", "critic")
BASELINE_ROUTING = {"separate": "separate", "actor": "actor", "critic": "separate"}
"""Ours -> SB3's that it is measured against: SB3 has two routings, and its default is ``separate``."""


@dataclass(frozen=True)
class Arithmetic:
    """Precision and compile mode of our learner (:class:`fetchbench.records.schema.Execution`)."""

    precision: str = "float32"
    compile: str = "none"

    @property
    def label(self) -> str:
        return self.precision + ("" if self.compile == "none" else f", {self.compile}")


PLAIN = Arithmetic()


def arithmetics(machine: Mapping[str, Any], compiles: Sequence[str], plain: bool = True) -> list[Arithmetic]:
    """The arithmetics that a machine has, the judged one first, each once.

    Args:
        machine: From :func:`fetchbench.bench.machine.describe`.
        compiles: Compile modes of the fast arithmetic.
        plain: Whether plain float32 follows.
    """
    fast = (Arithmetic(machine["precision"], mode if machine["compiler"] else "none") for mode in compiles)
    return list(dict.fromkeys([*fast, *([PLAIN] if plain else [])]))


@dataclass(frozen=True)
class RenderSizes:
    """Stepping and drawing.

    Attributes:
        task: The task.
        size: Height and width, pixels.
        large: Height and width of the stock frame that is resized to ``size``.
        rounds: Blocks per contestant, taken in turns.
        block_s: A block lasts at least this long, seconds.
    """

    task: str = "FetchPush-v4"
    size: int = 84
    large: int = 480
    rounds: int = 7
    block_s: float = 2.0


@dataclass(frozen=True)
class ReplaySizes:
    """Sampling from the replay.

    Attributes:
        task: Its horizon and dimensions.
        size: Height and width, pixels.
        stack: F, frames per observation.
        batch: B, transitions per sample.
        relabel_k: k, strategy ``future``.
        transitions: Held by both sides.
        more: Held by ours alone, in further stores.
        rounds: As in :class:`RenderSizes`; so is ``block_s``.
    """

    task: str = "FetchPush-v4"
    size: int = 84
    stack: int = 4
    batch: int = 256
    relabel_k: int = 4
    transitions: int = 10_000
    more: tuple[int, ...] = (50_000, 200_000)
    rounds: int = 7
    block_s: float = 1.0


@dataclass(frozen=True)
class UpdateSizes:
    """Updates of the whole learner, on the track ``pixels`` with the learner's preset ``push``.

    Attributes:
        task: Its dimensions.
        size: Height and width, pixels.
        stack: F, frames per observation.
        batch: B.
        transitions: In either side's replay.
        compile: Compile mode of our fast arithmetic.
        tuned: Whether SB3 is also measured with what our runs set in their process.
        rounds: As in :class:`RenderSizes`; so is ``block_s``.
    """

    task: str = "FetchPush-v4"
    size: int = 84
    stack: int = 4
    batch: int = 256
    transitions: int = 1_000
    compile: str = "inductor"
    tuned: bool = True
    rounds: int = 5
    block_s: float = 4.0


@dataclass(frozen=True)
class TrainingSizes:
    """Training end to end, with the learner's preset ``reach-cpu`` and the demo's first method.

    Attributes:
        task: The task.
        size: Height and width, pixels; the stack is 1.
        options: Of the encoder.
        batch: B.
        warmup_steps: Environment steps without updates.
        segments: Stretches of training after warm-up, taken in turns; one more, before them, is not counted.
        segment_steps: Environment steps, and updates, of a segment; a multiple of the task's 50.
        compiles: Compile modes of our fast arithmetic, each on its own; the first one is judged.
        plain: Whether ours is also measured in plain float32.
        others: Whether SB3 is also measured tuned, and with the stock frame of ``large`` pixels, resized.
        large: Its height and width.
    """

    task: str = "FetchReach-v4"
    size: int = 64
    options: Mapping[str, Any] = field(default_factory=lambda: {"filters": 16, "strides": [2, 2, 1, 1]})
    batch: int = 128
    # A fifth of the demo's 1,000 steps before the first update and 3,000 after it.
    warmup_steps: int = 200
    segments: int = 6
    segment_steps: int = 100
    compiles: tuple[str, ...] = ("none", "inductor")
    plain: bool = True
    others: bool = True
    large: int = 480

    @property
    def steps(self) -> int:
        """Environment steps of each side."""
        return self.warmup_steps + (self.segments + 1) * self.segment_steps


@dataclass(frozen=True)
class CacheSizes:
    """Updates of a frozen pretrained network, its weights random: they cost the same.

    Attributes:
        task: Its dimensions.
        encoder: The network.
        size: Height and width of the frames that it takes, pixels.
        stack: F, frames per observation.
        batch: B.
        rounds: As in :class:`RenderSizes`; so is ``block_s``.
    """

    task: str = "FetchPush-v4"
    encoder: str = "r3m-18"
    size: int = 256
    stack: int = 1
    batch: int = 256
    rounds: int = 2
    block_s: float = 2.0


@dataclass(frozen=True)
class Sizes:
    """All of it.

    Attributes:
        name: For the report.
        judged: Whether these are the sizes for which targets are stated.
    """

    name: str
    judged: bool
    render: RenderSizes = RenderSizes()
    replay: ReplaySizes = ReplaySizes()
    updates: UpdateSizes = UpdateSizes()
    training: TrainingSizes = TrainingSizes()
    cache: CacheSizes = CacheSizes()
    gpu: UpdateSizes = UpdateSizes(transitions=10_000, compile="cuda-graph", tuned=False, rounds=3, block_s=1.0)


FULL = Sizes("full", judged=True)
QUICK = Sizes(
    "quick",
    judged=False,
    render=RenderSizes(rounds=2, block_s=0.2),
    replay=ReplaySizes(transitions=2_000, more=(10_000,), rounds=3, block_s=0.2),
    # Compiling would take most of a minute.
    updates=UpdateSizes(size=48, stack=2, batch=32, compile="none", tuned=False, rounds=3, block_s=0.3),
    training=TrainingSizes(
        batch=32, warmup_steps=50, segments=2, segment_steps=50, compiles=("none",), plain=False, others=False
    ),
    cache=CacheSizes(batch=8, rounds=1, block_s=0.2),
    gpu=UpdateSizes(size=48, stack=2, batch=32, compile="none", tuned=False, rounds=3, block_s=0.3),
)
