"""Every fast way of doing an update is held to the plain one: same batches, same weights, all routings."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from equality import ROUTINGS, TOLERANCE, hold, made
from small import DARKEN, PREDICT, loss, registry

from fetchbench.errors import PluginError
from fetchbench.learner.encoding import AlignedConv2d
from fetchbench.learner.graph import WARM_UP, Graphs
from fetchbench.records.schema import Component, Execution
from fetchbench.run.audit import Audit
from fetchbench.specs import EncoderSpec, GradientRoutingSpec, Schedule

LOWERED = Execution(precision="bfloat16")
COMPILED = Execution(compile="inductor")
BOTH = Execution(precision="bfloat16", compile="inductor")


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


@pytest.mark.parametrize("stride", [1, 2])
def test_filled_up_channels_change_no_sum(stride):
    """What tensor cores want of 12 channels, here on a CPU: forward, and both gradients."""
    torch.manual_seed(0)
    plain = torch.nn.Sequential(
        torch.nn.Conv2d(12, 16, 3, stride=stride, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 4, 3)
    )
    filled = copy.deepcopy(plain)
    AlignedConv2d.adopt(filled)
    assert [type(part).__name__ for part in filled] == ["AlignedConv2d", "ReLU", "Conv2d"]
    frames = torch.randn(3, 12, 16, 16)
    found = []
    for module in (plain, filled):
        x = frames.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = module(x)
        y.float().square().sum().backward()
        found.append([y.float(), x.grad, *(p.grad for p in module.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-2, atol=2e-2 * float(a.detach().abs().max()))
    torch.testing.assert_close(filled(frames), plain(frames), rtol=0, atol=0)  # in float32 nothing is filled up
    assert filled.state_dict().keys() == plain.state_dict().keys()


def test_what_is_no_plain_convolution_stays_as_it_is():
    kept = [
        torch.nn.Conv2d(4, 4, 3, groups=2),
        torch.nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        torch.nn.Conv2d(8, 4, 3),
        torch.nn.Conv3d(3, 4, 3),
    ]
    module = torch.nn.Sequential(*kept)
    AlignedConv2d.adopt(module)
    assert not any(isinstance(part, AlignedConv2d) for part in module)


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
