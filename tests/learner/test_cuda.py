"""On a GPU: its updates are held to the plain ones of a CPU, and captured ones to those that launch kernel by kernel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from equality import ROUTINGS, TOLERANCE, hold, made

from fetchbench.learner.graph import WARM_UP
from fetchbench.records.schema import Component, Execution
from fetchbench.registry import load_registry
from fetchbench.replay import Replay

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

EAGER = Execution(device="cuda")
LOWERED = Execution(device="cuda", precision="bfloat16")
COMPILED = {p: Execution(device="cuda", precision=p, compile="inductor") for p in ("float32", "bfloat16")}
CAPTURED = {p: Execution(device="cuda", precision=p, compile="cuda-graph") for p in ("float32", "bfloat16")}

ALONE = Execution(device="cuda", precision="bfloat16", compile="capture")


@pytest.fixture(autouse=True)
def float32_is_float32(monkeypatch):
    """What a run in float32 sets: :func:`fetchbench.run.arithmetic.configure`."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("encoder", ["manipulation", "spatial-softmax"])
@pytest.mark.parametrize("routing", ROUTINGS)
def test_float32(rig, routing, encoder):
    hold(made(rig, routing, Execution(), encoder=encoder), made(rig, routing, EAGER, encoder=encoder), TOLERANCE["float32"])


@pytest.mark.parametrize("routing", ROUTINGS)
def test_bfloat16(rig, routing):
    hold(made(rig, routing, Execution()), made(rig, routing, LOWERED), TOLERANCE["bfloat16"])


EVERY_TIME = {("critic", "float32"), ("aux", "bfloat16")}
COMBINATIONS = [
    pytest.param(r, p, id=f"{r}-{p}", marks=[] if (r, p) in EVERY_TIME else [pytest.mark.slow])
    for r in ROUTINGS
    for p in ("float32", "bfloat16")
]


@pytest.mark.parametrize(("routing", "precision"), COMBINATIONS)
def test_captured(rig, routing, precision):
    """Warmed up, captured, and replayed: the kernels are those of the compiled update, and so is what they compute."""
    compiled, captured = made(rig, routing, COMPILED[precision]), made(rig, routing, CAPTURED[precision])
    hold(compiled, captured, TOLERANCE[precision], updates=WARM_UP + 4)
    assert [p.replay is not None for p in captured.learner._graphs._patterns.values()] == [True]


@pytest.mark.parametrize("routing", ROUTINGS)
def test_captured_without_a_compiler(rig, routing):
    eager, captured = made(rig, routing, LOWERED), made(rig, routing, ALONE)
    hold(eager, captured, TOLERANCE["bfloat16"], updates=WARM_UP + 4)
    assert [p.replay is not None for p in captured.learner._graphs._patterns.values()] == [True]


def test_frames_in_host_memory_give_the_same_batches():
    """Those that do not fit on the GPU are gathered on the host, into pinned memory, and copied."""
    rng = np.random.default_rng(0)
    batches = []
    for kept in ("cuda", "cpu"):
        sizes = {"capacity": 4, "horizon": 50, "observation_dim": 2, "action_dim": 4, "frame": (3, 8, 8)}
        replay = Replay(**sizes, device="cuda", frames_device=kept)
        pixels = np.random.default_rng(1).integers(0, 256, replay._frames.shape, dtype=np.uint8)
        replay._frames.copy_(torch.from_numpy(pixels))
        batches.append(replay)
    for _ in range(5):  # both buffers, and again
        episode, step = torch.from_numpy(rng.integers(0, 4, 64)), torch.from_numpy(rng.integers(0, 50, 64))
        on, off = (r.stacks(episode.to(r.frames_device), step.to(r.frames_device), 3, 1) for r in batches)
        assert on.device == off.device == batches[0].device
        assert torch.equal(on, off)


NEEDS_WEIGHTS = {"r3m-18", "r3m-34", "r3m-50", "timm", "vc1-b", "vc1-l", "vip"}
"""Encoders that are somebody's pretrained network: each is one of torchvision's or timm's, and frozen as a rule."""

PLUGINS = [
    pytest.param(kind, name, id=name)
    for kind, name in load_registry().components
    if kind in ("encoder", "augmentation", "auxiliary-loss") and name not in NEEDS_WEIGHTS
]


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_every_plugin_can_be_captured(rig, kind, name):
    fields: dict = {"routing": "critic", "size": 64, "execution": ALONE}
    if kind == "encoder":
        wrapper = load_registry().get("encoder", name).spec.wraps
        fields["encoder"] = Component(name=name, wraps=Component(name="manipulation")) if wrapper else name
    elif kind == "augmentation":
        fields["augmentation"] = Component(name=name)
    else:
        fields |= {
            "routing": "aux",
            "auxiliary_loss": Component(name=name),
            "encoder": "vae" if name == "vae" else "manipulation",
        }
    r = rig(**fields)
    for _ in range(WARM_UP + 3):
        values = {metric: float(value) for metric, value in r.update().items()}
        assert all(map(math.isfinite, values.values())), values
    assert any(p.replay is not None for p in r.learner._graphs._patterns.values())
