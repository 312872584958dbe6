"""What the tests of pretrained networks share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights and an empty cache of the hub; no network."""
    weights = tmp_path / "weights"
    weights.mkdir()
    monkeypatch.setenv("FETCHBENCH_WEIGHTS", str(weights))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return weights


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``shallow(depth)``: transformers of fewer blocks; everything else is full-sized."""
    import timm  # here, because it takes seconds

    create = timm.create_model

    def cut(depth: int) -> None:
        monkeypatch.setattr(timm, "create_model", partial(create, depth=depth))

    return cut
