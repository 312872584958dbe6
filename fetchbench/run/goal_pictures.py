"""Pictures of runs whose goals are images: what is pursued, what the features hold, and what the method takes for near."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fetchbench.environment.tasks import Task, get_task
from fetchbench.environment.vector import VectorEnvironment
from fetchbench.learner.build import Built
from fetchbench.run.contact_sheet import Block, Row, cm
from fetchbench.run.film import Episode
from fetchbench.run.goal_distance import Pairs
from fetchbench.run.look import decode, shown
from fetchbench.run.scenes import SCENES_PER_RESET, Scenes, draw_scenes, embed
from fetchbench.run.streams import stream_seed
from fetchbench.run.trained import Trained
from fetchbench.specs import Pursued
from fetchbench.statistics.probing import rank_correlation

OUTCOMES = 8
"""Episodes whose goals and ends are shown."""

SCENES = 400
MOST_BYTES = 2**28
"""Of the scenes' frames: large frames in long stacks are fewer scenes."""
ENVIRONMENTS = 8

TRAVERSED = 8
"""Features that are varied, the most active ones."""
DEVIATIONS = (-3, -2, -1, 0, 1, 2, 3)

PANEL_IN, DPI = 4.6, 120
"""Side of a plot, inches, and pixels per inch."""


