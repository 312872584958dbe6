"""What policies that learn nothing score on each task: what every learner has to be held against.

``python -m fetchbench.bench.floors`` prints a line per task; ``--json`` prints ``fetchbench/environment/floors.json``. Success
is the board's: at the last step, over episodes that were unsolved at reset.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from fetchbench.environment.floors import Floor, PolicyName, floor_text
from fetchbench.environment.tasks import TASKS, Task
from fetchbench.environment.vector import VectorEnvironment
from fetchbench.protocol import Scene

GAINS = (0.3, 0.6, 1.0, 2.0, 5.0)
"""Of the open-loop policy; the best of them in episodes of their own is taken."""
AT_A_TIME = 50
GRIPPER = slice(0, 3)
"""Its position in every task's observation, metres."""

Policy = Callable[[int, NDArray[Any], NDArray[Any]], NDArray[np.float32]]
"""Step, gripper at reset ``(N, 3)``, goal ``(N, 3)`` -> actions ``float32 (N, 4)``."""


def nothing(step: int, gripper: NDArray[Any], goal: NDArray[Any]) -> NDArray[np.float32]:
    """Action 0 throughout."""
    return np.zeros((len(goal), 4), np.float32)


def at_random(seed: int) -> Policy:
    """Uniform actions, as in warm-up."""
    generator = np.random.default_rng(seed)
    return lambda step, gripper, goal: generator.uniform(-1, 1, (len(goal), 4)).astype(np.float32)


def open_loop(gain: float) -> Policy:
    """One constant action per episode: ``gain`` times the way from the gripper at reset to the goal, in metres."""

    def act(step: int, gripper: NDArray[Any], goal: NDArray[Any]) -> NDArray[np.float32]:
        action = np.zeros((len(goal), 4), np.float32)
        action[:, :3] = np.clip(gain * (goal - gripper), -1, 1)
        return action

    return act


def success_of(environment: VectorEnvironment, task: Task, policy: Policy, episodes: int, seed: int) -> tuple[float, float]:
    """Success of a policy over ``episodes`` that were unsolved at reset, and over all that were drawn for them."""
    solved: list[NDArray[np.bool_]] = []
    while sum(not before for before, _ in solved) < episodes:
        start = environment.reset([seed + len(solved) + i for i in range(environment.count)])
        gripper, goal = start.observation[:, GRIPPER].copy(), start.desired.copy()
        before, state = task.success(start.achieved, goal), start
        for step in range(task.horizon):
            state = environment.step(policy(step, gripper, goal))
        solved += list(np.stack([before, task.success(state.achieved, goal)], axis=1))
    count = int(np.searchsorted(np.cumsum([not before for before, _ in solved]), episodes)) + 1
    outcome = np.array(solved[:count])
    return float(outcome[~outcome[:, 0], 1].mean()), float(outcome[:, 1].mean())


def measure(task: Task, episodes: int) -> tuple[Floor, ...]:
    """The floors of a task, each over so many episodes; a fifth of them chooses the open-loop policy's gain."""
    with VectorEnvironment(task, Scene(), None, AT_A_TIME, workers=1) as environment:
        trials = {
            gain: success_of(environment, task, open_loop(gain), max(1, episodes // 5), seed=1_000_000)[0] for gain in GAINS
        }
        gain = max(trials, key=lambda gain: trials[gain])
        found = []
        chosen: list[tuple[PolicyName, Policy, float | None]] = [
            ("nothing", nothing, None),
            ("random", at_random(0), None),
            ("open-loop", open_loop(gain), gain),
        ]
        for name, policy, its_gain in chosen:
            success, raw = success_of(environment, task, policy, episodes, seed=1)
            found.append(Floor(name, episodes, round(success, 4), round(raw, 4), its_gain))
    return tuple(found)


@click.command()
@click.option("--episodes", type=click.IntRange(min=1), default=1000, show_default=True, help="Per policy and task.")
@click.option("--task", "tasks", multiple=True, type=click.Choice(list(TASKS)), help="This task alone (may be repeated).")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def main(episodes: int, tasks: tuple[str, ...], as_json: bool) -> None:
    """What do policies that learn nothing score?"""
    found = {name: measure(TASKS[name], episodes) for name in tasks or TASKS}
    if as_json:
        return click.echo(json.dumps({task: [asdict(floor) for floor in floors] for task, floors in found.items()}, indent=1))
    for task, floors in found.items():
        click.echo(f"{task}: {floor_text(floors)}")
    return None


if __name__ == "__main__":
    main()
