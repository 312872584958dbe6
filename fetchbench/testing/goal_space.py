"""The contract of goal spaces."""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from fetchbench.environment import get_task
from fetchbench.errors import one_line
from fetchbench.learner.components import spec_of
from fetchbench.records.schema import Component
from fetchbench.registry import Registry
from fetchbench.replay import Replay, sample_indices
from fetchbench.replay.hindsight import DRAWS
from fetchbench.specs import GoalIndices, GoalSpace, GoalSpaceSpec, Pursued
from fetchbench.testing.checks import Check
from fetchbench.testing.measures import TOLERANCE, difference, watched
from fetchbench.testing.report import Outcome, failed, ok, skipped
from fetchbench.testing.stand_ins import AUXILIARY, CRITIC, STAND_IN_DECODER, stand_in_encoder
from fetchbench.testing.trial import Trial, audited

BATCH = 64
SCALED = "scaled"
"""The option by which the harness tells a goal space of its own whether the suite's vectors are scaled."""


class GoalsUnderTest:
    """A goal space on FetchReach, in a small method, over a replay of two episodes.

    Args:
        registry: Where it is found.
        component: Its name and options.
    """

    def __init__(self, registry: Registry, component: Component) -> None:
        self.component, self.task = component, get_task("FetchReach-v4")
        self.spec: GoalSpaceSpec = spec_of(registry, "goal-space", component, GoalSpaceSpec)

    @functools.cached_property
    def trial(self) -> Trial:
        """On the first track that the kit has a method for: images of goals need an encoder, and may need a decoder."""
        given = dict(self.component.options)
        if SCALED in inspect.signature(self.spec.build).parameters:
            given = {SCALED: True, **given}
        spec = replace(self.spec, build=lambda task: self.spec.build(task, **given))
        if "image-goal" in self.spec.tracks:
            parts = (("encoder", stand_in_encoder(("moments",))), ("auxiliary-loss", STAND_IN_DECODER))
            return Trial(("goal-space", spec), *parts, ("gradient-routing", AUXILIARY), track="image-goal")
        if "pixels-only" in self.spec.tracks:
            return Trial(("goal-space", spec), ("encoder", stand_in_encoder()), ("gradient-routing", CRITIC))
        return Trial(("goal-space", spec), track="state")

    @property
    def goals(self) -> GoalSpace:
        return self.trial.built.goals

    @property
    def replay(self) -> Replay:
        return self.trial.replay

    @functools.cached_property
    def indices(self) -> GoalIndices:
        width = DRAWS + self.trial.built.goal_draws
        draws = torch.rand(BATCH, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        return sample_indices(draws, len(self.replay), self.replay.horizon, k=4, strategy="future")

    @functools.cached_property
    def relabelled(self) -> Tensor:
        return self.goals.relabel(self.replay, self.indices)

    @functools.cached_property
    def asked(self) -> Pursued:
        """What the task asks for five episodes."""
        task = self.task
        desired = torch.tensor(task.goal_center) + 0.05 * torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
        frames = None
        if self.trial.built.goal_images:
            steps = torch.arange(5)
            frames = self.replay.frames_at(steps % len(self.replay), steps)
        latent = self.spec.reward == "latent"
        return Pursued(torch.full_like(desired, torch.nan) if latent else desired, frames)

    def explored(self) -> Pursued:
        draws = torch.rand(5, max(1, self.trial.built.goal_draws), generator=torch.Generator().manual_seed(0))
        return self.goals.sample_exploration(self.replay, self.asked, draws)


def builds(g: GoalsUnderTest) -> Iterator[Outcome]:
    """``build`` returns an object that knows its width."""
    width, images = g.goals.embedding_dim, hasattr(g.goals, "goal_frames")
    if isinstance(width, bool) or not isinstance(width, int) or width < (0 if images else 1):
        yield failed(f"embedding_dim is {width!r}", "set it to the width of what `embed` returns")
        return
    seen = "the encoder sees images of goals" if images else f"the networks see {width} numbers"
    yield ok(f"{seen}; tracks {', '.join(g.spec.tracks)}")


def output(g: GoalsUnderTest) -> Iterator[Outcome]:
    """Shapes and numbers: ``relabel (B, G)``, ``embed (B, E)``, ``reward (B,)``, ``from_task (N, G)``, and images."""
    goals, rewards = g.relabelled, g.goals.reward(g.replay, g.indices, g.relabelled)
    explored, asked = g.explored(), g.goals.from_task(g.asked.goals, g.asked.frames)
    width = goals.shape[1] if goals.dim() == 2 else 0
    expected: list[tuple[str, Tensor | None, tuple[int, ...], torch.dtype]] = [
        ("relabel", goals, (BATCH, width), torch.float32),
        ("embed", g.goals.embed(goals), (BATCH, g.goals.embedding_dim), torch.float32),
        ("reward", rewards, (BATCH,), torch.float32),
        ("from_task", asked, (5, width), torch.float32),
        ("sample_exploration", explored.goals, (5, width), torch.float32),
    ]
    if g.trial.built.goal_images:
        frame = (3, g.replay.goal_frames.shape[-2], g.replay.goal_frames.shape[-1]) if g.replay.goal_frames is not None else ()
        expected.append(("sample_exploration's frames", explored.frames, (5, *frame), torch.uint8))
        if images := getattr(g.goals, "goal_frames", None):
            expected.append(("goal_frames", images(g.replay, g.indices), (BATCH, *frame), torch.uint8))
    for name, given, shape, dtype in expected:
        if given is None or tuple(given.shape) != shape or given.dtype != dtype:
            found = "nothing" if given is None else f"{given.dtype} {tuple(given.shape)}"
            yield failed(f"{name} returns {found}, not {dtype} {shape}", f"return {str(dtype).removeprefix('torch.')} {shape}")
        elif dtype == torch.float32 and not bool(given.isfinite().all()):
            latent = " A run with latent rewards keeps no position: it reads as NaN" if g.spec.reward == "latent" else ""
            yield failed(f"{name} is not finite", f"mind divisions and logarithms.{latent}")


def offers(g: GoalsUnderTest) -> Iterator[Outcome]:
    """What it offers besides: a distance, a look at the replay, a state that a checkpoint can hold."""
    goals, found = g.goals, []
    if distance := getattr(goals, "distance", None):
        found.append("distance")
        z = torch.randn(BATCH, g.trial.built.feature_dim or 1, generator=torch.Generator().manual_seed(0))
        with g.trial.learner.evaluating():
            apart, own = distance(z, z.flip(0)), distance(z, z)
        if tuple(apart.shape) != (BATCH,) or not bool(apart.isfinite().all()):
            yield failed(f"distance returns {tuple(apart.shape)}, not ({BATCH},) finite numbers", "one per pair of rows")
        elif float(own.max()) >= float(apart.mean()):
            yield failed("distance holds an image to be as far from itself as from others", "0 where both are equal")
    if refresh := getattr(goals, "refresh", None):
        found.append("refresh")
        refresh(g.replay, torch.Generator().manual_seed(0))
    if states := getattr(goals, "training_states", None):
        found.append("training_states")
        episode, step = states(g.replay, torch.rand(BATCH, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
        inside = (step >= 0) & (step < g.replay.horizon) & (episode >= 0) & (episode < len(g.replay))
        if not bool(inside.all()):
            yield failed("training_states names observations that there are not", "episodes held, steps 0 to T - 1")
    if keep := getattr(goals, "state_dict", None):
        found.append("state_dict")
        file = io.BytesIO()
        torch.save(keep(), file)
        file.seek(0)
        try:
            getattr(goals, "load_state_dict")(torch.load(file, weights_only=True))  # noqa: B009
        except Exception as error:
            yield failed(f"its state does not come back from a checkpoint: {one_line(error)}", "tensors and plain values alone")
    yield ok(", ".join(found)) if found else skipped("nothing")


def determinism(g: GoalsUnderTest) -> Iterator[Outcome]:
    """Goals, embeddings and rewards are functions of what they are given."""

    def everything() -> list[Tensor]:
        goals = g.goals.relabel(g.replay, g.indices)
        explored = g.explored()
        images = [] if explored.frames is None else [explored.frames]
        return [goals, g.goals.embed(goals), g.goals.reward(g.replay, g.indices, goals), explored.goals, *images]

    first, drawn = watched(everything)
    if drawn:
        yield failed(f"it draws from {drawn} global random generator", "use `indices.source` and the draws that are passed in")
    elif not all(map(torch.equal, first, everything())):
        yield failed("equal arguments give different goals, embeddings or rewards", "keep nothing between calls")


def embedding(g: GoalsUnderTest) -> Iterator[Outcome]:
    """Each goal is embedded by itself, and different goals differently."""
    if g.goals.embedding_dim == 0:
        yield skipped("the encoder sees images of them")
        return
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
    count = sum(1 for _ in audited(g.trial))
    yield ok(f"{count} audited")


def checks(g: GoalsUnderTest) -> Iterator[Check[GoalsUnderTest]]:
    """The contract, in order."""
    yield Check("build", builds)
    yield Check("output", output, ("build",))
    yield Check("offers", offers, ("build",))
    yield Check("determinism", determinism, ("output",))
    yield Check("embedding", embedding, ("output",))
    yield Check("relabelling", relabelling, ("output",))
    yield Check("updates", updates, ("output",))
