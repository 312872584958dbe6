"""What a suite is, once its file has been read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fetchbench.protocol import Budget, Evaluation, LearnerSettings, Scene, StopRule, Track
from fetchbench.records.schema import Component, Method
from fetchbench.specs import PixelSpec


def usual_goals(track: Track) -> Component:
    """The goal space of a method that does not name one."""
    return Component(name="image" if track == "image-goal" else "vector")


@dataclass(frozen=True)
class Template:
    """What a method that sees frames need not say, and what ``--plugin`` builds its methods on.

    Attributes:
        track: The suite's.
        pixels: The suite's, with the template's own changes; ``None`` where the suite has none.
        encoder: ``None`` where each method names its own; so with the other components.
        views: K; it reaches only methods that have an augmentation.
        target_views: M; likewise.
        auxiliary_weight: It reaches only methods that have an auxiliary loss.
        trunk: As in :class:`~fetchbench.records.schema.Method`.
    """

    track: Track
    pixels: PixelSpec | None = None
    encoder: Component | None = None
    augmentation: Component | None = None
    views: int = 1
    target_views: int = 1
    auxiliary_loss: Component | None = None
    auxiliary_weight: float = 1.0
    routing: Component | None = None
    goal_space: Component | None = None
    trunk: int | None = None


@dataclass(frozen=True)
class Factor:
    """One thing that a suite's matrix varies.

    Attributes:
        name: As the file has it.
        levels: Level -> what it changes in a method's table; the first is the reference.
    """

    name: str
    levels: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Suite:
    """A suite as its file declares it: nothing is resolved yet, and no plugin was loaded.

    Attributes:
        name: Stem of the file.
        title: One line.
        path: The file.
        sha256: Digest of the file's bytes.
        tasks: Task names.
        track: The suite's own pixel track: what its methods see if they do not say, and what ``blind`` sees without frames.
        seeds: In the order in which they are run.
        scene: Camera, marker and lighting of all methods.
        learner: The learner of all methods.
        budget: What each run may spend.
        evaluation: How each run is scored.
        methods: The rows, in the file's order; those that :func:`fetchbench.suite.with_plugins` added come last.
        template: The defaults of methods that see frames.
        baseline: The method that the others are compared with; ``None`` where the suite names none.
        baseline_seeds: Seeds that the baseline alone runs besides, after ``seeds``.
        contrasts: Pairs of methods that were named beforehand, at most six.
        factors: What its matrix varies; empty where every method is written out.
        levels: Method -> its level of each factor, for the methods of the matrix.
        stop: When a run is stopped before its budget is spent; ``None`` never does.
    """

    name: str
    title: str
    path: Path
    sha256: str
    tasks: tuple[str, ...]
    track: Track
    seeds: tuple[int, ...]
    scene: Scene
    learner: LearnerSettings
    budget: Budget
    evaluation: Evaluation
    methods: tuple[Method, ...]
    template: Template
    baseline: str | None = None
    baseline_seeds: tuple[int, ...] = ()
    contrasts: tuple[tuple[str, str], ...] = ()
    factors: tuple[Factor, ...] = ()
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    stop: StopRule | None = None

    def seeds_of(self, method: str) -> tuple[int, ...]:
        """The seeds of one method, in the order in which they are run."""
        return self.seeds + self.baseline_seeds if method == self.baseline else self.seeds

    def cells(self) -> Iterator[tuple[int, Method, str]]:
        """``(seed, method, task)`` of every run, in that order; seeds of the baseline alone come last."""
        for seed in self.seeds + self.baseline_seeds:
            for method in self.methods:
                if seed in self.seeds_of(method.name):
                    yield from ((seed, method, task) for task in self.tasks)

    @property
    def where(self) -> str:
        """The file as messages name it: relative to the current folder where it lies inside."""
        return displayed(self.path)


def displayed(path: Path) -> str:
    """A path as messages name it: relative to the current folder where it lies inside."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else path)
