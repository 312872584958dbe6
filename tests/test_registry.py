"""Plugins: found, loaded, named; broken ones kept as data."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchbench.errors import PluginError, UnknownNameError
from fetchbench.records.schema import Component
from fetchbench.registry import Registry, load_registry
from fetchbench.specs import EncoderSpec, WeightsSpec

GOOD = """
from fetchbench import GradientRoutingSpec, hookimpl

@hookimpl
def fetchbench_gradient_routings():
    yield GradientRoutingSpec("{name}", critic=1, actor=0.1, auxiliary=0)
"""


def plugin(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def error_of(registry: Registry, file: Path) -> str:
    with pytest.raises(PluginError) as caught:
        registry.raise_for([file])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_bundled_plugins_load():
    registry = load_registry()
    assert not registry.failures
    assert {"nature", "manipulation", "spatial-softmax"} <= set(registry.names("encoder"))
    assert {"separate", "actor", "critic", "joint", "aux", "frozen"} <= set(registry.names("gradient-routing"))


def test_a_file_of_ones_own(tmp_path):
    file = plugin(tmp_path, GOOD.format(name="mine"))
    registry = load_registry([file])
    found = registry.get("gradient-routing", "mine")
    assert (found.provider.name, found.provider.version, found.file) == ("mine.py", "local", file)
    resolved = registry.resolve("gradient-routing", Component(name="mine"))
    assert len(resolved.source_sha256) == 64


def test_the_source_hash_follows_the_source(tmp_path):
    first = load_registry([plugin(tmp_path, GOOD.format(name="mine"))]).get("gradient-routing", "mine").provider
    second = load_registry([plugin(tmp_path, GOOD.format(name="mine") + "#")]).get("gradient-routing", "mine").provider
    assert first.source_sha256 != second.source_sha256


def test_plugins_of_the_workspace(tmp_path, monkeypatch):
    (tmp_path / "plugins").mkdir()
    plugin(tmp_path / "plugins", GOOD.format(name="local"))
    plugin(tmp_path / "plugins", "raise RuntimeError('a draft')", "_draft.py")
    monkeypatch.chdir(tmp_path)
    registry = load_registry()
    assert "local" in registry.names("gradient-routing")
    assert not registry.failures


def test_entry_points_of_installed_packages(tmp_path, monkeypatch):
    package = tmp_path / "their_package"
    package.mkdir()
    plugin(package, GOOD.format(name="theirs"), "__init__.py")
    info = tmp_path / "their_package-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[fetchbench]\ntheirs = their_package\nbroken = their_package.absent\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = load_registry()
    provider = registry.get("gradient-routing", "theirs").provider
    assert (provider.name, provider.version) == ("their-package", "1.2")
    assert [f.provider.location for f in registry.failures] == ["their_package.absent"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise RuntimeError('no\\nluck')", "RuntimeError: no luck (line 1)"),
        ("import absent_module", "ModuleNotFoundError: No module named 'absent_module' (line 1)"),
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("x = 1", "implements no hook"),
        (
            "from fetchbench import hookimpl\n@hookimpl\ndef fetchbench_encoder(): return []",
            "unknown hook 'fetchbench_encoder'; did you mean 'fetchbench_encoders'?",
        ),
        (
            "from fetchbench import hookimpl\n@hookimpl\ndef fetchbench_encoders(): yield 3",
            "fetchbench_encoders yields int, not EncoderSpec",
        ),
        (
            "from fetchbench import hookimpl\n@hookimpl\ndef fetchbench_encoders(shape): return []",
            "fetchbench_encoders",
        ),
        (
            "from fetchbench import EncoderSpec, hookimpl\n@hookimpl\n"
            "def fetchbench_encoders(): yield EncoderSpec('My Encoder', build=print)",
            "encoder name 'My Encoder': use lower-case letters",
        ),
        (
            GOOD.format(name="twice") + '    yield GradientRoutingSpec("twice", critic=1, actor=0, auxiliary=0)\n',
            "yields gradient routing 'twice' twice",
        ),
        (GOOD.format(name="critic"), "gradient routing 'critic' is already provided by fetchbench 0.1.0"),
        (
            GOOD.format(name="bad").replace("0.1", "-1"),
            "gradient routing 'bad': actor = -1: must be a number, 0 or more",
        ),
    ],
)  # fmt: skip
def test_a_broken_plugin_is_kept_as_data_and_takes_nothing_down(tmp_path, text, message):
    file = plugin(tmp_path, text)
    registry = load_registry([file])
    assert "nature" in registry.names("encoder")
    text = error_of(registry, file)
    assert message in text
    assert str(file) in text


def test_a_missing_file_and_another_kind_of_file(tmp_path):
    absent, other = tmp_path / "absent.py", plugin(tmp_path, "", "notes.txt")
    registry = load_registry([absent, other])
    assert "no such file" in error_of(registry, absent)
    assert "not a Python file" in error_of(registry, other)


def test_a_plugin_that_prints_does_not_spoil_stdout(tmp_path, capsys):
    load_registry([plugin(tmp_path, "print('hello')\n" + GOOD.format(name="mine"))])
    assert capsys.readouterr().out == ""


def test_unknown_names_are_suggested_and_broken_plugins_named(tmp_path):
    file = plugin(tmp_path, "1 / 0")
    registry = load_registry([file])
    with pytest.raises(UnknownNameError) as caught:
        registry.get("encoder", "natur")
    assert "unknown encoder 'natur'; did you mean 'nature'?" in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "component", "message"),
    [
        ("encoder", Component(name="nature", options={"dims": 3}), "unexpected keyword argument 'dims'; its options: dim"),
        ("gradient-routing", Component(name="critic", options={"x": 1}), "takes no options, got x"),
        ("encoder", Component(name="nature", wraps=Component(name="nature")), "does not wrap another encoder"),
    ],
)
def test_options_are_checked(kind, component, message):
    with pytest.raises(PluginError, match=message):
        load_registry().resolve(kind, component)


@pytest.mark.parametrize(
    ("options", "licence"),
    [
        ({}, "MIT"),
        ({"weights": "hub"}, "MIT"),
        ({"weights": "random"}, "own"),
        ({"weights": "some/file.pt"}, "of the file that was given"),
    ],
)
def test_the_licence_is_that_of_the_weights_in_use(options, licence):
    weights = WeightsSpec("file.pt", "https://example.org", licence="MIT")
    spec = EncoderSpec("mine", lambda shape, weights="published": None, weights=weights, licence="own")
    registry = load_registry(builtin=[("encoder", spec)])
    assert registry.resolve("encoder", Component(name="mine", options=options)).licence == licence
