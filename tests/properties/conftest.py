"""How many inputs, and that they are the same every time: ``--slow`` takes ten times as many."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

EXAMPLES = 200
"""Of a property, unless it takes a share of them; thousands in all."""


def pytest_configure(config: pytest.Config) -> None:
    """Load the profile. pytest calls this when it comes to this folder, before it imports a test of it."""
    # What hypothesis keeps for itself must not lie in the checkout.
    home = tempfile.TemporaryDirectory(prefix="fetchbench-hypothesis-")
    set_hypothesis_home_dir(home.name)
    config.add_cleanup(home.cleanup)
    settings.register_profile(
        "fetchbench",
        max_examples=EXAMPLES * (10 if config.getoption("--slow") else 1),
        derandomize=True,
        database=None,
        deadline=None,
        # Building a mutated suite is slow where others train on the same cores.
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("fetchbench")


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[Path]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of a module's own, which is the current one while its tests run."""
    with _inside(tmp_path_factory.mktemp("properties")) as path:
        yield path
