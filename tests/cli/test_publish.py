"""``fetchbench publish``."""

from __future__ import annotations

import pytest
from leaderboard.factory import stand_in_figure


@pytest.fixture(autouse=True)
def _quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetchbench.leaderboard.drawing.draw", stand_in_figure)


def test_publishing_and_checking(fetchbench, children, workspace):
    children()
    assert fetchbench("run", "small", "--method", "nature").code == 0
    answer = fetchbench("publish", "small")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "small: 2 new, 0 replaced, 0 unchanged; 2 not finished (`fetchbench run small` goes on)",
        "leaderboard/README.md: written, 2 records",
        "leaderboard/figures: 3 drawn, 0 unchanged",
    ]
    assert (workspace / "leaderboard" / "records" / "small" / "nature" / "FetchReach-v4" / "seed1.json").exists()
    assert fetchbench("publish").out.splitlines()[-2:] == [
        "leaderboard/README.md: unchanged, 2 records",
        "leaderboard/figures: 0 drawn, 3 unchanged",
    ]
    answer = fetchbench("publish", "--check")
    assert (answer.code, answer.out) == (0, "leaderboard/README.md, CHANGES.md and the figures are what the records give\n")


def test_a_page_that_was_edited_is_found(fetchbench, children, workspace):
    children()
    fetchbench("run", "small", "--method", "nature")
    fetchbench("publish")
    page = workspace / "leaderboard" / "README.md"
    page.write_text(page.read_text().replace("nature", "mature", 1))
    answer = fetchbench("publish", "--check")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: leaderboard/README.md, line ")


def test_a_broken_suite_is_told_and_stops_nothing(fetchbench, children, workspace):
    children()
    fetchbench("run", "small", "--method", "nature")
    (workspace / "suites" / "broken.toml").write_text("title = 3")
    answer = fetchbench("publish", "small")
    assert answer.code == 0
    assert answer.err.startswith("warning: suite 'broken' is left out, ")
    assert answer.err.count("\n") == 1


def test_nothing_to_publish(fetchbench):
    answer = fetchbench("publish", "small")
    assert answer.code == 2
    assert answer.err.startswith("error: nothing to publish for suite 'small'")
    assert fetchbench("publish").err.startswith("error: nothing to publish: no run in runs is finished")
