"""Loading plugins: the source that is hashed is the source that runs, and errors point at the plugin's own line."""

from __future__ import annotations

import os
import py_compile
from pathlib import Path

import pytest

from fetchbench.errors import PluginError
from fetchbench.records.schema import Component
from fetchbench.registry import load_registry
from fetchbench.specs import EncoderSpec

PLUGIN = """
from fetchbench import GradientRoutingSpec, hookimpl

@hookimpl
def fetchbench_gradient_routings():
    yield GradientRoutingSpec("mine", critic={weight}, actor=0, auxiliary=0)
"""


def failure(file: Path, text: str) -> str:
    file.write_text(text)
    (found,) = load_registry([file]).failures
    return found.error


def test_the_source_that_is_hashed_is_the_source_that_runs(tmp_path):
    """A compiled file of the same size and second, as a quick edit leaves it, is not taken for the source."""
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN.format(weight=1))
    os.utime(file, (10**9, 10**9))
    py_compile.compile(str(file))
    file.write_text(PLUGIN.format(weight=2))
    os.utime(file, (10**9, 10**9))
    assert load_registry([file]).get("gradient-routing", "mine").spec.critic == 2


def test_loading_leaves_nothing_beside_the_plugin(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN.format(weight=1))
    load_registry([file])
    assert list(tmp_path.iterdir()) == [file]


def test_the_line_is_the_plugins_own_not_a_librarys(tmp_path):
    text = "import json\n\n\njson.loads('{')\n"
    assert failure(tmp_path / "mine.py", text).endswith("(line 4)")


def test_a_syntax_error_is_told_once(tmp_path):
    assert failure(tmp_path / "mine.py", "\nx = = 1") == "SyntaxError: invalid syntax (line 2)"


def test_a_syntax_error_of_something_imported_is_not_the_plugins_line(tmp_path, monkeypatch):
    (tmp_path / "broken_dependency.py").write_text("\n\n\nx = = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = failure(tmp_path / "mine.py", "\nimport broken_dependency")
    assert "broken_dependency.py, line 4" in text
    assert text.endswith("(line 2)")


def test_a_hook_without_its_decorator_is_not_passed_over(tmp_path):
    text = PLUGIN.format(weight=1) + "\ndef fetchbench_encoders():\n    return []\n"
    assert failure(tmp_path / "mine.py", text) == (
        "fetchbench_encoders is not decorated: write @hookimpl above it (from fetchbench import hookimpl)"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_takes_nothing_down(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN.format(weight=1))
    file.chmod(0)
    registry = load_registry([file])
    assert "PermissionError" in registry.failures[0].error
    assert registry.names("encoder")


def entry_point(folder: Path, value: str) -> None:
    info = folder / "theirs-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[fetchbench]\ntheirs = {value}\n")


def test_a_package_without_init_has_a_source_digest(tmp_path, monkeypatch):
    (tmp_path / "their_namespace").mkdir()
    (tmp_path / "their_namespace" / "routing.py").write_text(PLUGIN.format(weight=1))
    entry_point(tmp_path, "their_namespace.routing")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert len(load_registry().get("gradient-routing", "mine").provider.source_sha256) == 64


def test_an_entry_point_that_is_none_takes_nothing_down(tmp_path, monkeypatch):
    entry_point(tmp_path, "!! nothing")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = load_registry()
    assert [failure.provider.name for failure in registry.failures] == ["theirs"]
    assert registry.names("encoder")


def test_a_build_whose_options_nobody_can_know():
    registry = load_registry([], builtin=[("encoder", EncoderSpec("odd", dict))])
    with pytest.raises(PluginError, match="encoder 'odd': its build has no signature to check options against"):
        registry.resolve("encoder", Component(name="odd"))
