"""Names in files lead nowhere but into the folders that they belong to."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
from leaderboard.factory import make_record, published_at, stand_in_figure, write_published, write_runs

from fetchbench.__main__ import run
from fetchbench.errors import FetchbenchError, RecordError
from fetchbench.execution import finished_records, statuses
from fetchbench.leaderboard import check, publish
from fetchbench.records.store import record_text
from fetchbench.suite import load_suite, read_index

SUITE = """
title = "A suite"
tasks = ["FetchReach-v4"]
track = "pixels-only"
seeds = [0]

[pixels]
preset = "reach-cpu"

[learner]
preset = "reach-cpu"

[budget]
steps = 2000

[evaluation]
every_steps = 500
last = 2

[methods.blind]
track = "blind"
"""


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    """A workspace that is the current folder, beside a folder that is none of its business."""
    root = tmp_path / "workspace"
    (root / "suites").mkdir(parents=True)
    (root / "suites" / "mine-v1.toml").write_text(SUITE)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "private.txt").write_text("a secret")
    monkeypatch.chdir(root)
    monkeypatch.setattr("fetchbench.leaderboard.drawing.draw", stand_in_figure)
    return root


@pytest.fixture
def outside(tmp_path) -> Path:
    return tmp_path / "outside"


def told(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run(arguments)
    return code, out.getvalue()


# -- the runs' index --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", ["../../outside", "FetchReach-v4/../../outside", "{outside}", ".", ""])
@pytest.mark.parametrize("command", [["show", "mine-v1"], ["status", "mine-v1"], ["plan", "mine-v1"], ["publish"]])
def test_an_index_leads_nowhere_but_into_the_runs(root, outside, directory, command):
    record = make_record("blind", suite="mine-v1")
    write_runs(root / "runs", [record])
    (outside / "record.json").write_text(record_text(record))
    (outside / "request.json").write_text(record.request.model_dump_json())
    path = root / "runs" / "mine-v1.json"
    index = json.loads(path.read_text())
    index["runs"][0]["directory"] = directory.format(outside=outside)
    path.write_text(json.dumps(index))
    code, out = told(*command)
    assert code == 2
    assert "does not lie in runs; `fetchbench run mine-v1` writes the index again" in out
    assert not (root / "leaderboard").exists()


def test_an_index_that_leads_into_the_runs_is_read(root):
    """So that the test before says something."""
    write_runs(root / "runs", [make_record("blind", suite="mine-v1")])
    index = read_index(root / "runs", "mine-v1")
    assert index is not None
    assert len(finished_records(root / "runs", index)[0]) == 1
    assert len(statuses(root / "runs", load_suite("mine-v1"), index)) == 1


@pytest.mark.parametrize("name", ["../outside/mine-v1", "/etc/passwd", "..", "", "a/b", "mine-v1\0", "\x1b[2J"])
@pytest.mark.parametrize("command", ["show", "status", "plan", "publish"])
def test_a_suites_name_is_no_path(command, name):
    if command == "show" and name in ("..", ""):
        return  # a folder, of which `show` says that it is no run's
    code, out = told(command, name)
    assert code == 2
    assert len(out.strip().split("\n")) == 1


def test_what_a_record_leads_to_is_not_shown(root, outside):
    """A run's record that is a link to some file: the refusal quotes nothing of it."""
    write_runs(root / "runs", [make_record("blind", suite="mine-v1")])
    [path] = (root / "runs").rglob("record.json")
    path.unlink()
    path.symlink_to(outside / "private.txt")
    code, out = told("publish")
    assert code == 2
    assert "not a valid record" in out
    assert "secret" not in out


# -- the published records and figures --------------------------------------------------------------------------------


def linked(root: Path, outside: Path, place: str, whole: bool) -> Path:
    """A link of this place in the workspace to a file or a folder elsewhere."""
    link = root / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside if whole else outside / "private.txt")
    return link


@pytest.mark.parametrize(
    ("place", "whole"),
    [
        ("leaderboard/records/mine-v1", True),
        ("leaderboard/records/mine-v1/four-conv/FetchReach-v4", True),
        ("leaderboard/records/mine-v1/four-conv/FetchReach-v4/seed0.json", False),
        ("leaderboard/records/other", True),
        ("leaderboard/records/notes.txt", False),
        ("leaderboard/figures/mine-v1", True),
        ("leaderboard/figures/mine-v1/success.svg", False),
        ("leaderboard/records", True),
        ("leaderboard/figures", True),
    ],
)
def test_what_is_published_to_holds_no_link(root, outside, place, whole):
    (outside / "success.svg").write_text("a drawing of somebody's")
    before = {path: path.read_bytes() for path in outside.iterdir()}
    write_runs(root / "runs", [make_record(suite="mine-v1")])
    link = linked(root, outside, place, whole)
    for do in (lambda: publish(root, None, root / "runs"), lambda: check(root)):
        with pytest.raises(RecordError, match=r": a symbolic link, and what is published there would lie elsewhere") as caught:
            do()
        assert str(caught.value).startswith(f"{place}: ")
    assert {path: path.read_bytes() for path in outside.iterdir()} == before
    assert link.is_symlink()
    assert not (root / "leaderboard" / "README.md").exists()


def test_a_page_that_is_a_link_is_replaced_and_what_it_leads_to_stays(root, outside):
    write_runs(root / "runs", [make_record(suite="mine-v1")])
    page = linked(root, outside, "leaderboard/README.md", whole=False)
    publish(root, None, root / "runs")
    assert not page.is_symlink()
    assert (outside / "private.txt").read_text() == "a secret"


def test_a_workspace_may_itself_be_reached_by_a_link(root, tmp_path):
    write_runs(root / "runs", [make_record(suite="mine-v1")])
    (tmp_path / "link").symlink_to(root)
    publish(tmp_path / "link", None, root / "runs")
    check(tmp_path / "link")


@pytest.mark.parametrize("task", ["../../../outside", "..", "/tmp", "FetchReach-v4/.."])
def test_a_record_names_its_own_place_alone(root, outside, task):
    record = make_record(suite="mine-v1", task=task)
    write_published(root, [make_record(suite="mine-v1")])
    path = published_at(root, make_record(suite="mine-v1"))
    path.write_text(record_text(record))
    with pytest.raises(RecordError, match="holds the record of"):
        publish(root, None, root / "runs")
    assert [path.name for path in outside.iterdir()] == ["private.txt"]


def test_a_plugins_name_is_no_path(root):
    for kind, name in (("encoder", "../mine"), ("routing", "/tmp/mine"), ("aux-loss", "a/b"), ("encoder", "..")):
        code, out = told("new", kind, name)
        assert code == 2
        assert "use lower-case letters, digits and single hyphens" in out
    assert [path.name for path in root.iterdir()] == ["suites"]
    with pytest.raises(FetchbenchError):
        load_suite("../outside/private.txt")
