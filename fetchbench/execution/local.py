"""Runs as processes of this machine, a few at a time, spread over its GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from fetchbench.execution.jobs import Job
from fetchbench.execution.launching import Process
from fetchbench.records.schema import Execution


def default_slots(device: str, threads: int) -> int:
    """How many runs at a time: on the CPU cores / threads, on CUDA one per GPU; at least 1."""
    return max(1, len(_gpus()) if device == "cuda" else usable_cores() // threads)


def usable_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: those it may run on, or a container's quota where that is less; at least 1.

    Args:
        quota: ``200000 100000`` is two cores' time, ``max 100000`` no limit.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        limit, period = quota.read_text().split()
        return cores if limit == "max" else max(1, min(cores, int(limit) // int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return cores


class LocalProcesses:
    """Every run is a child of this process, on one GPU where there are several."""

    def __init__(self) -> None:
        self._named: list[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def slots(self, execution: Execution, runs: int) -> int:
        return default_slots(execution.device, execution.threads)

    def start(self, command: Sequence[str], job: Job, environment: Mapping[str, str], log: Path, slot: int) -> Process:
        if job.request.execution.device == "cuda":
            if self._named is None:
                self._named = _gpus()
            if self._named:
                environment = {**environment, "CUDA_VISIBLE_DEVICES": self._named[slot % len(self._named)]}
        return Process(command, environment, log)


def _gpus() -> list[str]:
    """The GPUs that may be used, as ``CUDA_VISIBLE_DEVICES`` names them."""
    if named := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return [name.strip() for name in named.split(",") if name.strip()]
    import torch  # here alone: only a run on CUDA pays for it, and has it already

    return [str(index) for index in range(torch.cuda.device_count())]
