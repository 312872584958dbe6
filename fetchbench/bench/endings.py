"""Where a trained policy comes to rest: how far from the goal along the camera's line of sight, and how far across it.

``python -m fetchbench.bench.endings RUN...`` lets each run's policy act in fresh episodes and prints a line per run; ``--json``
gives the numbers. One camera sees what is across its line of sight to a pixel, and what lies along it by size alone: a policy
that knows its goal from one picture misses it along that line. Runs of one task and scene; their checkpoints must be there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from fetchbench.environment.cameras import get_camera
from fetchbench.environment.tasks import get_task
from fetchbench.errors import FetchbenchError

Points = NDArray[np.float64]
QUARTERS = 4
AT_A_TIME = 8
UNMET = 1_000_000
"""Number of an evaluation that no budget comes to."""


@dataclass(frozen=True)
class Endings:
    """Where the episodes of one run ended, of those that were unsolved at reset.

    Attributes:
        method: Its name.
        seed: Of the run.
        episodes: How many.
        success: Share that ended solved.
        along_cm: Root mean square of the miss along the line from the camera to the goal, cm.
        across_cm: The same across it, of both directions together, cm.
        by_height: ``(lowest, highest, share solved)`` of each quarter of the goals by height, lowest first; metres.
    """

    method: str
    seed: int
    episodes: int
    success: float
    along_cm: float
    across_cm: float
    by_height: tuple[tuple[float, float, float], ...]


def split(eye: Sequence[float], goals: Points, ends: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far ends are from goals along the lines from the eye to the goals, and across them.

    Args:
        eye: Where the camera stands, ``(3,)``, metres.
        goals: ``(N, 3)``, metres.
        ends: ``(N, 3)``, metres.

    Returns:
        ``(N,)`` each, metres; along is positive where the end is farther from the camera than the goal.
    """
    sight = goals - np.asarray(eye)
    sight = sight / np.linalg.norm(sight, axis=1, keepdims=True)
    miss = ends - goals
    along = (miss * sight).sum(axis=1)
    return along, np.linalg.norm(miss - along[:, None] * sight, axis=1)


def endings(method: str, seed: int, eye: Sequence[float], goals: Points, ends: Points, solved: NDArray[np.bool_]) -> Endings:
    """Sum episodes up: ``goals`` and ``ends`` are ``(N, 3)`` in metres, ``solved`` is ``(N,)``."""
    along, across = split(eye, goals, ends)
    parts = np.array_split(np.argsort(goals[:, 2], kind="stable"), QUARTERS)
    return Endings(
        method,
        seed,
        len(goals),
        round(float(solved.mean()), 4),
        _rms_cm(along),
        _rms_cm(across),
        tuple(
            (round(float(height.min()), 3), round(float(height.max()), 3), round(float(solved[part].mean()), 4))
            for part in parts
            for height in [goals[part, 2]]
        ),
    )


def _rms_cm(misses: NDArray[np.float64]) -> float:
    return round(100 * float(np.sqrt((misses**2).mean())), 2)


def observe(folder: Path, episodes: int) -> Endings:
    """Let a run's policy act, without noise, in episodes that it has met neither in training nor in evaluation.

    Args:
        folder: The run's.
        episodes: How many are reset; those that are solved at reset are left out.

    Raises:
        FetchbenchError: There is no checkpoint, or the run's plugins are not here.
    """
    # Here: whoever reads the numbers alone need not load torch.
    from fetchbench.environment.vector import VectorEnvironment
    from fetchbench.run.rollout import Rollout
    from fetchbench.run.streams import evaluation_seed
    from fetchbench.run.trained import build_run, restore

    request, built = build_run(folder)
    restore(folder, request, built)
    task = get_task(request.task)
    seeds = [evaluation_seed(request.task, request.seed, UNMET, i) for i in range(episodes)]
    goals: list[Points] = []
    ends: list[Points] = []
    before: list[NDArray[np.bool_]] = []
    after: list[NDArray[np.bool_]] = []
    for start in range(0, episodes, AT_A_TIME):
        some = seeds[start : start + AT_A_TIME]
        with VectorEnvironment(
            task, request.scene, built.rendered, len(some), workers=1, image_goals=request.image_goals
        ) as environment:
            rollout = Rollout(environment, task, built, some)
            while not rollout.over:
                rollout.begin(rollout.act())
                rollout.finish()
        goals.append(rollout.desired)
        ends.append(rollout.achieved[:, -1])
        before.append(task.success(rollout.achieved[:, 0], rollout.desired))
        after.append(task.success(rollout.achieved[:, -1], rollout.desired))
    kept = ~np.concatenate(before)
    eye = get_camera(request.scene.camera, request.task).eye
    goal, end, solved = np.concatenate(goals)[kept], np.concatenate(ends)[kept], np.concatenate(after)[kept]
    return endings(request.method.name, request.seed, eye, goal, end, solved)


def table(found: Sequence[Endings]) -> str:
    """The endings as markdown, a line per run."""
    lines = [
        "| method | seed | episodes | success | miss along the line of sight | across | success, lowest goals to highest |",
        "| :-- | --: | --: | --: | --: | --: | :-- |",
    ]
    for one in found:
        heights = ", ".join(f"{share:.2f}" for _, _, share in one.by_height)
        misses = f"{one.along_cm:.1f} cm | {one.across_cm:.1f} cm"
        lines.append(f"| {one.method} | {one.seed} | {one.episodes} | {one.success:.2f} | {misses} | {heights} |")
    return "\n".join(lines)


def read(path: Path) -> list[Endings]:
    """What ``--json`` printed."""
    return [
        Endings(**one | {"by_height": tuple(tuple(part) for part in one["by_height"])})
        for one in json.loads(path.read_text())["runs"]
    ]


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--episodes", type=click.IntRange(min=QUARTERS), default=100, show_default=True, help="Per run.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def main(runs: tuple[Path, ...], episodes: int, as_json: bool) -> None:
    """Where do the episodes of RUNS end, beside their goals?"""
    try:
        found = [observe(folder, episodes) for folder in runs]
    except FetchbenchError as error:
        raise click.ClickException(str(error)) from error
    document: dict[str, Any] = {"runs": [asdict(one) for one in found]}
    click.echo(json.dumps(document, indent=1) if as_json else table(found))


if __name__ == "__main__":
    main()
