"""Pictures of a run: a contact sheet of what its encoder sees beside what a person sees, and a video of the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fetchbench.environment.tasks import get_task
from fetchbench.errors import one_line
from fetchbench.learner.build import Built
from fetchbench.records.store import storage_errors, write_atomically
from fetchbench.run.contact_sheet import Block, Row, cm, contact_sheet
from fetchbench.run.film import Episode, shoot
from fetchbench.run.goal_distance import measure
from fetchbench.run.goal_pictures import OUTCOMES, distance_plot, goal_blocks, scenes_of
from fetchbench.run.look import Look, look, shown
from fetchbench.run.trained import Trained, build_run, restore

MOMENTS = 8
"""Columns of the contact sheet."""

FILMED = 2
"""Episodes that are shown from beginning to end."""

STEP_S = 0.04
"""Seconds of simulated time per step."""

DRAWN_FROM_STEPS = 1000
"""A run of this budget or more draws its own pictures when it is finished; shorter ones are tries."""


@dataclass(frozen=True)
class Pictures:
    """What was drawn.

    Attributes:
        contact_sheet: A PNG file.
        video: An MP4 file (H.264), in real time.
        lines: What they show, a line per episode.
        goal_distance: A PNG file, of a method with a distance between images; ``None`` of others.
    """

    contact_sheet: Path
    video: Path
    lines: tuple[str, ...]
    goal_distance: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        found = (self.contact_sheet, self.video, self.goal_distance)
        return tuple(path for path in found if path is not None)


def draw(folder: Path, plugins: Sequence[Path] = ()) -> Pictures:
    """Draw a run as far as its last checkpoint: ``pictures/contact-sheet.png`` and ``pictures/rollout.mp4`` in its folder.

    Of a method that has a distance between images, also ``pictures/goal-distance.png``: that distance beside the true one.

    Args:
        folder: The run's.
        plugins: Plugin files that it needs, beside those that are found.

    Raises:
        FetchbenchError: There is no checkpoint, a plugin is missing or changed, or nothing can be drawn here.
    """
    return draw_trained(folder, restore(folder, *build_run(folder, plugins)))


def draw_trained(folder: Path, trained: Trained) -> Pictures:
    """Draw a run whose networks are at hand; else like :func:`draw`."""
    built = trained.built
    pursued = shoot(trained, FILMED, OUTCOMES - FILMED if built.goal_images else 0)
    episodes = pursued[:FILMED]
    scenes = scenes_of(trained)
    pairs = None if scenes is None else measure(built, scenes)
    pictures = folder / "pictures"
    made = Pictures(
        contact_sheet=pictures / "contact-sheet.png",
        video=pictures / "rollout.mp4",
        lines=tuple(map(outcome, episodes)),
        goal_distance=None if pairs is None else pictures / "goal-distance.png",
    )
    horizon = len(episodes[0].solved) - 1
    moments = np.linspace(0, horizon, MOMENTS).round().astype(int).tolist()
    blocks = [
        Block(
            heading=f"episode {number}: {line}",
            columns=[f"step {moment} ({moment * STEP_S:.2f} s)" for moment in moments],
            rows=rows(episode, moments, None if episode.frames is None else look(built, episode.frames, moments)),
        )
        for number, (episode, line) in enumerate(zip(episodes, made.lines, strict=True), 1)
    ]
    if built.goal_images:
        blocks += goal_blocks(trained, pursued, scenes)
    title, subtitle = titles(trained)
    write_atomically(made.contact_sheet, contact_sheet(title, subtitle, blocks))
    write_video(made.video, (frame for episode in episodes for frame in film(built, episode)))
    if made.goal_distance is not None and pairs is not None:
        write_atomically(made.goal_distance, distance_plot(title, get_task(trained.request.task), pairs))
    return made


def draw_finished(folder: Path, trained: Trained) -> str:
    """What a finished run does by itself: draws, if it was long enough.

    Returns:
        Why there are no pictures, for the run's metrics; empty if there are, or if none are wanted. Its record stands either
        way, so nothing is raised.
    """
    if trained.request.budget.steps < DRAWN_FROM_STEPS:
        return ""
    try:
        draw_trained(folder, trained)
    except Exception as error:
        again = f"`fetchbench show {folder}` (with the same --plugin) tries again"
        return f"no pictures: {type(error).__name__}: {one_line(error)}; {again}"
    return ""


def outcome(episode: Episode) -> str:
    """``solved, 1.2 cm from the goal``, at the last step."""
    return f"{'solved' if episode.solved[-1] else 'not solved'}, {cm(episode.distance_m[-1])} from the goal"


def titles(trained: Trained) -> tuple[str, str]:
    """What the sheet is of, and how good that is."""
    request, points = trained.request, trained.evaluations
    steps = f"step {trained.steps:,} of {request.budget.steps:,}"
    title = f"{request.task} · {request.method.name} · seed {request.seed}"
    if trained.score is not None:
        score = f"score {trained.score:.2f} (success, mean of the last {min(len(points), request.evaluation.last)} evaluations)"
    elif points:
        score = f"success {points[-1].success:.2f} in the last evaluation, at step {points[-1].steps:,}"
    else:
        return title, f"{steps} · not evaluated yet · below: two evaluation episodes"
    return title, f"{steps} · {score} · below: its first two episodes that began unsolved"


# -- the contact sheet's rows -----------------------------------------------------------------------------------------


def rows(episode: Episode, moments: Sequence[int], seen: Look | None) -> list[Row]:
    """The rows of one episode.

    Args:
        episode: One that was watched.
        moments: K states of it.
        seen: What the encoder made of them; ``None`` without one.
    """
    assert episode.views is not None
    found = [
        Row(
            caption="rollout, as a person\nmay see it: goal marker\nshown, green if solved",
            frames=episode.views[moments],
            smooth=True,
            notes=[cm(episode.distance_m[moment]) for moment in moments],
            marked=[bool(episode.solved[moment]) for moment in moments],
        )
    ]
    return found if seen is None else found + _encoder_rows(seen)


def _encoder_rows(seen: Look) -> list[Row]:
    height, width = seen.frames.shape[2:]
    newest = f"\nnewest of {seen.stack} frames" if seen.stack > 1 else ""
    found = [Row(f"what the encoder sees\n{height} x {width} pixels{newest}", seen.frames)]
    if seen.points is not None:
        found.append(Row(f"where its {seen.channels} channels\npoint, a colour each", seen.frames, points=seen.points))
    if seen.activation is not None:
        size = " x ".join(map(str, seen.activation.shape[1:]))
        caption = f"mean of its {seen.channels}\nfeature maps, {size}\n(bright is high)"
        found.append(Row(caption, seen.frames, heat=seen.activation))
    if seen.reconstruction is not None:
        found.append(Row("what the auxiliary\nloss's decoder makes\nof its features", seen.reconstruction))
    return found


# -- the video --------------------------------------------------------------------------------------------------------


def film(built: Built, episode: Episode) -> Iterator[NDArray[np.uint8]]:
    """The video's frames, ``uint8 (S, W, 3)``: a person's view and, where there is an encoder, what it sees beside it."""
    assert episode.views is not None
    panels = [episode.views]
    if episode.frames is not None:
        states = range(len(episode.frames))
        seen = shown(built.learner, episode.frames, states)[:, -1].cpu().numpy()
        panels.append(enlarged(seen, episode.views.shape[2]))
    height = max(even(panel.shape[2]) for panel in panels)
    padded = [_padded(panel, height) for panel in panels]
    for state in zip(*padded, strict=True):
        yield np.concatenate(state, axis=2).transpose(1, 2, 0)


def enlarged(frames: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """``(N, 3, H, W)`` by the whole number of times that comes closest to a size, so that every pixel is a square."""
    times = max(1, round(size / frames.shape[2]))
    return frames.repeat(times, axis=2).repeat(times, axis=3)


def even(length: int) -> int:
    """What H.264's halved colour needs."""
    return length + length % 2


def _padded(frames: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """``(N, 3, H, W)`` with black around it, to a height and an even width."""
    rows, columns = height - frames.shape[2], even(frames.shape[3]) - frames.shape[3]
    return np.pad(frames, ((0, 0), (0, 0), (rows // 2, rows - rows // 2), (0, columns)))


def write_video(path: Path, frames: Iterator[NDArray[np.uint8]]) -> None:
    """Write ``uint8 (H, W, 3)`` frames of even sides as H.264, in real time."""
    import imageio_ffmpeg

    first = next(frames)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    with storage_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            height, width = first.shape[:2]
            writer = imageio_ffmpeg.write_frames(
                str(temporary), (width, height), fps=1 / STEP_S, codec="libx264", quality=8, macro_block_size=2
            )
            writer.send(None)
            for frame in (first, *frames):
                writer.send(np.ascontiguousarray(frame))
            writer.close()
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
