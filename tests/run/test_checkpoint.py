"""Checkpoints on disks that fail: what is sound is never given up."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from fetchbench.errors import StorageError
from fetchbench.replay import EpisodeBatch, Replay
from fetchbench.run.checkpoint import Checkpoint, DamagedError

STEPS = 3


def new_replay() -> Replay:
    return Replay(capacity=8, horizon=STEPS, observation_dim=2, action_dim=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two checkpoints, of one episode and of two."""
    checkpoint, replay = Checkpoint(tmp_path), new_replay()
    for number in (1, 2):
        shapes = {"observation": (1, STEPS + 1, 2), "achieved": (1, STEPS + 1, 3), "desired": (1, 3), "action": (1, STEPS, 1)}
        arrays = {name: np.full(shape, number, np.float32) for name, shape in shapes.items()}
        replay.add(EpisodeBatch(frames=None, **arrays))
        checkpoint.save({"episodes": number}, replay, metrics_bytes=10 * number)
    return tmp_path


def load(folder: Path) -> tuple[int, int, str]:
    """Episodes of the state and of the replay, and the notice."""
    checkpoint, replay = Checkpoint(folder), new_replay()
    state, metrics_bytes = checkpoint.load(replay)
    assert metrics_bytes == 10 * state["episodes"]
    return state["episodes"], len(replay), checkpoint.notice


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", ["manifest.json", "state-00000002.pt", "replay-00000001-00000002.pt"])
def test_what_cannot_be_read_this_time_is_neither_damaged_nor_gone_back_from(folder, name):
    (folder / name).rename(folder / "aside")
    (folder / name).mkdir()  # as good as a network that is away: there, and not to be read
    before = files(folder)
    with pytest.raises(StorageError, match=rf"could not read .*{name}: Is a directory; the checkpoint stays") as caught:
        load(folder)
    assert not isinstance(caught.value, DamagedError)
    assert files(folder) == before
    (folder / name).rmdir()
    (folder / "aside").rename(folder / name)
    assert load(folder) == (2, 2, "")


@pytest.mark.parametrize("name", ["manifest.json", "state-00000002.pt", "replay-00000001-00000002.pt"])
def test_where_a_file_is_gone_the_one_before_is_taken(folder, name):
    (folder / name).unlink()
    assert Checkpoint(folder).exists
    episodes, held, notice = load(folder)
    assert (episodes, held) == (1, 1)
    assert f"{folder / name}: No such file or directory" in notice


def test_going_back_needs_no_space(folder, monkeypatch):
    (folder / "state-00000002.pt").write_bytes(b"")

    def full(path: Path, data: object) -> None:
        raise StorageError(f"could not write {path}: {os.strerror(errno.ENOSPC)}")

    monkeypatch.setattr("fetchbench.run.checkpoint.write_atomically", full)
    before = files(folder)
    for _ in range(2):  # and again, since nothing could be noted
        assert load(folder)[:2] == (1, 1)
    assert files(folder) == before


def test_nothing_is_left_of_a_checkpoint_that_was_cleared(folder):
    Checkpoint(folder).clear()
    assert list(folder.iterdir()) == []
    assert not Checkpoint(folder).exists