def scenes_of(trained: Trained) -> Scenes | None:
    """Scenes to hold against each other, for methods whose pictures need them; ``None`` for others."""
    built, request = trained.built, trained.request
    if built.learner.encoders is None or built.rendered is None:
        return None
    if not hasattr(built.goals, "distance") and not (built.goal_images and _has_decoder(built)):
        return None
    stack = built.learner.stack
    fitting = min(SCENES, MOST_BYTES // (stack * 3 * built.rendered.size**2))
    count = max(1, fitting // SCENES_PER_RESET) * SCENES_PER_RESET
    task = get_task(request.task)
    images = request.image_goals  # as in the run, whose probes see the same scenes
    with VectorEnvironment(task, request.scene, built.rendered, ENVIRONMENTS, image_goals=images) as environment:
        return draw_scenes(environment, task, stack, count)


def _has_decoder(built: Built) -> bool:
    return built.learner.auxiliary is not None and hasattr(built.learner.auxiliary.module, "reconstruct")


# -- blocks of the contact sheet --------------------------------------------------------------------------------------


def goal_blocks(trained: Trained, episodes: Sequence[Episode], scenes: Scenes | None) -> list[Block]:
    """Goals and ends; and, where there are such, goals of its own that the method pursues, and what each feature holds.

    Args:
        trained: The run, of a track with goal images.
        episodes: Some of its episodes.
        scenes: Of its task, where the method has a decoder.
    """
    built = trained.built
    blocks = [outcome_block(built, episodes)]
    if built.reward == "latent" and (own := pursued(trained, episodes)) is not None:
        heading = "goals that it sets itself when it trains: drawn from its own goal space, no task asked"
        caption = "images that the\ngoal space draws"
        blocks.append(Block(heading, [f"goal {k + 1}" for k in range(len(own))], [Row(caption, own)]))
    if scenes is not None and _has_decoder(built):
        assert episodes[0].goal_frame is not None
        blocks.append(traversal_block(built, episodes[0].goal_frame, scenes))
    return blocks


def outcome_block(built: Built, episodes: Sequence[Episode]) -> Block:
    """A column per episode: its goal and its last frame, each with its reconstruction where there is a decoder."""
    learner = built.learner
    encoders = learner.encoders
    assert encoders is not None  # goals that are images are for an encoder
    last = [len(episode.solved) - 1 for episode in episodes]
    with learner.evaluating():
        goals = learner.seen(learner.stacked(torch.from_numpy(_goal_frames(episodes)).to(learner.device)))
        ends = torch.cat(
            [
                shown(learner, episode.frames, [end])
                for episode, end in zip(episodes, last, strict=True)
                if episode.frames is not None
            ]
        )
        shape = tuple(goals.shape[1:])
        decoded = [decode(learner, encoders.critic(stacks), shape) for stacks in (goals, ends)]
    height, width = shape[-2:]
    found = [
        Row(f"goal image, as the\nencoder sees it\n{height} x {width} pixels", _newest(goals)),
        Row("its reconstruction", decoded[0]) if decoded[0] is not None else None,
        Row(
            "last frame, and how\nfar from the goal\n(green: solved)",
            _newest(ends),
            notes=[cm(episode.distance_m[-1]) for episode in episodes],
            marked=[bool(episode.solved[-1]) for episode in episodes],
        ),
        Row("its reconstruction", decoded[1]) if decoded[1] is not None else None,
    ]
    return Block(
        heading=f"goals of its first {len(episodes)} episodes that began unsolved, and where they end",
        columns=[f"episode {number}" for number in range(1, len(episodes) + 1)],
        rows=[row for row in found if row is not None],
    )


def _goal_frames(episodes: Sequence[Episode]) -> NDArray[np.uint8]:
    return np.stack([episode.goal_frame for episode in episodes if episode.goal_frame is not None])


def _newest(stacks: torch.Tensor) -> NDArray[np.uint8]:
    newest: NDArray[np.uint8] = stacks[:, -1].cpu().numpy()
    return newest


def traversal_block(built: Built, goal_frame: NDArray[np.uint8], scenes: Scenes) -> Block:
    """A row per feature, the most active first: a goal image's features with that one moved, decoded.

    Args:
        built: A method with a decoder.
        goal_frame: ``uint8 (3, H, W)``.
        scenes: Over which a feature varies by its standard deviation.
    """
    learner = built.learner
    encoders = learner.encoders
    assert encoders is not None
    deviation = embed(learner, encoders.critic, scenes.frames).std(axis=0)  # (dim,)
    active = np.argsort(-deviation, kind="stable")[:TRAVERSED]
    rows = []
    with learner.evaluating():
        stack = learner.seen(learner.stacked(torch.from_numpy(goal_frame[None]).to(learner.device)))
        goal = encoders.critic(stack)
        for feature in active.tolist():
            z = goal.repeat(len(DEVIATIONS), 1)
            z[:, feature] += torch.tensor(DEVIATIONS, device=z.device) * float(deviation[feature])
            decoded = decode(learner, z, tuple(stack.shape[1:]))
            assert decoded is not None
            caption = f"feature {feature}\nstd {deviation[feature]:.2f}"
            rows.append(Row(caption, decoded))
    return Block(
        heading=(
            f"the {len(active)} most active of {len(deviation)} features, one at a time around episode 1's goal image, decoded "
            f"(std: over {len(scenes.frames)} random scenes)"
        ),
        columns=["goal image" if k == 0 else f"{k:+d} std" for k in DEVIATIONS],
        rows=rows,
    )


# -- goals of its own -------------------------------------------------------------------------------------------------


class ReplayReadError(Exception):
    """A goal space wants what its run has seen, which is not at hand."""


class NothingSeen:
    """Stands in for the replay, which is not kept once a run is over: empty, and not to be read.

    Args:
        horizon: Steps per episode.
        device: The networks'.
    """

    added = transitions = 0

    def __init__(self, horizon: int, device: torch.device) -> None:
        self.horizon, self.device = horizon, device

    def __len__(self) -> int:
        return 0

    def __getattr__(self, name: str) -> object:
        raise ReplayReadError(name)


def pursued(trained: Trained, episodes: Sequence[Episode]) -> NDArray[np.uint8] | None:
    """Images of goals that the method sets itself.

    Args:
        trained: The run.
        episodes: Whose goals are what the task asks.

    Returns:
        ``uint8 (N, 3, H, W)``; ``None`` where its goals are taken from what it has seen, or are the task's own.
    """
    built, request = trained.built, trained.request
    if built.cached:  # images are embeddings then
        return None
    device, seen = built.learner.device, NothingSeen(get_task(request.task).horizon, built.learner.device)
    desired = torch.from_numpy(np.stack([episode.desired for episode in episodes])).float().to(device)
    images = torch.from_numpy(_goal_frames(episodes)).to(device)
    generator = torch.Generator().manual_seed(stream_seed(request.task, request.seed, "goals"))
    draws = torch.rand(len(episodes), max(1, built.goal_draws), generator=generator).to(device)
    try:
        found = built.goals.sample_exploration(seen, Pursued(desired, images), draws).frames
    except ReplayReadError:
        return None
    if found is None or torch.equal(found, images):
        return None
    frames: NDArray[np.uint8] = found.cpu().numpy()
    return frames


# -- distances --------------------------------------------------------------------------------------------------------


def distance_plot(title: str, task: Task, pairs: Pairs) -> bytes:
    """The method's distance of pairs of scenes over the true one; returns a PNG file's content.

    Args:
        title: Of the run.
        task: Tells what the true distance is of, and within which a goal is met.
        pairs: The scenes, two by two.
    """
    # Not pyplot: nothing global, no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [("objects along the table" if task.has_object else "grippers", pairs.achieved_m, True)]
    if task.has_object:
        panels.append(("grippers", pairs.gripper_m, False))
    width, height = max(6.4, len(panels) * (PANEL_IN + 0.6)), PANEL_IN + 1.0
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}\ndistance between images, of {len(pairs.own):,} pairs of random scenes", size=10.5)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for k, (what, true_m, threshold) in enumerate(panels):
        correlation = rank_correlation(pairs.own, true_m)
        said = "no rank correlation: all are alike" if correlation is None else f"Spearman's rank correlation {correlation:.2f}"
        axes[k].set_title(f"{what}: {said}", size=10)
        axes[k].scatter(100 * true_m, pairs.own, s=9, alpha=0.25, linewidths=0, rasterized=True)
        if threshold:
            axes[k].axvline(100 * task.threshold, color="#1a9850", linestyle="--", linewidth=1)
            label = f" solved within {100 * task.threshold:.0f} cm"
            axes[k].text(100 * task.threshold, 0.99, label, transform=axes[k].get_xaxis_transform(), va="top", size=8.5)
        axes[k].set_xlabel(f"true distance of the {what}, cm")
        axes[k].set_xlim(left=0)
        axes[k].set_ylim(bottom=0)
    axes[0].set_ylabel(f"the method's own distance ({pairs.metric})")
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
