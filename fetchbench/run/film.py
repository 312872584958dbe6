"""Episodes of a trained policy, drawn twice: as its encoder is shown them, and large, for a person."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fetchbench.environment.tasks import Task, get_task
from fetchbench.environment.vector import Observations, VectorEnvironment
from fetchbench.run.rollout import Rollout
from fetchbench.run.streams import evaluation_seed
from fetchbench.run.trained import Trained
from fetchbench.specs import PixelSpec

VIEW = PixelSpec(size=256, offsamples=4)
"""How frames for a person are drawn."""


@dataclass(frozen=True)
class Episode:
    """One evaluation episode, from reset (state 0) to truncation (state T).

    Attributes:
        seed: It was reset with.
        achieved: ``float64 (T+1, 3)``, metres.
        desired: ``float64 (3,)``, the goal, metres.
        distance_m: ``float64 (T+1,)``, from the goal.
        solved: ``bool (T+1,)``.
        views: ``uint8 (T+1, 3, S, S)``, for a person: large, the goal marker shown; ``None`` where nobody watched.
        frames: ``uint8 (T+1, 3, H, W)``, drawn for the encoder; ``None`` on tracks without frames.
        goal_frame: ``uint8 (3, H, W)``, the image of its goal, drawn likewise; ``None`` where goals are not images.
    """

    seed: int
    achieved: NDArray[np.float64]
    desired: NDArray[np.float64]
    distance_m: NDArray[np.float64]
    solved: NDArray[np.bool_]
    views: NDArray[np.uint8] | None
    frames: NDArray[np.uint8] | None
    goal_frame: NDArray[np.uint8] | None = None


class FilmedEnvironment(VectorEnvironment):
    """Keeps what it drew since the last reset.

    Attributes:
        film: One ``uint8 (N, 3, H, W)`` per state; empty without pixels.
        goals: ``uint8 (N, 3, H, W)``, images of the goals; ``None`` without such.
    """

    film: list[NDArray[np.uint8]]
    goals: NDArray[np.uint8] | None

    def reset(self, seeds: Sequence[int]) -> Observations:
        self.film = []
        state = super().reset(seeds)
        self.goals = state.goal_frames
        return state

    def step_wait(self) -> Observations:
        state = super().step_wait()
        if state.frames is not None:
            self.film.append(state.frames)
        return state


def shoot(trained: Trained, count: int = 2, unwatched: int = 0) -> list[Episode]:
    """Run the first ``count`` episodes of the last evaluation that were unsolved at reset again.

    Two environments take the same actions from the same seeds, which gives the same episodes: one draws for the encoder, the
    other for a person. A worker draws at one size alone.

    Args:
        trained: The run.
        count: Episodes that a person sees.
        unwatched: Further ones, drawn for the encoder alone.

    Raises:
        RenderingError: There is no usable OpenGL.
        DivergedError: The policy's actions are not finite.
    """
    request, built = trained.request, trained.built
    task = get_task(request.task)
    shown = request.scene.model_copy(update={"marker": "shown"})
    with (
        FilmedEnvironment(task, request.scene, built.rendered, count + unwatched, image_goals=request.image_goals) as played,
        FilmedEnvironment(task, shown, VIEW, count, image_goals=request.image_goals) as watched,
    ):
        evaluation = max(len(trained.evaluations) - 1, 0)
        seeds = unsolved(played, task, lambda episode: evaluation_seed(request.task, request.seed, evaluation, episode))
        watched.reset(seeds[:count])
        rollout = Rollout(played, task, built, seeds)
        while not rollout.over:
            action = rollout.act()
            rollout.begin(action)
            watched.step_async(action[:count])
            rollout.finish()
            watched.step_wait()
        views = np.stack(watched.film, axis=1)  # (count, T+1, 3, S, S)
        frames = np.stack(played.film, axis=1) if played.film else None  # (N, T+1, 3, H, W)
        images_of_goals = played.goals if built.goal_images else None
    goals = np.repeat(rollout.desired[:, None], task.horizon + 1, axis=1)
    distance = np.linalg.norm(rollout.achieved - goals, axis=-1)
    solved = task.success(rollout.achieved, goals)
    return [
        Episode(
            seed=seeds[i],
            achieved=rollout.achieved[i],
            desired=rollout.desired[i],
            distance_m=distance[i],
            solved=solved[i],
            views=views[i] if i < count else None,
            frames=None if frames is None else frames[i],
            goal_frame=None if images_of_goals is None else images_of_goals[i],
        )
        for i in range(count + unwatched)
    ]


def unsolved(environment: VectorEnvironment, task: Task, seed_of: Callable[[int], int]) -> list[int]:
    """The first seeds, as many as there are environments, whose episodes do not begin solved.

    Args:
        environment: Left in no particular state.
        task: Its own rule decides.
        seed_of: Reset seed of the i-th episode.
    """
    found: list[int] = []
    for first in itertools.count(step=environment.count):
        seeds = [seed_of(first + i) for i in range(environment.count)]
        state = environment.reset(seeds)
        begins_solved = task.success(state.achieved, state.desired)
        found += [seed for seed, solved in zip(seeds, begins_solved, strict=True) if not solved]
        if len(found) >= environment.count:
            break
    return found[: environment.count]
