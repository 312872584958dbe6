"""Holding a fast way of doing updates to the plain one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from small import PREDICT, loss

from fetchbench.records.schema import Execution

ROUTINGS = ["separate", "actor", "critic", "joint", "aux", "frozen"]

TOLERANCE = {
    "float32": {"relative": 1e-4, "absolute": 1e-5, "gradients": 1e-3, "weights": 1e-2},
    "bfloat16": {"relative": 2e-2, "absolute": 2e-3, "gradients": 0.1, "weights": 0.3},
}
"""Losses, and all other metrics: as ``pytest.approx`` has it. Gradients of the encoders, and the way that the weights of every
network went: norm of the difference, relative. The latter is wide since Adam's first steps take little more than a gradient's
sign, and bfloat16 knows the sign of small gradients no better than a coin."""


def made(rig, routing: str, execution: Execution, **fields: Any) -> Any:
    if routing == "aux":
        fields = {"extra": loss(momentum=0.1), "auxiliary_loss": PREDICT, **fields}
    return rig(routing, execution=execution, **fields)


def distance(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """Norm of the difference, relative to the norm of what is expected."""
    squares = sum(float((f.cpu() - e.cpu()).double().square().sum()) for f, e in zip(found, expected, strict=True))
    return (squares / max(sum(float(e.double().square().sum()) for e in expected), 1e-30)) ** 0.5


def hold(plain: Any, fast: Any, tolerance: dict[str, float], updates: int = 3) -> None:
    """Make the same updates on both, and compare."""
    start = plain.parameters()
    fast.learner.load_state_dict(copy.deepcopy(plain.learner.state_dict()))
    for update in range(updates):
        expected, found = plain.update(), fast.update()
        assert expected.keys() == found.keys()
        for name in expected:
            assert float(found[name]) == pytest.approx(
                float(expected[name]), rel=tolerance["relative"], abs=tolerance["absolute"]
            ), name
        if update == 0:
            gradients = [
                [p.grad for _, e in r.learner.encoders.named() for p in e.parameters() if p.grad is not None]
                for r in (fast, plain)
            ]
            assert len(gradients[0]) == len(gradients[1])
            if gradients[1]:
                assert distance(*gradients) < tolerance["gradients"]
    ends, found_ends = plain.parameters(), fast.parameters()
    for name, parameters in ends.items():
        way = [end - begin for end, begin in zip(parameters, start[name], strict=True)]
        found_way = [end - begin for end, begin in zip(found_ends[name], start[name], strict=True)]
        assert distance(found_way, way) < tolerance["weights"], name
