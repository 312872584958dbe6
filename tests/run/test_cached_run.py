"""A run whose replay holds embeddings: the same result however often it is killed, and a policy that acts from frames."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from fetchbench import load_policy
from fetchbench.records.schema import RunRequest
from fetchbench.run.plugins import load_plugins

from .conftest import RunFolder, make_request

PLUGIN = '''
"""A frozen linear map of single frames."""
from torch import nn
from fetchbench import EncoderSpec, hookimpl

class Single(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.net = nn.Linear(3 * shape.height * shape.width, 6)

    def forward(self, frames):
        return self.net(frames.flatten(1).float() / 255)

@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(name="single", build=Single, input="frame")
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "single.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(scope="module")
def request_(file) -> RunRequest:
    return make_request(load_plugins([file]), "single", "frozen")


@pytest.fixture(scope="module")
def whole(request_, file, tmp_path_factory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("whole"), request_, [file])
    run.finish()
    return run


def test_the_record_says_what_was_kept(whole):
    record = whole.record
    assert record.cost.frames_as == "embeddings"
    assert record.result.feature_dim == 12
    assert record.result.status == "done"
    # 51 states of 6 float32 numbers for each 50 transitions, beside vectors and actions.
    assert record.cost.replay_mb < 400 * 200 / 2**20


def test_it_goes_on_from_a_checkpoint_of_embeddings(whole, request_, file, run_folder):
    parts = run_folder(request_, plugins=[file])
    parts.stop_when(parts.has_checkpoint, signal.SIGKILL)
    parts.finish()
    assert parts.record.result.model_dump_json() == whole.record.result.model_dump_json()


def test_its_policy_acts_from_frames(whole, file):
    policy = load_policy(whole.folder, [file])
    policy.reset()
    frame = np.zeros((3, 16, 16), np.uint8)
    action = policy(np.zeros(10), np.zeros(3), np.array([1.3, 0.75, 0.5]), frame)
    assert action.shape == (4,)
    assert np.isfinite(action).all()
