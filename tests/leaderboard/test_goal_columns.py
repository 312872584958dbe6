"""Tables where rows differ in what they see or in what rewards them: columns and text that no other table has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fetchbench.leaderboard import console_table, goal_columns, rows
from fetchbench.leaderboard.board import board
from fetchbench.records.schema import Component, GoalDistance, Record
from fetchbench.specs import PixelSpec

from .factory import VERSION, make_method, make_record
from .test_board import golden_records, table_rows

GOLDEN = Path(__file__).with_name("golden_image_goal.md")
NEW = {"Track", "Reward", "Rank corr."}
TITLE = "**What the rows see and what rewards them**"


def distance(rank_correlation: float) -> GoalDistance:
    return GoalDistance(pairs=100, rank_correlation=rank_correlation, gripper_rank_correlation=0.5, metric="euclidean")


def image_goal_records() -> list[Record]:
    """Two tasks with goal images: rewards of both kinds, both anchors, distances of some seeds alone."""
    common: dict[str, Any] = {"suite": "image-goal-v1", "request": {"pixel_track": "image-goal"}}
    latent: dict[str, Any] = {"suite": "image-goal-v1", "request": {"pixel_track": "image-goal", "reward": "latent"}}
    sees = {"track": "image-goal", "pixels": PixelSpec(size=84)}
    learned = make_method(
        "learned",
        goal_space=Component(name="learned-distance", options={"power": -1.0}, **VERSION),
        auxiliary_loss=Component(name="vae", **VERSION),
        **sees,
    )
    features = make_method("features", goal_space=Component(name="goal-features", **VERSION), **sees)
    found = []
    for task, rates in (("FetchPush-v4", (0.1, 0.15, 0.1)), ("FetchReach-v4", (0.6, 0.7, 0.65))):
        for seed, rate in enumerate(rates):
            measured = (0.3, 0.25, None)[seed] if task == "FetchReach-v4" else None
            goal_distance = None if measured is None else distance(measured)
            found += [
                make_record(learned, seed, (0.0, 0.1, rate, rate), task=task, goal_distance=goal_distance, **latent),
                make_record(features, seed, (0.1, 0.5, rate + 0.2, rate + 0.2), task=task, **common),
                make_record(make_method("blind", track="blind"), seed, (0.0, 0.02, 0.02, 0.0), task=task, **common),
                make_record(make_method("state", track="state"), seed, (0.5, 1.0, 1.0, 1.0), task=task, **common),
            ]
    return found


def section(records: list[Record], suite: str) -> str:
    """A suite's own part of the page."""
    return "## " + board({suite: records}, {}).split("\n## ")[1]


def test_a_suite_with_goal_images_is_the_golden_file():
    """Read golden_image_goal.md as a visitor would; FETCHBENCH_WRITE_GOLDEN=1 writes it anew."""
    found = section(image_goal_records(), "image-goal-v1")
    if os.environ.get("FETCHBENCH_WRITE_GOLDEN"):
        GOLDEN.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8")


def reach(*records: Record) -> list[dict[str, str]]:
    return table_rows(board({"s": list(records)}, {}), "### FetchReach-v4")


def test_other_tables_have_neither_columns_nor_text():
    """An anchor sees something else in every suite, and says so in its name."""
    records = [r for of_suite in golden_records().values() for r in of_suite]
    assert not any(NEW & row.keys() for row in table_rows(section(records, "s"), "### FetchReach-v4"))
    assert TITLE not in section(records, "s")


def test_with_goal_images_every_row_tells_its_track_and_reward():
    request = {"pixel_track": "image-goal"}
    learned = make_method("learned", track="image-goal")
    found = reach(
        make_record(learned, request=request), make_record(make_method("state", track="state"), seed=1, request=request)
    )
    assert [(row["Track"], row["Reward"]) for row in found] == [("image-goal", "task"), ("state", "task")]
    assert all("Rank corr." not in row for row in found)


def test_a_row_that_sees_other_than_its_suite_is_marked_and_so_are_all_beside_it():
    found = reach(make_record("usual"), make_record(make_method("more", track="pixels")))
    assert {row["Method"].split("<br>")[0]: row["Track"] for row in found} == {"**usual**": "pixels-only", "**more**": "pixels"}
    assert all("Reward" not in row for row in found)


def test_a_learned_reward_is_told_on_every_track():
    found = reach(make_record("usual"), make_record("learned", request={"reward": "latent"}))
    assert {row["Method"].split("<br>")[0]: row["Reward"] for row in found} == {"**usual**": "task", "**learned**": "latent"}
    assert all("Track" not in row for row in found)


