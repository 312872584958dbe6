"""Small runs, as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fetchbench.protocol import Budget, Evaluation, LearnerSettings, Scene
from fetchbench.records.schema import Component, Method, Record, RunRequest
from fetchbench.records.store import read_lines, read_record
from fetchbench.registry import Registry
from fetchbench.run.plugins import load_plugins
from fetchbench.specs import PixelSpec

SMALL = {
    "learner": LearnerSettings(warmup_steps=100, batch_size=16, hidden=(32,), updates_per_step=0.5),
    "budget": Budget(steps=400, checkpoint_every_steps=100),
    "evaluation": Evaluation(every_steps=200, episodes=2, last=2),
}
TINY = {**SMALL, "budget": Budget(steps=200, checkpoint_every_steps=100)}


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_plugins()


def make_request(
    registry: Registry, encoder: str | None = "manipulation", routing: str = "critic", track: str | None = None, **fields: Any
) -> RunRequest:
    """A run of a few seconds on FetchReach; without an encoder on the track ``blind``."""
    method = Method(
        name=encoder or "blind",
        track=track or ("pixels-only" if encoder else "blind"),
        pixels=PixelSpec(size=16, stack=2) if encoder else None,
        encoder=registry.resolve("encoder", Component(name=encoder)) if encoder else None,
        routing=registry.resolve("gradient-routing", Component(name=routing)) if encoder else None,
        goal_space=registry.resolve("goal-space", Component(name="vector")),
    )
    settings: dict[str, Any] = {
        "suite": "test",
        "task": "FetchReach-v4",
        "seed": 0,
        "scene": Scene(),
        "pixel_track": "pixels-only",
        "method": method,
        "key": "k" * 64,
        **SMALL,
        **fields,
    }
    return RunRequest(**settings)


class RunFolder:
    """A run's folder and the processes that work on it."""

    def __init__(self, folder: Path, request: RunRequest, plugins: Sequence[Path] = ()) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "request.json").write_text(request.model_dump_json(indent=1))
        self.command = [sys.executable, "-m", "fetchbench.run", str(folder)]
        for plugin in plugins:
            self.command += ["--plugin", str(plugin)]

    def start(self, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True, start_new_session=True, **options)

    def finish(self, code: int = 0, **options: Any) -> str:
        """Run to the end; returns what was written to stderr."""
        process = self.start(**options)
        error = process.communicate(timeout=240)[1]
        assert process.returncode == code, error
        return error

    def stop_when(self, condition: Callable[[], bool], number: int) -> int:
        """Start, send a signal as soon as the condition holds; returns the exit code."""
        process = self.start()
        deadline = time.monotonic() + 120
        while not condition():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, number)
        process.communicate(timeout=120)
        return process.returncode

    def lines(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in read_lines(self.folder / "metrics.jsonl") if line["kind"] == kind]

    def has_checkpoint(self) -> bool:
        return (self.folder / "checkpoint" / "manifest.json").exists()

    @property
    def record(self) -> Record:
        return read_record(self.folder / "record.json")


@pytest.fixture
def run_folder(tmp_path) -> Callable[..., RunFolder]:
    """``run_folder(request, name="run", plugins=())``."""

    def make(request: RunRequest, name: str = "run", plugins: Sequence[Path] = ()) -> RunFolder:
        return RunFolder(tmp_path / name, request, plugins)

    return make
