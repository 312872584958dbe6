"""A suite's index among the runs: written, read back, kept where it still belongs."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

from fetchbench.errors import FetchbenchError, StorageError
from fetchbench.leaderboard.collection import is_name as is_published_name
from fetchbench.records.store import write_atomically
from fetchbench.run.plugins import load_plugins
from fetchbench.suite import read_index, requests, run_directory, with_plugins, write_index
from fetchbench.suite.finding import is_name

RUNS = Path("runs")
HEAD = 'title = "A test"\ntasks = ["FetchReach-v4"]\ntrack = "pixels-only"\nseeds = [0, 1]'


@pytest.fixture
def write_with(load, registry):
    """Index a suite of these sections, perhaps with a plugin file."""

    def make(files=(), **sections):
        suite = load(**{"head": HEAD} | sections)
        known = load_plugins(files) if files else registry
        suite = with_plugins(suite, known, files)
        found = requests(suite, known)
        write_index(RUNS, suite, found)
        return found

    return make


def listed() -> list[tuple[str, int]]:
    index = read_index(RUNS, "mine")
    assert index
    return [(run.method, run.seed) for run in index.runs]


def test_every_run_is_listed_in_order(write_with, workspace):
    found = write_with(methods='[methods.nature]\nencoder = "nature"\n[methods.blind]\ntrack = "blind"')
    index = read_index(RUNS, "mine")
    assert index
    assert index.suite == "mine"
    lines = [(run.method, run.task, run.seed, run.directory, run.key) for run in index.runs]
    assert lines == [(r.method.name, r.task, r.seed, str(run_directory(r)), r.key) for r in found]
    assert listed() == [("nature", 0), ("blind", 0), ("nature", 1), ("blind", 1)]
    assert [path.name for path in (workspace / "runs").iterdir()] == ["mine.json"]


def test_the_row_of_a_plugin_stays_when_the_file_is_not_named_again(write_with, plugin):
    file = plugin('yield EncoderSpec("mine", build=build)')
    before = write_with([file])
    write_with()
    assert listed() == [("nature", 0), ("nature", 1), ("mine", 0), ("mine", 1)]
    index = read_index(RUNS, "mine")
    assert index
    assert {run.key for run in index.runs} == {r.key for r in before}


def test_two_commands_that_add_a_method_each_at_once_lose_none(write_with, plugin, monkeypatch):
    """The second starts while the first is between reading the index and writing it."""
    index, original = sys.modules["fetchbench.suite.index"], write_atomically
    first, second = (plugin(f'yield EncoderSpec("{name}", build=build)', name=f"{name}.py") for name in ("first", "second"))
    others: list[threading.Thread] = []

    def slowly(path: Path, text: str) -> None:
        if not others:
            others.append(threading.Thread(target=write_with, args=([second],)))
            others[0].start()
            others[0].join(timeout=1)
        original(path, text)

    monkeypatch.setattr(index, "write_atomically", slowly)
    write_with([first])
    others[0].join(timeout=60)
    assert {method for method, _ in listed()} == {"nature", "first", "second"}


def test_a_plugin_that_changed_replaces_its_row(write_with, plugin):
    [old] = [r.key for r in write_with([plugin('yield EncoderSpec("mine", build=build)')]) if r.method.name == "mine"][:1]
    [new] = [r.key for r in write_with([plugin('yield EncoderSpec("mine", build=build) ')]) if r.method.name == "mine"][:1]
    index = read_index(RUNS, "mine")
    assert index
    assert old != new
    assert len(listed()) == 4
    assert old not in {run.key for run in index.runs}
    assert new in {run.key for run in index.runs}


@pytest.mark.parametrize(
    "changed",
    [
        {"budget": "steps = 2000"},
        {"learner": 'preset = "push"'},
        {"scene": 'marker = "shown"'},
        {"evaluation": "every_steps = 400"},
        {"head": HEAD.replace("pixels-only", "pixels")},
    ],
)
def test_another_protocol_drops_the_row(write_with, plugin, changed):
    write_with([plugin('yield EncoderSpec("mine", build=build)')])
    write_with(**changed)
    assert listed() == [("nature", 0), ("nature", 1)]


def test_seeds_and_tasks_that_are_no_longer_the_suites_are_dropped(write_with, plugin):
    write_with([plugin('yield EncoderSpec("mine", build=build)')])
    write_with(head=HEAD.replace("[0, 1]", "[1, 2]"))
    assert listed() == [("nature", 1), ("nature", 2), ("mine", 1)]
    write_with(head=HEAD.replace("Reach", "Push"))
    assert listed() == [("nature", 0), ("nature", 1)]


def test_a_title_drops_nothing(write_with, plugin):
    write_with([plugin('yield EncoderSpec("mine", build=build)')])
    write_with(head=HEAD.replace("A test", "Another title"))
    assert len(listed()) == 4


def test_a_suite_without_runs():
    assert read_index(RUNS, "mine") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "runs/mine.json: not a suite's index (Invalid JSON"),
        (
            '{"suite": "mine"}',
            "runs/mine.json: not a suite's index (runs: Field required); `fetchbench run mine` writes it again",
        ),
        ('{"suite": "mine", "runs": [{"method": 3}]}', "runs/mine.json: not a suite's index (runs.0.method: "),
        ('{"suite": "other", "runs": []}', "runs/mine.json: the index of suite 'other', not of 'mine'; rename or delete it"),
    ],
)
def test_a_damaged_index_is_named_and_mended_by_writing_it_again(write_with, text, message):
    RUNS.mkdir()
    (RUNS / "mine.json").write_text(text)
    with pytest.raises(FetchbenchError) as caught:
        read_index(RUNS, "mine")
    assert str(caught.value).startswith(message)
    write_with()
    assert listed() == [("nature", 0), ("nature", 1)]


def test_an_index_of_an_earlier_version_that_knows_no_protocol(write_with):
    RUNS.mkdir()
    line = {"method": "old", "task": "FetchReach-v4", "seed": 0, "directory": "x"}
    (RUNS / "mine.json").write_text(json.dumps({"suite": "mine", "runs": [line]}))
    assert listed() == [("old", 0)]
    write_with()
    assert listed() == [("nature", 0), ("nature", 1)]


def test_a_name_that_is_none():
    with pytest.raises(FetchbenchError, match=r"suite '\.\./x': not a name; `fetchbench suites` lists those there are"):
        read_index(RUNS, "../x")


def test_an_index_that_cannot_be_read_or_written(write_with):
    (RUNS / "mine.json").mkdir(parents=True)
    with pytest.raises(StorageError, match="could not read"):
        read_index(RUNS, "mine")
    with pytest.raises(StorageError):
        write_with()


@pytest.mark.parametrize("name", ["demo", "reach-v1.2", "A_b", "a", "", "-a", "a-", "a b", "../x", ".x", "a/b", "x\n"])
def test_suites_and_the_board_agree_on_names(name):
    assert is_name(name) == is_published_name(name)
