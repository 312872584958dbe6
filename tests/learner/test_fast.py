"""Every fast way of doing an update is held to the plain one: same batches, same weights, all routings."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small import DARKEN, PREDICT, loss, registry

from fetchbench.errors import PluginError
from fetchbench.learner.graph import WARM_UP, Graphs
from fetchbench.records.schema import Component, Execution
from fetchbench.run.audit import Audit
from fetchbench.specs import EncoderSpec, GradientRoutingSpec, Schedule

ROUTINGS = ["separate", "actor", "critic", "joint", "aux", "frozen"]
LOWERED = Execution(precision="bfloat16")
COMPILED = Execution(compile="inductor")
BOTH = Execution(precision="bfloat16", compile="inductor")
UPDATES = 3

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
    squares = sum(float((f - e).double().square().sum()) for f, e in zip(found, expected, strict=True))
    return (squares / max(sum(float(e.double().square().sum()) for e in expected), 1e-30)) ** 0.5


def hold(plain: Any, fast: Any, tolerance: dict[str, float]) -> None:
    """Make the same updates on both, and compare."""
    start = plain.parameters()
    fast.learner.load_state_dict(copy.deepcopy(plain.learner.state_dict()))
    for update in range(UPDATES):
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


@pytest.mark.parametrize("encoder", ["manipulation", "spatial-softmax"])
@pytest.mark.parametrize("routing", ROUTINGS)
def test_bfloat16(rig, routing, encoder):
    hold(made(rig, routing, Execution(), encoder=encoder), made(rig, routing, LOWERED, encoder=encoder), TOLERANCE["bfloat16"])


EVERY_TIME = {("critic", COMPILED), ("separate", BOTH)}
COMBINATIONS = [
    pytest.param(r, e, id=f"{r}-{e.precision}", marks=[] if (r, e) in EVERY_TIME else [pytest.mark.slow])
    for r in ROUTINGS
    for e in (COMPILED, BOTH)
]


@pytest.mark.parametrize(("routing", "execution"), COMBINATIONS)
def test_compiled(rig, routing, execution):
    """Two of them in every test run; the others, which compile the same passes, with ``--slow``."""
    fast = made(rig, routing, execution)
    hold(made(rig, routing, Execution()), fast, TOLERANCE[execution.precision])
    audit = Audit(fast.learner)  # asks for gradients twice
    fast.update(audit)
    audit.verify()


def test_an_encoder_with_other_than_flat_filters(rig):
    """The memory order of images is given to what has four dimensions, and to nothing else."""

    class Volume(torch.nn.Module):
        def __init__(self, shape) -> None:
            super().__init__()
            self.filters = torch.nn.Conv3d(shape.frames, 4, 3, stride=8)
            self.where = torch.nn.Parameter(torch.zeros(1, shape.frames, 3, shape.height, shape.width))

        def forward(self, frames):
            return self.filters(frames / 255 + self.where).flatten(1)

    r = rig("critic", extra=registry("encoder", EncoderSpec("volume", Volume)), encoder="volume", execution=LOWERED)
    assert r.update()["critic_loss"].isfinite()


def graphs(log: list[int]) -> Graphs:
    """Graphs that a CPU can replay: capturing keeps the function, and replaying it calls it on the graph's own buffers."""

    def capture(run: Callable[[], dict]) -> Callable[[], dict]:
        log.append(1)
        return run

    return Graphs(capture, lambda run: run())


@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_captured_update_works_on_its_own_copies(rig, routing):
    plain, captured = made(rig, routing, Execution()), made(rig, routing, Execution())
    log: list[int] = []
    captured.learner._graphs = graphs(log)
    for _ in range(WARM_UP + 3):
        expected, found = plain.update(), captured.update()
        assert {k: float(v) for k, v in expected.items()} == {k: float(v) for k, v in found.items()}
    assert sum(log) == 1
    assert captured.learner.updates == WARM_UP + 3
    for name, parameters in plain.parameters().items():
        assert all(map(torch.equal, parameters, captured.parameters()[name])), name


def test_each_pattern_is_captured_once(rig):
    """A schedule changes the weights, a period leaves the auxiliary loss out: each of it is another graph."""
    spec = GradientRoutingSpec("late", critic=1, actor=Schedule((("alone", 0, 0.0), ("joint", 8, 1.0))), auxiliary=1)
    parts = {**loss(period=2).components, **registry("gradient-routing", spec).components, **DARKEN.components}
    fields = {"extra": type(DARKEN)(parts), "auxiliary_loss": PREDICT, "augmentation": Component(name="darken"), "views": 2}
    plain, captured = rig("late", **fields), rig("late", **fields)
    log: list[int] = []
    captured.learner._graphs = graphs(log)
    for _ in range(24):
        expected, found = plain.update(), captured.update()
        assert {k: float(v) for k, v in expected.items()} == {k: float(v) for k, v in found.items()}
    assert sum(log) == 4


def test_an_observed_update_is_not_captured(rig):
    r = rig("critic")
    r.learner._graphs = Graphs(lambda run: pytest.fail("captured"), lambda run: pytest.fail("warmed up"))
    audit = Audit(r.learner)
    r.update(audit)
    audit.verify()


def test_the_audit_of_a_fast_update(rig):
    r = rig("critic", execution=LOWERED)
    audit = Audit(r.learner)
    r.update(audit)
    audit.verify()
    assert audit.gradient_norm["critic -> encoder"] > 0


def test_a_fast_learner_goes_on_from_its_state(rig):
    """Weights in another memory order, and optimisers beside them, come back as they were."""
    whole, first = rig("critic", execution=LOWERED), rig("critic", execution=LOWERED)
    for _ in range(4):
        whole.update()
    for _ in range(2):
        first.update()
    second = rig("critic", execution=LOWERED)
    for _ in range(2):
        second.batch(), second.draws()
    second.learner.load_state_dict(copy.deepcopy(first.learner.state_dict()))
    for _ in range(2):
        second.update()
    for name, parameters in whole.parameters().items():
        assert all(map(torch.equal, parameters, second.parameters()[name])), name


def test_acting_is_float32_whatever_the_precision(rig):
    plain, fast = rig("critic"), rig("critic", execution=LOWERED)
    frames = torch.randint(0, 256, (3, plain.learner.stack, 3, 32, 32), dtype=torch.uint8)
    vectors = torch.randn(3, 3)
    torch.testing.assert_close(fast.learner.act(frames, vectors), plain.learner.act(frames, vectors), rtol=1e-4, atol=1e-5)


class Odd(torch.nn.Module):
    def __init__(self, shape) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3 * shape.height * shape.width * shape.frames, 4)

    def forward(self, frames):
        if torch.compiler.is_compiling():
            raise RuntimeError("not in a graph")
        return self.layer(frames.flatten(1).float())


def test_an_encoder_that_cannot_be_compiled_is_one_clear_line(rig, monkeypatch):
    from torch._dynamo.exc import BackendCompilerFailed

    def refuse(module, **_):
        def run(_):
            raise BackendCompilerFailed(refuse, RuntimeError("no compiler\nhere"), None)

        return run

    monkeypatch.setattr(torch, "compile", refuse)
    r = rig("critic", extra=registry("encoder", EncoderSpec("odd", Odd)), encoder="odd", execution=COMPILED)
    with pytest.raises(PluginError, match=r"^torch.compile cannot compile the encoder Odd: .*--compile none$"):
        r.update()
