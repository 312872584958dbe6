"""A run's networks as its last checkpoint left them, and what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fetchbench.environment.tasks import get_task
from fetchbench.environment.tracks import vector_layout
from fetchbench.errors import FetchbenchError, one_line
from fetchbench.learner.build import Built
from fetchbench.records.diagnosis import score_of
from fetchbench.records.schema import EvaluationPoint, RunRequest
from fetchbench.run.checkpoint import Checkpoint
from fetchbench.run.plugins import load_plugins
from fetchbench.run.prepare import build_request, read_request


@dataclass(frozen=True)
class Trained:
    """A run as far as it came.

    Attributes:
        request: What it was asked.
        built: Its networks, trained.
        steps: Environment steps so far.
        evaluations: In order of steps.
    """

    request: RunRequest
    built: Built
    steps: int
    evaluations: Sequence[EvaluationPoint]

    @property
    def score(self) -> float | None:
        """Of its last evaluations, once the budget is spent; ``None`` before."""
        spent = self.steps >= self.request.budget.steps
        return score_of("done", self.evaluations, self.request.evaluation.last) if spent else None


@dataclass(frozen=True)
class InputPart:
    """A part of the vector that the heads are given.

    Attributes:
        name: ``"encoder"``, ``"proprioception"``, ``"achieved goal"``, ``"goal"``, ...
        width: Numbers.
        features: Width of ``z`` where a trunk of this width stands between; ``None`` without one.
    """

    name: str
    width: int
    features: int | None = None


def build_run(folder: Path, plugins: Sequence[Path] = ()) -> tuple[RunRequest, Built]:
    """Build a run's networks on the CPU, untrained.

    Args:
        folder: The run's.
        plugins: Plugin files that it needs, beside those that are found.

    Raises:
        FetchbenchError: There is no request, or a plugin is missing or changed.
    """
    request = read_request(folder)
    registry = load_plugins(plugins)
    registry.raise_for(plugins)
    return request, build_request(request.model_copy(update={"execution": request.execution.on_cpu}), registry)


def restore(folder: Path, request: RunRequest, built: Built) -> Trained:
    """Give a run's networks the weights of its last checkpoint.

    Raises:
        FetchbenchError: There is no checkpoint, or it does not fit.
    """
    checkpoint = Checkpoint(folder / "checkpoint")
    if not checkpoint.exists:
        raise FetchbenchError(f"{folder} holds no checkpoint yet: the run has not come to one")
    state = checkpoint.state()
    try:
        built.learner.load_state_dict(state["learner"])
        if state.get("goals") and (load := getattr(built.goals, "load_state_dict", None)):
            load(state["goals"])
        evaluations = [EvaluationPoint(**point) for point in state["evaluations"]]
        return Trained(request, built, state["steps"], evaluations)
    except (KeyError, RuntimeError, ValueError) as error:
        raise FetchbenchError(
            f"{folder}: another version of fetchbench wrote its checkpoint ({one_line(error)}); use that version to load it"
        ) from error


def input_parts(request: RunRequest, built: Built) -> list[InputPart]:
    """What the actor is given, in order; the critics are given the action behind it."""
    task = get_task(request.task)
    track = request.pixel_track if request.method.track == "blind" else request.method.track
    layout = vector_layout(track, task, request.pixel_track)
    goal = built.goals.embedding_dim
    parts = []
    if built.feature_dim is not None:
        width = built.learner.actor.inputs.width - built.vectors.dim - goal
        features = built.feature_dim * (2 if built.shows_goals else 1)
        name = "encoder, of frames and goal image" if built.shows_goals else "encoder"
        parts.append(InputPart(name, width, None if width == features else features))
    if layout.indices:
        parts.append(InputPart("observation" if track == "state" else "proprioception", len(layout.indices)))
    if layout.includes_achieved:
        parts.append(InputPart("achieved goal", task.goal_dim))
    return [*parts, InputPart("goal", goal)] if goal else parts
