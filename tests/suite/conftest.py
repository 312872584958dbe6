"""Suites made of a few lines, in a workspace of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fetchbench.errors import SuiteError
from fetchbench.registry import Registry
from fetchbench.run.plugins import load_plugins
from fetchbench.suite import Suite, load_suite

SECTIONS = {
    "head": 'title = "A test"\ntasks = ["FetchReach-v4"]\ntrack = "pixels-only"\nseeds = [0]',
    "pixels": 'preset = "reach-cpu"',
    "learner": 'preset = "reach-cpu"',
    "budget": "steps = 1000",
    "evaluation": "every_steps = 500",
    "template": 'encoder = "manipulation"\nrouting = "critic"',
    "methods": '[methods.nature]\nencoder = "nature"',
}


def suite_text(**sections: str | None) -> str:
    """A suite's text. A section is what stands under its heading; ``None`` leaves it out."""
    parts = []
    for name, lines in (SECTIONS | sections).items():
        if lines is not None:
            parts.append(lines if name in ("head", "methods") else f"[{name}]\n{lines}")
    return "\n\n".join(parts) + "\n"


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(workspace: Path) -> Callable[..., Path]:
    """``write("mine", learner="...")`` makes ``suites/mine.toml``; a single text stands as it is."""

    def make(name: str = "mine", text: str | None = None, **sections: str | None) -> Path:
        path = workspace / "suites" / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(suite_text(**sections) if text is None else text)
        return path

    return make


@pytest.fixture
def load(write: Callable[..., Path]) -> Callable[..., Suite]:
    """``load(learner="...")``: a suite of these sections, named ``mine``."""

    def make(**sections: str | None) -> Suite:
        write("mine", **sections)
        return load_suite("mine")

    return make


@pytest.fixture
def problems_of(load: Callable[..., Suite]) -> Callable[..., list[str]]:
    """The problems that loading these sections finds."""

    def find(**sections: str | None) -> list[str]:
        with pytest.raises(SuiteError) as caught:
            load(**sections)
        assert caught.value.where == "suites/mine.toml"
        assert not any("\n" in problem for problem in caught.value.problems)
        return list(caught.value.problems)

    return find


@pytest.fixture(scope="session")
def registry() -> Registry:
    """fetchbench's own plugins (imports torch)."""
    return load_plugins()


@pytest.fixture
def plugin(workspace: Path) -> Callable[..., Path]:
    """``plugin('yield EncoderSpec("mine", build=build)')``: a plugin file with one hook of this kind."""

    def make(text: str, kind: str = "encoders", name: str = "mine.py") -> Path:
        path = workspace / name
        path.write_text(
            "from fetchbench import *\n"
            "def build(shape, dim=5): ...\n"
            "def wrapper(shape, inner, dim=5): ...\n"
            f"@hookimpl\ndef fetchbench_{kind}():\n    {text}\n"
        )
        return path

    return make
