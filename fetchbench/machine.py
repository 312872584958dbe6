"""What the machine can do, as far as arithmetic asks; no torch needed to tell."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sysconfig
from pathlib import Path

BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
"""The kernel's names (x86, ARM) of instructions that multiply bfloat16; without them it is slower than float32."""


def read(path: str | Path) -> str:
    """A file's text; empty where it cannot be read."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def package_version(name: str) -> str:
    """An installed package's version; ``-`` without it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def processor_name(cpuinfo: str | None = None) -> str:
    """The processor's model name.

    Args:
        cpuinfo: Text of ``/proc/cpuinfo``, read by default; likewise below.
    """
    return _field("model name", cpuinfo) or platform.processor() or platform.machine()


def processor_flags(cpuinfo: str | None = None) -> set[str]:
    """The processor's instruction sets, by the kernel's names; empty where it does not say."""
    return set((_field("flags", cpuinfo) or _field("Features", cpuinfo)).split())


def bfloat16_instructions(cpuinfo: str | None = None) -> list[str]:
    """Those of :data:`BFLOAT16_FLAGS` that the processor has."""
    flags = processor_flags(cpuinfo)
    return [flag for flag in BFLOAT16_FLAGS if flag in flags]


def minor_version(version: str) -> str:
    """``3.3`` of ``3.3.1``: contacts differ between MuJoCo's minor versions, and so do results."""
    return ".".join(version.split(".")[:2])


def gpu_name(drivers: Path = Path("/proc/driver/nvidia/gpus")) -> str | None:
    """The first GPU's model name, as its driver and torch say it; ``None`` where there is none.

    Args:
        drivers: A folder per GPU, each with a file ``information``. Without it, ``nvidia-smi`` is asked.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    for path in sorted(drivers.glob("*/information")):
        if name := _field("Model", read(path)):
            return name
    if (command := shutil.which("nvidia-smi")) is None:
        return None
    try:
        asked = [command, "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next((line.strip() for line in done.stdout.splitlines() if line.strip()), None)


def _field(name: str, cpuinfo: str | None) -> str:
    """A field of the first processor."""
    for line in (read("/proc/cpuinfo") if cpuinfo is None else cpuinfo).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def wait_briefly() -> None:
    """Have the threads of OpenMP sleep soon while they wait for each other. To be called before torch is imported.

    By default they spin for milliseconds, and so hold the cores that the environment's workers want: with two threads on two
    cores a step of training took an eighth longer. Only GNU's OpenMP, which torch brings, knows the variable.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # tens of microseconds


def compiler() -> str | None:
    """Path of the C++ compiler that torch.compile would call (``CXX``, else g++); ``None`` where there is none."""
    return shutil.which(os.environ.get("CXX", "g++"))


def python_header() -> Path:
    """Where the interpreter's own ``Python.h`` would be, which torch.compile includes."""
    return Path(sysconfig.get_paths()["include"], "Python.h")


def can_compile() -> bool:
    """Whether torch.compile finds what it needs to build code for the processor."""
    return compiler() is not None and python_header().is_file()
