"""Runs that end by their own fault, and runs that cannot begin."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fetchbench.run.plugins import load_plugins

from .conftest import TINY, RunFolder, make_request

PLUGIN = """
import torch
from torch import nn
from fetchbench import EncoderSpec, hookimpl

class Odd(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.net = nn.Linear(shape.frames * 3 * shape.height * shape.width, 4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, frames):
        z = self.net(frames.flatten(1).float() / 255)
        {odd}
        return z

@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(name="odd", build=Odd)
"""


def odd_run(tmp_path: Path, odd: str, routing: str = "critic") -> RunFolder:
    """A run whose encoder does something odd."""
    plugin = tmp_path / "odd.py"
    plugin.write_text(PLUGIN.format(odd=odd))
    request = make_request(load_plugins([plugin]), "odd", routing, **TINY)
    return RunFolder(tmp_path / "run", request, [plugin])


def test_a_diverged_run_is_recorded_and_scores_0(tmp_path):
    run = odd_run(tmp_path, "z = z / (z.shape[0] != 16)  # infinite in a batch, finite when acting")
    run.finish()
    result = run.record.result
    assert (result.status, result.score) == ("diverged", 0.0)
    assert re.search(r"(loss|gradient .*) is (nan|inf) after \d+ updates", result.reason)
    assert result.updates == 1  # noticed in the first update's audit


def test_a_frozen_encoder_that_moves_fails_its_run(tmp_path):
    run = odd_run(tmp_path, "self.calls += 1", routing="frozen")
    run.finish()
    result = run.record.result
    assert (result.status, result.score) == ("failed", None)
    assert result.reason == "the encoder is frozen, but calls changed during the run"


def test_a_plugin_that_raises_in_the_middle_leaves_its_traceback_in_the_log_and_one_line_behind_it(tmp_path):
    error = odd_run(tmp_path, "assert z.shape[0] != 16, 'no batches, please'").finish(code=2)
    assert "odd.py" in error
    assert error.splitlines()[-1].startswith("error: run: AssertionError: no batches, please")


def test_a_changed_plugin_is_refused(tmp_path):
    run = odd_run(tmp_path, "pass")
    plugin = tmp_path / "odd.py"
    plugin.write_text(plugin.read_text() + "# another version\n")
    error = run.finish(code=2)
    assert "changed after this run was requested" in error
    assert error.count("\n") == 1
    assert not (run.folder / "record.json").exists()


def test_a_wrong_shape_is_one_line(tmp_path):
    error = odd_run(tmp_path, "z = z[:, :, None]").finish(code=2)
    assert error.startswith("error: encoder 'odd' returns shape (2, 4, 1)")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not a valid request"), ('{"format": 1}', "not a valid request (suite: Field required)")],
)
def test_a_damaged_request(tmp_path, registry, text, message):
    run = RunFolder(tmp_path / "run", make_request(registry, None))
    (run.folder / "request.json").write_text(text)
    error = run.finish(code=2)
    assert message in error
    assert "Traceback" not in error


def test_no_usable_opengl_records_nothing(tmp_path, registry, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    run = RunFolder(tmp_path / "run", make_request(registry))
    error = run.finish(code=2)
    assert "no usable OpenGL" in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not (run.folder / "record.json").exists()
