"""The live table on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from leaderboard.factory import make_record
from rich.console import Console

from fetchbench.cli.progress import STOPPING, Lines, display, overview
from fetchbench.execution import Job, Progress


@pytest.fixture
def running(tmp_path):
    job = Job(make_record("nature").request, tmp_path)
    return Progress(job, "running", steps=600, steps_per_s=12.34, success=0.5, seconds_left=300.0, resumed_at=0)


def drawn(runs, height: int = 40) -> list[list[str]]:
    screen = Console(file=io.StringIO(), width=120, height=height)
    screen.print(overview(runs, screen))
    return [line.split() for line in screen.file.getvalue().splitlines() if line.split()]  # type: ignore[attr-defined]


def test_each_run_has_a_row(running):
    finished = replace(running, state="done", steps=2000, score=0.8)
    lines = drawn([running, finished, Progress(running.job, "waiting"), Progress(running.job, "running")])
    name = ["nature", "FetchReach-v4", "0"]
    assert lines[2:] == [
        [*name, "600/2,000", "12.3", "0.50", "5", "min", "running"],
        [*name, "2,000/2,000", "0.50", "done,", "score", "0.80"],
        [*name, "0/2,000", "-", "waiting"],
        [*name, "0/2,000", "-", "-", "-", "starting"],
        ["4", "runs:", "2", "running,", "1", "done,", "1", "waiting"],
    ]


def test_a_low_terminal_keeps_the_runs_at_work(running):
    waiting = Progress(running.job, "waiting")
    lines = drawn([*[replace(running, state="done")] * 20, running, *[waiting] * 20], height=12)
    states = [line[-1] for line in lines[2:-1]]
    assert (states[0], len(states)) == ("running", 6)
    assert lines[-1] == ["41", "runs:", "20", "done,", "1", "running,", "20", "waiting"]


def test_an_interrupt_is_explained(running):
    assert drawn([replace(running, state="stopping")])[-1] == STOPPING.split()


def test_a_terminal_gets_the_table_and_keeps_nothing_of_it(running, monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, width=120, height=40, color_system=None)
    monkeypatch.setattr("fetchbench.cli.progress.console", lambda stderr: screen)
    with display() as watch:
        watch([running])
        assert "600/2,000" in screen.file.getvalue()  # type: ignore[attr-defined]
    assert screen.file.getvalue().endswith("\x1b[2K")  # type: ignore[attr-defined]


def test_lines_tell_a_resumed_run_and_its_notice(running, capsys):
    lines = Lines()
    lines([replace(running, resumed_at=None)])
    lines([replace(running, resumed_at=500, message="the checkpoint is old")])
    lines([replace(running, resumed_at=500, evaluations=((600, 0.5),))])
    lines([replace(running, resumed_at=500, evaluations=((600, 0.5),))])
    lines([replace(running, state="stopped", resumed_at=500, evaluations=((600, 0.5),))])
    assert capsys.readouterr().err.splitlines() == [
        "nature FetchReach-v4 seed 0: goes on from step 500 (the checkpoint is old)",
        "nature FetchReach-v4 seed 0: step 600/2,000, success 0.50, 12.3 steps/s, 5 min left",
        "nature FetchReach-v4 seed 0: stopped at step 600",
    ]


def test_lines_tell_what_another_command_is_at_and_when_it_is_taken_over(running, capsys):
    lines, held = Lines(), replace(running, state="elsewhere", resumed_at=None)
    for run in (held, held, running, replace(running, state="done", score=0.8)):
        lines([run])
    assert capsys.readouterr().err.splitlines() == [
        "nature FetchReach-v4 seed 0: left to the command that is at it",
        "nature FetchReach-v4 seed 0: started",
        "nature FetchReach-v4 seed 0: done, score 0.80",
    ]


def test_lines_tell_each_try(running, capsys):
    lines, again = (
        Lines(),
        replace(running, state="waiting", resumed_at=None, message="to be tried again (1 of 2): killed by SIGKILL"),
    )
    evaluated = replace(running, evaluations=((600, 0.5),))
    for run in (evaluated, again, again, evaluated, again, running):
        lines([run])
    told = [line.removeprefix("nature FetchReach-v4 seed 0: ") for line in capsys.readouterr().err.splitlines()]
    step = "step 600/2,000, success 0.50, 12.3 steps/s, 5 min left"
    assert told == ["started", step, again.message, "started", step, again.message, "started"]
