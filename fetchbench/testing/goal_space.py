"""The contract of goal spaces."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from fetchbench.environment import get_task
from fetchbench.learner.components import called, spec_of
from fetchbench.records.schema import Component
from fetchbench.registry import Registry
from fetchbench.replay import Replay, sample_indices
from fetchbench.specs import GoalIndices, GoalSpace, GoalSpaceSpec
from fetchbench.testing.checks import Check
from fetchbench.testing.measures import TOLERANCE, difference, watched
from fetchbench.testing.report import Outcome, failed, ok, skipped
from fetchbench.testing.stand_ins import CRITIC, stand_in_encoder
from fetchbench.testing.trial import Trial, audited

BATCH = 64


class GoalsUnderTest:
    """A goal space on FetchReach, over a replay of two episodes.

    Args:
        registry: Where it is found.
        component: Its name and options.
    """

    def __init__(self, registry: Registry, component: Component) -> None:
        self.component, self.task = component, get_task("FetchReach-v4")
        self.spec: GoalSpaceSpec = spec_of(registry, "goal-space", component, GoalSpaceSpec)

    @functools.cached_property
    def goals(self) -> GoalSpace:
        given = self.component.options
        if "scaled" in inspect.signature(self.spec.build).parameters:
            given = {"scaled": True, **given}
        return called("goal space", self.component, lambda: self.spec.build(self.task, **given))

    @functools.cached_property
    def replay(self) -> Replay:
        return Trial(track="state").replay

    @functools.cached_property
    def indices(self) -> GoalIndices:
        draws = torch.rand(BATCH, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        return sample_indices(draws, len(self.replay), self.replay.horizon, k=4, strategy="future")

    @functools.cached_property
    def relabelled(self) -> Tensor:
        return self.goals.relabel(self.replay, self.indices)


def builds(g: GoalsUnderTest) -> Iterator[Outcome]:
    """``build`` returns an object that knows its width."""
    width = g.goals.embedding_dim
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        yield failed(f"embedding_dim is {width!r}", "set it to the width of what `embed` returns")
        return
    yield ok(f"the networks see {width} numbers; tracks {', '.join(g.spec.tracks)}")


def output(g: GoalsUnderTest) -> Iterator[Outcome]:
    """Shapes and numbers: ``relabel (B, G)``, ``embed (B, E)``, ``reward (B,)``, ``sample_exploration (N, G)``."""
    goals, rewards = g.relabelled, g.goals.reward(g.replay, g.indices, g.relabelled)
    draws = torch.rand(5, 1, generator=torch.Generator().manual_seed(0))
    explored = g.goals.sample_exploration(g.replay.desired[:1].expand(5, -1), draws)
    width = goals.shape[1] if goals.dim() == 2 else 0
    expected = (
        ("relabel", goals, (BATCH, width)),
        ("embed", g.goals.embed(goals), (BATCH, g.goals.embedding_dim)),
        ("reward", rewards, (BATCH,)),
        ("sample_exploration", explored, (5, width)),
    )
    for name, given, shape in expected:
        if tuple(given.shape) != shape or given.dtype != torch.float32:
            yield failed(
                f"{name} returns {given.dtype} {tuple(given.shape)}, not torch.float32 {shape}", f"return float32 {shape}"
            )
        elif not bool(given.isfinite().all()):
            yield failed(f"{name} is not finite", "mind divisions and logarithms")


def determinism(g: GoalsUnderTest) -> Iterator[Outcome]:
    """Goals, embeddings and rewards are functions of what they are given."""

    def everything() -> list[Tensor]:
        goals = g.goals.relabel(g.replay, g.indices)
        return [goals, g.goals.embed(goals), g.goals.reward(g.replay, g.indices, goals)]

    first, drawn = watched(everything)
    if drawn:
        yield failed(f"it draws from {drawn} global random generator", "use `indices.source` and the draws that are passed in")
    elif not all(map(torch.equal, first, everything())):
        yield failed("equal arguments give different goals, embeddings or rewards", "keep nothing between calls")


def embedding(g: GoalsUnderTest) -> Iterator[Outcome]:
    """Each goal is embedded by itself, and different goals differently."""
    together = g.goals.embed(g.relabelled)
    alone = torch.cat([g.goals.embed(goal[None]) for goal in g.relabelled[:8]])
    if difference(together[:8], alone) > TOLERANCE:
        yield failed("a goal's embedding changes with the others of its batch", "no statistic over the batch")
    if float(together.std(dim=0).max()) == 0:
        yield failed("all goals have the same embedding", "let `embed` depend on the goal")


def relabelling(g: GoalsUnderTest) -> Iterator[Outcome]:
    """Where goals are the task's own: who keeps a goal keeps it, and whoever reached a goal is rewarded."""
    if g.spec.reward != "task" or g.relabelled.shape[1] != g.task.goal_dim:
        yield skipped("its goals are not the task's own")
        return
    nobody = replace(g.indices, relabelled=torch.zeros_like(g.indices.relabelled))
    if difference(g.goals.relabel(g.replay, nobody), g.replay.desired[g.indices.episode]) > TOLERANCE:
        yield failed(
            "transitions that are not relabelled lose their episode's goal", "theirs is `replay.desired[indices.episode]`"
        )
        return
    rewards = g.goals.reward(g.replay, g.indices, g.relabelled)
    outcomes = g.replay.achieved[g.indices.episode, g.indices.step + 1]
    if not torch.equal(rewards, torch.from_numpy(g.task.reward(outcomes.numpy(), g.relabelled.numpy()))):
        yield failed("rewards are not the task's", "0 within the task's threshold of the goal, else -1, for state step + 1")
        return
    own = replace(g.indices, relabelled=torch.ones_like(g.indices.relabelled), goal_step=g.indices.step + 1)
    if bool(g.goals.reward(g.replay, own, g.goals.relabel(g.replay, own)).any()):
        yield failed(
            "a transition relabelled by its own outcome is not rewarded",
            "goals are states by number: `replay.achieved[indices.episode, indices.goal_step]`",
        )


def updates(g: GoalsUnderTest) -> Iterator[Outcome]:
    """Audited updates work on one of its tracks."""
    spec = replace(g.spec, build=lambda task: g.goals)
    if "pixels-only" in g.spec.tracks:
        trial = Trial(("goal-space", spec), ("encoder", stand_in_encoder()), ("gradient-routing", CRITIC))
    elif "state" in g.spec.tracks:
        trial = Trial(("goal-space", spec), track="state")
    else:
        yield skipped(f"the kit has no method on {', '.join(g.spec.tracks)}")
        return
    count = sum(1 for _ in audited(trial))
    yield ok(f"{count} audited")


def checks(g: GoalsUnderTest) -> Iterator[Check[GoalsUnderTest]]:
    """The contract, in order."""
    yield Check("build", builds)
    yield Check("output", output, ("build",))
    yield Check("determinism", determinism, ("output",))
    yield Check("embedding", embedding, ("output",))
    yield Check("relabelling", relabelling, ("output",))
    yield Check("updates", updates, ("output",))
