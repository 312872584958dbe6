"""Every component that fetchbench brings keeps its contract."""

from __future__ import annotations

import inspect

import pytest
import torch

from fetchbench.errors import UnknownNameError
from fetchbench.records.schema import Component
from fetchbench.run.plugins import load_plugins
from fetchbench.specs import EncoderSpec, FrameShape
from fetchbench.testing import check_component

REGISTRY = load_plugins()
SLOW_PARAMETERS = 10_000_000
"""Encoders of more are checked with --slow: three quarters of a minute each, of a core."""

PARTS = [*REGISTRY.components]


def options(spec) -> dict:
    """No test depends on which weights are on the machine; of an encoder for many networks, a small one is checked."""
    if not isinstance(spec, EncoderSpec):
        return {}
    taken = inspect.signature(spec.build).parameters
    return {name: value for name, value in {"weights": "random", "model": "test_resnet.r160_in1k"}.items() if name in taken}


def is_large(spec) -> bool:
    if not isinstance(spec, EncoderSpec) or spec.wraps:
        return False
    size = spec.frame_size or 64
    shape = FrameShape(1, size, size)
    try:
        with torch.device("meta"):
            module = spec.build(shape, **options(spec))
    except RuntimeError:  # it reads a value while it is built
        module = spec.build(shape, **options(spec))
    return sum(p.numel() for p in module.parameters()) > SLOW_PARAMETERS


@pytest.mark.parametrize(("kind", "name"), PARTS, ids=["-".join(part) for part in PARTS])
def test_it_keeps_its_contract(kind, name, request):
    spec = REGISTRY.get(kind, name).spec
    if is_large(spec) and not request.config.getoption("--slow"):
        pytest.skip("a large network: with --slow")
    report = check_component(kind, Component(name=name, options=options(spec)), REGISTRY)
    assert report.problems == (), "\n".join(map(str, report.problems))
    assert len(report.findings) >= 3
    control = isinstance(spec, EncoderSpec) and bool(spec.control)
    assert any(finding.status == "expected" for finding in report.findings) is control


def test_each_kind_has_its_checks():
    assert {kind for kind, _ in PARTS} == {"encoder", "augmentation", "auxiliary-loss", "gradient-routing", "goal-space"}
    with pytest.raises(UnknownNameError):
        check_component("encoder", Component(name="absent"), REGISTRY)
