"""What `auto` means, and what is refused."""

from __future__ import annotations

import pytest
import torch

from fetchbench.errors import FetchbenchError
from fetchbench.records.schema import Execution
from fetchbench.run import arithmetic
from fetchbench.run.arithmetic import resolve
from fetchbench.suite import load_suite, requests


@pytest.fixture
def machine(monkeypatch):
    """``machine(cuda=False, bfloat16=False, compiler=False)`` pretends to be one."""

    def pretend(cuda: bool = False, bfloat16: bool = False, compiler: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
        monkeypatch.setattr(arithmetic, "bfloat16_instructions", lambda: ["avx512_bf16"] if bfloat16 else [])
        monkeypatch.setattr(arithmetic, "can_compile", lambda: compiler)

    return pretend


@pytest.fixture(scope="module")
def demo():
    from fetchbench.run.plugins import load_plugins

    return requests(load_suite("demo"), load_plugins())


def longer(demo, track: str):
    (request,) = [r for r in demo if r.method.name == ("blind" if track == "blind" else "manipulation")]
    return [request.model_copy(update={"budget": request.budget.model_copy(update={"steps": 20_000})})]


def test_a_bare_processor_runs_plainly(machine, demo):
    machine()
    assert resolve(demo) == Execution()


def test_bfloat16_where_the_hardware_has_it(machine, demo):
    machine(bfloat16=True)
    assert resolve(demo, threads=2) == Execution(threads=2, precision="bfloat16")
    assert resolve(demo, precision="float32") == Execution()


def test_compiling_where_runs_repay_it(machine, demo):
    machine(compiler=True)
    assert resolve(demo).compile == "none"  # the demo is over before it is repaid
    assert resolve(longer(demo, "pixels-only")).compile == "inductor"
    assert resolve(longer(demo, "blind")).compile == "none"  # there is no encoder to compile
    assert resolve(demo, compile_="inductor").compile == "inductor"


def test_a_gpu(machine, demo):
    machine(cuda=True, bfloat16=True, compiler=True)
    # Too short for a compiler; captured all the same, which takes a moment and saves the launches.
    assert resolve(demo) == Execution(device="cuda", precision="bfloat16", compile="capture")
    for track in ("pixels-only", "blind"):  # fewer launches serve every update
        assert resolve(longer(demo, track)).compile == "cuda-graph"
    assert resolve(demo, device="cpu", compile_="none").device == "cpu"
    machine(cuda=True, bfloat16=True)
    assert resolve(longer(demo, "blind")).compile == "capture"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"device": "cuda"}, "no CUDA device"),
        ({"compile_": "cuda-graph"}, "--compile cuda-graph needs a CUDA device; use inductor, none or auto"),
        ({"compile_": "capture"}, "--compile capture needs a CUDA device; use inductor, none or auto"),
        ({"compile_": "inductor"}, r"needs g\+\+ and Python's headers .*--compile none"),
    ],
)
def test_what_is_not_here_is_refused(machine, demo, asked, message):
    machine()
    with pytest.raises(FetchbenchError, match=message):
        resolve(demo, **asked)


@pytest.mark.parametrize("mode", ["capture", "cuda-graph"])
def test_a_graph_without_a_gpu_is_no_execution(mode):
    with pytest.raises(ValueError, match="needs device = 'cuda'"):
        Execution(compile=mode)