def test_columns_belong_to_one_task_and_the_text_to_the_suite():
    page = section([make_record("a", task="FetchPush-v4"), make_record("b", request={"reward": "latent"})], "s")
    assert "Reward" not in table_rows(page, "### FetchPush-v4")[0]
    assert table_rows(page, "### FetchReach-v4")[0]["Reward"] == "latent"
    assert page.count(TITLE) == 1
    assert page.index("### FetchReach-v4") < page.index(TITLE) < page.index("**What each row is**")


def test_the_rank_correlation_is_the_mean_of_the_seeds_that_have_one():
    measured = [make_record("a", s, goal_distance=distance(c)) for s, c in enumerate((0.5, 0.25))]
    row, other = reach(*measured, make_record("a", 2), make_record("b"))
    assert (row["Rank corr."], other["Rank corr."]) == ("0.38", "-")
    found, _ = rows([*measured, make_record("a", 2), make_record("b")])
    assert found.rank_correlation == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("tasks", "request_", "has", "lacks"),
    [
        (
            ["FetchReach-v4"],
            {"pixel_track": "image-goal"},
            ["count in its budget", "rendered by the environment", "drawn again", "`image-goal`: frames and a goal image"],
            ["Rank corr.", "`state`:", "`pixels-only`:"],
        ),
        (["FetchPush-v4"], {"pixel_track": "image-goal"}, ["never read the achieved goal"], ["drawn again"]),
        (
            ["FetchReach-v4"],
            {"reward": "latent"},
            ["count in its budget", "never read the achieved goal", "by the task's own distance"],
            ["rendered by the environment", "drawn again", "*Track*"],
        ),
    ],
)
def test_the_text_says_what_holds_of_the_suite_alone(tasks, request_, has, lacks):
    track = request_.get("pixel_track", "pixels-only")
    method = make_method("learned", track=track)
    text = "\n".join(goal_columns.explanation(rows([make_record(method, task=task, request=request_) for task in tasks])))
    assert text.startswith(TITLE)
    assert not [phrase for phrase in has if phrase not in text]
    assert not [phrase for phrase in lacks if phrase in text]


def test_what_each_track_sees():
    """Without its frames, a suite of goal images shows nothing; any other shows the goal."""
    blind = make_method("blind", track="blind")
    images = {"pixel_track": "image-goal"}
    with_images = [make_record(make_method("a", track="image-goal"), request=images), make_record(blind, request=images)]
    without = [make_record(make_method("a", track="pixels")), make_record(blind)]
    assert "`blind`: a constant" in section(with_images, "s")
    assert "`blind`: what the suite's pixel track shows, without the frames" in section(without, "s")


# -- in a terminal ----------------------------------------------------------------------------------------------------


def printed(records: list[Record], width: int) -> str:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(console_table(rows(records)))
    return capture.get()


def test_the_same_columns_in_a_terminal():
    reach_alone = [r for r in image_goal_records() if r.request.task == "FetchReach-v4"]
    lines = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in printed(reach_alone, 200).splitlines()]
    header, *body = [line for line in lines if line and "─" not in line[0]]
    assert header[:5] == ["rank", "method", "track", "reward", "success"]
    assert "rank corr." in header
    assert {line[1]: (line[2], line[3], line[header.index("rank corr.")]) for line in body} == {
        "features": ("image-goal", "task", "-"),
        "learned": ("image-goal", "latent", "0.28"),
        "state (anchor)": ("state", "task", "-"),
        "blind (anchor)": ("blind", "task", "-"),
    }
    plain = printed([make_record()], 200)
    assert not any(name in plain for name in ("track", "reward", "rank corr."))


@pytest.mark.parametrize(("width", "spared"), [(60, {"status", "every seed"}), (80, {"status"}), (100, set()), (120, set())])
def test_a_narrow_terminal_keeps_track_and_reward_and_cuts_no_text(width, spared):
    reach_alone = [r for r in image_goal_records() if r.request.task == "FetchReach-v4"]
    text = printed(reach_alone, width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for whole in ("track", "reward", "image-goal", "latent", "learned", "state (anchor)", "0.85 [0.73, 0.97]"):
        assert whole in text
    assert {name for name in ("status", "every seed") if name not in text} == spared
    assert ("provisional" in text) == ("status" not in spared)
