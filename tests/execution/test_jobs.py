"""Run folders: what preparing writes and what it leaves alone."""

from __future__ import annotations

import builtins
import io

import pytest
from leaderboard.factory import make_record
from run.faulty import full_disk

from fetchbench.errors import StorageError
from fetchbench.execution import prepare
from fetchbench.records.schema import Execution, RunRequest
from fetchbench.suite import load_suite, write_index


@pytest.fixture
def request_():
    return make_record("nature").request


def on_disk(job) -> RunRequest:
    return RunRequest.model_validate_json((job.directory / "request.json").read_bytes())


def test_a_new_run_gets_a_folder_and_its_request(tmp_path, request_):
    (job,) = prepare(tmp_path, [request_])
    assert job.directory == tmp_path / "FetchReach-v4" / "nature" / f"seed0-{request_.key[:12]}"
    assert on_disk(job) == job.request == request_
    assert job.label == "nature FetchReach-v4 seed 0"


def test_a_request_of_the_same_run_is_kept_with_its_device_and_threads(tmp_path, request_):
    first = request_.model_copy(update={"execution": Execution(threads=4), "suite": "another"})
    prepare(tmp_path, [first])
    (job,) = prepare(tmp_path, [request_])
    assert job.request == on_disk(job) == first


@pytest.mark.parametrize("text", ["", "{", '{"format": 1}'])
def test_a_damaged_request_is_written_anew(tmp_path, request_, text):
    (job,) = prepare(tmp_path, [request_])
    (job.directory / "request.json").write_text(text)
    (job,) = prepare(tmp_path, [request_])
    assert on_disk(job) == request_


def test_nothing_is_written_beside_a_record(tmp_path, request_):
    (job,) = prepare(tmp_path, [request_])
    (job.directory / "request.json").write_text("{")
    (job.directory / "record.json").write_text("")
    (job,) = prepare(tmp_path, [request_])
    assert (job.directory / "request.json").read_text() == "{"
    assert job.request == request_


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path, request_):
    (tmp_path / "FetchReach-v4").write_text("a file")
    with pytest.raises(StorageError, match="could not"):
        prepare(tmp_path, [request_])


@pytest.fixture
def on_full_disk(tmp_path, monkeypatch):
    """The first file of a pattern no longer fits."""

    def fill(pattern: str) -> None:
        open_ = full_disk(pattern, 1, str(tmp_path))
        monkeypatch.setattr(io, "open", open_)
        monkeypatch.setattr(builtins, "open", open_)

    return fill


NO_SPACE = r"^could not write \S+: No space left on device; free some space and run the same command again"


def test_the_disk_is_full_when_a_request_is_written(tmp_path, request_, on_full_disk, monkeypatch):
    other = request_.model_copy(update={"seed": 1, "key": "1" * 64})
    on_full_disk(r"/seed1-\w+/\.request\.json")
    with pytest.raises(StorageError, match=NO_SPACE):
        prepare(tmp_path, [request_, other])
    assert [path.parent.name[:5] for path in tmp_path.rglob("*.json")] == ["seed0"]
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    assert [on_disk(job) for job in prepare(tmp_path, [request_, other])] == [request_, other]


def test_the_disk_is_full_when_the_index_is_written(tmp_path, request_, on_full_disk, monkeypatch):
    suite = load_suite("demo")
    write_index(tmp_path, suite, [request_])
    kept = (tmp_path / "demo.json").read_bytes()
    other = request_.model_copy(update={"seed": 1, "key": "1" * 64})
    on_full_disk(r"/\.demo\.json")
    with pytest.raises(StorageError, match=NO_SPACE):
        write_index(tmp_path, suite, [request_, other])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"demo.json": kept}
    monkeypatch.undo()
    write_index(tmp_path, suite, [request_, other])
    assert (tmp_path / "demo.json").read_bytes() != kept
