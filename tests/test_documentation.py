"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = ["README.md", "CONTRIBUTING.md", "plugins/README.md", "suites/README.md", "leaderboard/README.md"]

SMALL_SUITE = """
title = "The demo's protocol, a minute long"
tasks = ["FetchReach-v4"]
track = "pixels-only"
seeds = [0]

[pixels]
preset = "reach-cpu"
size = 32

[learner]
preset = "reach-cpu"
warmup_steps = 100
batch_size = 16

[budget]
steps = 150

[evaluation]
every_steps = 150
episodes = 1
last = 1

[template]
encoder = "manipulation"
routing = "critic"

[methods.blind]
track = "blind"
"""


def example() -> str:
    """The README's plugin."""
    found = re.search(r"<!-- example: my_encoder\.py -->\n```python\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    (tmp_path / "my_encoder.py").write_text(example())
    (tmp_path / "small.toml").write_text(SMALL_SUITE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fetchbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fetchbench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_example_is_at_most_thirty_lines():
    assert len(example().splitlines()) <= 30


def test_the_example_runs_as_a_plugin_and_stands_on_the_board(workspace):
    done = fetchbench("run", "./small.toml", "--plugin", "./my_encoder.py", "--method", "four-conv")
    assert done.returncode == 0, done.stderr
    assert "four-conv" in done.stdout
    again = fetchbench("run", "./small.toml", "--plugin", "./my_encoder.py", "--method", "four-conv")
    assert again.returncode == 0, again.stderr
    assert "1 done" in again.stderr
    published = fetchbench("publish", "small")
    assert published.returncode == 0, published.stderr
    page = (workspace / "leaderboard" / "README.md").read_text()
    assert "**four-conv**" in page
    assert "my&#95;encoder.py local" in page or "my_encoder.py local" in page
    assert fetchbench("publish", "--check").returncode == 0


def test_the_example_becomes_a_method_of_the_demo_and_builds(workspace):
    from fetchbench.run.plugins import load_plugins
    from fetchbench.run.prepare import preflight
    from fetchbench.suite import load_suite, requests, select, with_plugins

    file = Path("my_encoder.py")
    registry = load_plugins([file])
    suite = select(with_plugins(load_suite("demo"), registry, [file]), methods=["four-conv"])
    asked = requests(suite, registry)
    assert [r.method.encoder.name for r in asked] == ["four-conv"] * len(suite.seeds)
    found = preflight(asked, registry)
    assert not found.problems
    assert not found.lacking


def commands() -> list[tuple[str, str]]:
    found = []
    for page in filter(lambda page: (ROOT / page).exists(), PAGES):
        for block in re.findall(r"```(?:sh|bash)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
            for line in block.splitlines():
                if (text := line.partition("#")[0].strip()) and text.startswith("fetchbench "):
                    found.append((page, text))
        for text in re.findall(r"`(fetchbench [^`\n]+)`", (ROOT / page).read_text()):
            found += [(page, part.strip()) for part in text.split("&&") if "|" not in part]
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_command_exists_with_its_options(page, command):
    """Parsed, not run; ``SUITE`` and the like stand for names."""
    from fetchbench.cli import fetchbench as group

    _, *words = shlex.split(command)
    if words == ["--version"] or words == ["--help"]:
        return
    verb = group.get_command(click.Context(group), words[0])
    assert verb is not None, f"{page}: {command}"
    known = {name for parameter in verb.params for name in parameter.opts}
    for word in words[1:]:
        if word.startswith("-"):
            assert word in known, f"{page}: {command}"


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_there(page):
    assert (ROOT / page).is_file()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), f"{page} -> {target}"


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_board_in_the_readme_is_the_published_one():
    """Every row of the README's table stands word for word on the leaderboard."""
    found = re.search(r"<!-- board: demo -->\n(.*?)<!-- /board -->", README, re.DOTALL)
    assert found
    rows = [line for line in found[1].splitlines() if line.startswith("|")]
    assert len(rows) >= 5
    board = (ROOT / "leaderboard" / "README.md").read_text().splitlines()
    assert all(row in board for row in rows)


def test_the_committed_board_is_what_the_committed_records_give():
    from fetchbench.leaderboard import check, suite_notes

    check(ROOT, suite_notes())
