"""Tables where rows differ in what they see or in what rewards them: the columns that say so, and the text beneath."""

from __future__ import annotations

from collections.abc import Sequence

from fetchbench.leaderboard.rows import Row
from fetchbench.protocol import TRACKS, Track


def left_out(rows: Sequence[Row]) -> set[str]:
    """Which of the columns ``track``, ``reward`` and ``rank corr.`` a table does without.

    With goal images, it has the first two. Without, the track is told where a row that is no anchor sees other than its suite's
    own track shows, and the reward where it is not the task's in every row. The rank correlation is there if any row has one.
    """
    shown = {
        "track": _has_goal_images(rows) or any(row.method.track != row.pixel_track for row in rows if not row.anchor),
        "reward": _has_goal_images(rows) or any(row.reward != "task" for row in rows),
        "rank corr.": any(row.rank_correlation is not None for row in rows),
    }
    return {name for name, has in shown.items() if not has}


def explanation(rows: Sequence[Row]) -> list[str]:
    """Markdown for under a suite's tables, a line per point: what the columns mean; empty where there are none of them."""
    points = []
    missing = left_out(rows)
    if "track" not in missing:
        shown = {row.pixel_track for row in rows} | {row.method.track for row in rows}
        seen = [f"`{track}`: {_sees(track, rows)}" for track in TRACKS if track in shown]
        points.append(f"*Track* is what the networks see. {'; '.join(seen)}.")
    if "reward" not in missing:
        points += [
            "*Reward* is where training's reward comes from. `task`: the task's own rule, from the achieved goal's true "
            "position; `latent`: a learned distance, and such rows never read the achieved goal in training.",
            _evaluation(rows),
            "Frames that a row is pretrained on count in its budget of environment steps.",
        ]
    if _has_goal_images(rows) and any(row.task.startswith("FetchReach") for row in rows):
        points.append("FetchReach goals below what the gripper can reach are drawn again, for every row alike.")
    if "rank corr." not in missing:
        points.append(
            "*Rank corr.* is Spearman's rank correlation, mean over seeds, between a row's own distance from an image to a "
            "goal image and the true distance of the achieved goals, over scenes with random poses: 1 orders them as the "
            "truth does, 0 says nothing of it. Rows without a distance of their own have none."
        )
    return ["**What the rows see and what rewards them**", "", *(f"- {point}" for point in points)] if points else []


def _has_goal_images(rows: Sequence[Row]) -> bool:
    return any(row.pixel_track == "image-goal" for row in rows)


def _sees(track: Track, rows: Sequence[Row]) -> str:
    if track == "image-goal":
        return f"{TRACKS[track]}, and no numbers"
    if track == "blind" and _has_goal_images(rows):
        return "a constant: what this learner scores without perception"
    return TRACKS[track]


def _evaluation(rows: Sequence[Row]) -> str:
    rule = "success is judged by the task's own distance, in metres"
    if _has_goal_images(rows):
        rule = f"the goal image is rendered by the environment, in a state that satisfies the goal, and {rule}"
    return f"Evaluation is in the task's own terms for every row: {rule}."
