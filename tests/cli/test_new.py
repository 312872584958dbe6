"""``fetchbench new``: what it writes works as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fetchbench.testing import new_plugin, plugin_specs

ROOT = Path(__file__).parents[2]
KINDS = ("encoder", "augmentation", "aux-loss", "routing")


def call(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder with a plugin of each kind, of the longest name."""
    folder = tmp_path_factory.mktemp("written")
    for kind in KINDS:
        new_plugin(kind, f"my-{kind}-{'x' * (40 - len(kind) - 4)}", folder)
    return folder


def test_the_plugins_keep_their_contract_and_their_tests_pass(written):
    done = call("-m", "pytest", "-q", "-p", "no:cacheprovider", folder=written)
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout


def test_they_are_in_our_own_style(written):
    settings = ("--config", str(ROOT / "pyproject.toml"))
    first = ("--config", 'lint.isort.known-first-party=["fetchbench"]')
    checked = call("-m", "ruff", "check", *settings, *first, ".", folder=written)
    assert checked.returncode == 0, checked.stdout
    formatted = call("-m", "ruff", "format", "--check", "--diff", *settings, ".", folder=written)
    assert formatted.returncode == 0, formatted.stdout


def test_the_next_commands_are_printed(fetchbench, workspace):
    answer = fetchbench("new", "encoder", "four-conv", "--folder", "mine")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "wrote mine/four_conv.py and mine/test_four_conv.py",
        "next:",
        "  fetchbench check ./mine/four_conv.py",
        "  python -m pytest ./mine/test_four_conv.py",
        "  fetchbench run demo --plugin ./mine/four_conv.py --method four-conv",
    ]
    (spec,) = plugin_specs(workspace / "mine" / "four_conv.py")
    assert spec.name == "four-conv"
    assert spec.build.__name__ == "FourConvEncoder"


def test_it_becomes_a_method_of_the_demo(workspace):
    from fetchbench.run.plugins import load_plugins
    from fetchbench.run.prepare import preflight
    from fetchbench.suite import load_suite, requests, select, with_plugins

    for kind in KINDS:
        file, _ = new_plugin(kind, f"my-{kind}", workspace)
        registry = load_plugins([file])
        suite = select(with_plugins(load_suite("demo"), registry, [file]), methods=[f"my-{kind}"])
        assert preflight(requests(suite, registry), registry).problems == []


@pytest.mark.parametrize("taken", ["four_conv.py", "test_four_conv.py"])
def test_nothing_is_overwritten(fetchbench, workspace, taken):
    (workspace / taken).write_text("mine")
    answer = fetchbench("new", "encoder", "four-conv")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (f"error: {taken} is there already, and nothing was written; take another name, or another --folder\n")
    assert {path.name for path in workspace.glob("*.py")} == {taken}


@pytest.mark.parametrize("name", ["Four-Conv", "four_conv", "four--conv", "-four", "vier füße", "../four", "x" * 41, ""])
def test_a_name_that_no_component_may_have(fetchbench, workspace, name):
    answer = fetchbench("new", "encoder", "--", name)
    assert answer.code == 2
    assert answer.err == (
        f"error: name {name!r}: use lower-case letters, digits and single hyphens, at most 40, as in 'four-conv'\n"
    )
    assert not list(workspace.rglob("*.py"))


@pytest.mark.parametrize(
    ("name", "expected"), [("3d-conv", "Encoder3dConv"), ("none", "NoneEncoder"), ("my-encoder", "MyEncoder")]
)
def test_every_name_gives_a_class(fetchbench, workspace, name, expected):
    assert fetchbench("new", "encoder", name).code == 0
    (spec,) = plugin_specs(workspace / f"{name.replace('-', '_')}.py")
    assert spec.build.__name__ == expected


def test_an_unknown_kind(fetchbench):
    answer = fetchbench("new", "goal-space", "mine")
    assert answer.code == 2
    assert "'goal-space' is not one of 'encoder', 'augmentation', 'aux-loss', 'routing'" in answer.err
