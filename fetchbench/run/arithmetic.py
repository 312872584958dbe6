"""How the arithmetic of runs is done: what ``auto`` means on this machine, and how a process is set up for it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Sequence
from typing import Literal

import torch

from fetchbench.environment.tracks import uses_frames
from fetchbench.errors import FetchbenchError
from fetchbench.machine import bfloat16_instructions, can_compile
from fetchbench.records.schema import Execution, RunRequest

COMPILE_FROM_UPDATES = 20_000
"""Compiling takes up to a minute, and takes a sixth off the update of a convolutional encoder on a CPU."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def resolve(
    requests: Sequence[RunRequest],
    *,
    device: str = "auto",
    threads: int = 1,
    precision: str = "auto",
    compile_: str = "auto",
) -> Execution:
    """What ``auto`` means here, for these runs.

    Args:
        requests: The runs that will be executed so.
        device: ``auto`` is CUDA where there is one.
        threads: Per run.
        precision: ``auto`` is ``bfloat16`` where the processor or GPU multiplies it in hardware. By name it is taken
            everywhere, and slow where it must be emulated.
        compile_: ``auto`` is ``cuda-graph`` on a GPU and ``inductor`` on a CPU, each where there is a compiler and a run is
            long enough to repay it; else ``capture`` on a GPU and ``none`` on a CPU.

    Raises:
        FetchbenchError: Something was asked for by name that is not here.
    """
    found = resolve_device(device)
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16(found) else "float32"
    if compile_ == "auto":
        repaid = can_compile() and any(_repays_compiling(request, found) for request in requests)
        fast, plain = ("cuda-graph", "capture") if found == "cuda" else ("inductor", "none")
        compile_ = fast if repaid else plain
    if compile_ in ("capture", "cuda-graph") and found != "cuda":
        raise FetchbenchError(f"--compile {compile_} needs a CUDA device; use inductor, none or auto")
    if compile_ in ("inductor", "cuda-graph") and not can_compile():
        raise FetchbenchError(
            "torch.compile needs g++ and Python's headers (Debian, Ubuntu: `apt-get install -y g++ python3-dev`); "
            "install them, or use --compile none"
        )
    # The words were checked by the command line; the model checks them again.
    values = {"device": found, "threads": threads, "precision": precision, "compile": compile_}
    return Execution.model_validate(values)


def _repays_compiling(request: RunRequest, device: str) -> bool:
    """On a CPU encoders alone are compiled; on a GPU the whole update is captured besides, frames or not."""
    updates = request.budget.steps * request.learner.updates_per_step
    return updates >= COMPILE_FROM_UPDATES and (device == "cuda" or uses_frames(request.method.track))


def resolve_device(wanted: str) -> Literal["cpu", "cuda"]:
    """``auto`` is CUDA where there is one.

    Raises:
        FetchbenchError: ``cuda`` was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise FetchbenchError("no CUDA device is available; run `fetchbench doctor`, or use --device cpu")
    return "cuda" if wanted == "cuda" or (wanted == "auto" and available) else "cpu"


def has_bfloat16(device: str) -> bool:
    """Whether bfloat16 products are done in hardware."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(bfloat16_instructions())


def configure(request: RunRequest) -> None:
    """Set what the request fixes about the arithmetic, for the whole process."""
    execution = request.execution
    keep_memory()
    torch.set_num_threads(execution.threads)
    if execution.device == "cpu":
        torch.use_deterministic_algorithms(True)
        # Every tensor is written before it is read; filling all of them first takes a sixth of an update.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        # Numbers below 1e-38 change nothing but the time that arithmetic on them takes.
        torch.set_flush_denormal(True)
    else:
        # By default convolutions would take the GPU's TensorFloat-32 even in float32. Beside bfloat16 it is welcome.
        lowered = execution.precision == "bfloat16"
        torch.backends.cudnn.allow_tf32 = lowered
        torch.set_float32_matmul_precision("high" if lowered else "highest")
        torch.backends.cudnn.benchmark = lowered
    # Plugins that draw from the global generator at least start from the same state.
    torch.manual_seed(request.seed)


def keep_memory() -> None:
    """Have glibc keep what it frees for the next tensor of the size.

    By default each tensor of over 128 kB up to 32 MB is fetched from the kernel and given back: a third of the time of an
    update of a small CNN went into that.
    """
    with contextlib.suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)
