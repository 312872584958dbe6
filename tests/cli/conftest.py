"""A workspace with a small suite, and the command line as a user meets it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from execution.stand_in import COMMAND, set_mode
from leaderboard.factory import make_record

from fetchbench import execution
from fetchbench.__main__ import run
from fetchbench.execution import Job, Outcome, Progress

SUITE = """
title = "A [bold]small[/bold] suite"
tasks = ["FetchReach-v4"]
track = "pixels-only"
seeds = [0, 1]

[pixels]
preset = "reach-cpu"

[learner]
preset = "reach-cpu"
warmup_steps = 50
batch_size = 8
hidden = [8]

[budget]
steps = 100
checkpoint_every_steps = 50

[evaluation]
every_steps = 100
episodes = 1
last = 1

[template]
encoder = "manipulation"
routing = "critic"

[methods.nature]
encoder = "nature"

[methods.blind]
track = "blind"
"""

PLUGIN = '''
"""An encoder for tests."""
import torch
from torch import Tensor, nn
from fetchbench import EncoderSpec, FrameShape, hookimpl

class Mean(nn.Module):
    def __init__(self, shape: FrameShape, dim: int = 8):
        super().__init__()
        print("built")
        self.projection = nn.Linear(shape.channels, dim)

    def forward(self, frames: Tensor) -> Tensor:
        return self.projection(frames.float().mean(dim=(1, 3, 4)) / 255){wrong}

@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(name="mean-colour", build=Mean, summary="[red]mean[/red] colour")
'''


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the suite ``small`` in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FETCHBENCH_DEBUG", raising=False)
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "small.toml").write_text(SUITE)
    return tmp_path


@pytest.fixture
def plugin(workspace: Path) -> Callable[..., str]:
    """Writes a plugin file and returns its name; by default that of a sound encoder."""

    def write(text: str = PLUGIN.format(wrong=""), name: str = "mine.py") -> str:
        (workspace / name).write_text(text)
        return name

    return write


@pytest.fixture
def fetchbench(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """``fetchbench("run", "small")``: the command's exit code and output."""

    def call(*arguments: str) -> Answer:
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Answer(code, out, err)

    return call


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """``children({"nature 0": "crash"})``: runs have stand-ins for children, which finish unless a mode says otherwise.

    Returns the list of those that were executed, which fills as they are.
    """
    real = execution.execute

    def arrange(modes: Mapping[str, str] | None = None, interrupts: int = 0) -> list[str]:
        executed: list[str] = []
        left = [signal.SIGINT] * interrupts

        def execute(jobs: Sequence[Job], *, watch: Callable[[Sequence[Progress]], None], **options: Any) -> list[Outcome]:
            def watch_and_interrupt(runs: Sequence[Progress]) -> None:
                watch(runs)
                at_work = [run for run in runs if run.state in ("running", "stopping")]
                # Each has begun, so that each takes the signal as a run does.
                if left and at_work and all(run.success is not None for run in at_work):
                    os.kill(os.getpid(), left.pop())

            for job in jobs:
                name = f"{job.request.method.name} {job.request.seed}"
                executed.append(name)
                finished = make_record(job.request.method, seed=job.request.seed).model_copy(update={"request": job.request})
                set_mode(job, (modes or {}).get(name, "done"), finished)
            return real(jobs, watch=watch_and_interrupt, command=COMMAND, poll_s=0.02, **options)

        monkeypatch.setattr(execution, "execute", execute)
        monkeypatch.setattr("fetchbench.environment.probe", lambda: {"backend": "none needed"})
        return executed

    return arrange
