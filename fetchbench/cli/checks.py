"""What ``fetchbench doctor`` looks at. Whatever may crash a process, or hang it, is looked at by another one."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fetchbench import machine
from fetchbench._version import __version__
from fetchbench.cli.isolated import answer
from fetchbench.errors import FetchbenchError
from fetchbench.machine import bfloat16_instructions, processor_name, read

PYTHON = (3, 11)
MUJOCO = ((3, 5), (3, 12))
"""From, and below which. 3.12 breaks gymnasium-robotics 1.4.2."""

SCARCE_MEMORY_GB = 4.0
SCARCE_DISK_GB = 5.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        value: What was found.
        problem: What is wrong with it; empty if nothing.
        advice: What to do about the problem.
        needed: Whether nothing runs before the problem is solved.
    """

    name: str
    value: str
    problem: str = ""
    advice: str = ""
    needed: bool = False

    @property
    def status(self) -> Literal["ok", "note", "broken"]:
        """``broken`` if the problem must be solved, ``note`` if it may stay."""
        if not self.problem:
            return "ok"
        return "broken" if self.needed else "note"


def every_check() -> list[Check]:
    """Look at everything; takes as long as importing torch."""
    slow: tuple[Callable[[], list[Check]], ...] = (check_torch, check_tasks, check_rendering)
    with ThreadPoolExecutor(len(slow)) as pool:
        pending = [pool.submit(look) for look in slow]
        quick = [check_python(), *check_packages(), *check_machine(), *check_compiler(), check_folder()]
    return [*quick, *(check for found in pending for check in found.result())]


# -- the interpreter and its packages ---------------------------------------------------------------------------------


def check_python() -> Check:
    """The interpreter and fetchbench itself."""
    value = f"fetchbench {__version__} on {platform.python_implementation()} {platform.python_version()}, {platform.system()}"
    if sys.version_info < PYTHON:
        return Check("fetchbench", value, "it needs Python 3.11 or newer", "install one and make the environment anew", True)
    if platform.system() != "Linux":
        return Check("fetchbench", value, "it is written for Linux alone", "run it there, or in a container")
    return Check("fetchbench", value)


def check_packages(version: Callable[[str], str] = importlib.metadata.version) -> list[Check]:
    """The packages that fetchbench asks for: installed, and MuJoCo of a version that works.

    Args:
        version: Name -> installed version, or ``PackageNotFoundError``.
    """
    checks = []
    for name in required_packages():
        try:
            found = version(name)
        except importlib.metadata.PackageNotFoundError:
            advice = "`make setup` in the checkout installs it, or `pip install fetchbench`"
            checks.append(Check(name, "-", "not installed", advice, needed=True))
            continue
        if name == "mujoco" and not MUJOCO[0] <= release(found) < MUJOCO[1]:
            advice = "`pip install 'mujoco>=3.5,<3.12'`"
            checks.append(Check(name, found, "not a version that gymnasium-robotics works with", advice, needed=True))
        else:
            checks.append(Check(name, found))
    return checks


def required_packages() -> list[str]:
    """The names in fetchbench's own metadata, without its extras."""
    try:
        lines = importlib.metadata.requires("fetchbench") or []
    except importlib.metadata.PackageNotFoundError:
        lines = ["gymnasium-robotics", "mujoco", "numpy", "torch", "torchvision"]
    return [match[0] for line in lines if "extra ==" not in line and (match := re.match(r"[A-Za-z0-9._-]+", line))]


def release(version: str) -> tuple[int, ...]:
    """``3.11.0`` -> ``(3, 11)``."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def check_torch() -> list[Check]:
    """Whether torch imports, the GPU that it sees, and whether torchvision, which timm imports, belongs to it."""
    found = answer("""
        import torch, warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            available = torch.cuda.is_available()
        devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if available else []
        tell(
            torch=torch.__version__,
            cuda=torch.version.cuda,
            gpus=[f"{d.name}, {d.total_memory / 2**30:.0f} GB" for d in devices],
            warning=" ".join(str(w.message) for w in caught),
        )
        import torchvision
        tell(torchvision=torchvision.__version__)
    """)
    return judge_torch(found)


def judge_torch(found: Mapping[str, Any]) -> list[Check]:
    """The checks that follow from what a process said of torch, torchvision and GPUs before it ended."""
    advice = "install both from one index in one command: `pip install --force-reinstall torch torchvision`"
    if "torch" not in found:
        return [Check("import torch", "-", found["error"], advice, needed=True)]
    checks = [Check("import torch", found["torch"]), check_gpu(found, nvidia_driver())]
    if "torchvision" in found:
        return [*checks, Check("import torchvision", found["torchvision"])]
    problem = f"{found['error']}; it does not match torch {found['torch']}"
    return [*checks, Check("import torchvision", "-", problem, advice, needed=True)]


def check_gpu(found: Mapping[str, Any], driver: str) -> Check:
    """What torch says of CUDA, beside the driver.

    Args:
        found: ``cuda``, the version that torch was built for; ``gpus``, those it sees; ``warning``, what it complained of.
        driver: Version of NVIDIA's kernel driver; empty without one.
    """
    if found["gpus"]:
        return Check("GPU", f"{'; '.join(found['gpus'])} (driver {driver or 'unknown'}, CUDA {found['cuda']})")
    if not driver:
        return Check("GPU", "none: runs use the CPU")
    value = f"NVIDIA driver {driver}, not usable: runs use the CPU"
    if not found["cuda"]:
        return Check("GPU", value, "this torch is built without CUDA", "install torch and torchvision from a CUDA index")
    problem = first_line(found["warning"]) or f"torch (CUDA {found['cuda']}) sees no device"
    return Check(
        "GPU", value, problem, f"update the driver to one for CUDA {found['cuda']}, or install torch for an older CUDA"
    )


def nvidia_driver() -> str:
    """Version of NVIDIA's kernel driver; empty without one."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return ""
    match = re.search(r"\b\d{3,}(\.\d+)+\b", text)
    return match[0] if match else "unknown"


def check_tasks() -> list[Check]:
    """Whether gymnasium-robotics brings the four tasks."""
    found = answer("""
        import gymnasium, gymnasium_robotics
        from fetchbench.environment.tasks import TASKS
        gymnasium.register_envs(gymnasium_robotics)
        tell(missing=[name for name in TASKS if name not in gymnasium.registry], tasks=list(TASKS))
    """)
    advice = "`pip install --upgrade 'gymnasium-robotics>=1.4.2'`"
    if "error" in found:
        return [Check("tasks", "-", found["error"], advice, needed=True)]
    problem = f"gymnasium-robotics lacks {', '.join(found['missing'])}" if found["missing"] else ""
    return [Check("tasks", ", ".join(found["tasks"]), problem, advice if problem else "", needed=bool(problem))]


def check_rendering() -> list[Check]:
    """Whether a frame can be drawn, and by what. The worker that draws it is a process of its own."""
    advice = "do what the message says; the tracks `state` and `blind` run without"
    try:
        from fetchbench.environment import probe

        report = probe()
    except FetchbenchError as error:
        return [Check("rendering", "-", str(error), advice, needed=True)]
    except Exception as error:
        # Even a numpy that does not import is something to report, not to die of.
        return [Check("rendering", "-", f"{type(error).__name__}: {error}", "`make setup` installs the packages", needed=True)]
    return [Check("rendering", ", ".join(f"{name} {value}" for name, value in report.items()))]


# -- the machine ------------------------------------------------------------------------------------------------------


def check_machine(cpuinfo: str | None = None, memory_gb: float | None = None) -> list[Check]:
    """Processor, its bf16 instructions, and memory.

    Args:
        cpuinfo: Text of ``/proc/cpuinfo``, read by default.
        memory_gb: What this process may use, measured by default.
    """
    bfloat16 = bfloat16_instructions(cpuinfo)
    cores = len(os.sched_getaffinity(0))
    memory = usable_memory_gb() if memory_gb is None else memory_gb
    scarce = memory < SCARCE_MEMORY_GB
    return [
        Check("processor", f"{processor_name(cpuinfo)}, {cores} cores to use"),
        Check("bfloat16 instructions", ", ".join(bfloat16) or "none: runs on the CPU take float32"),
        Check(
            "memory",
            f"{memory:.1f} GB",
            "a run from pixels takes about 1 GB and the replay of a long one much more" if scarce else "",
            "keep --jobs at 1" if scarce else "",
        ),
    ]


def usable_memory_gb() -> float:
    """Physical memory, or the container's limit where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = read("/sys/fs/cgroup/memory.max").strip()
    return (min(total, int(limit)) if limit.isdigit() else total) / 1e9


def check_compiler(compiler: str | None = None, include: str | None = None) -> list[Check]:
    """What torch.compile needs.

    Args:
        compiler: Path of ``g++``, looked for by default.
        include: Folder of Python's headers, the interpreter's own by default.
    """
    found = machine.compiler() if compiler is None else compiler
    header = machine.python_header() if include is None else Path(include, "Python.h")
    version = ".".join(map(str, sys.version_info[:2]))
    missing = "torch.compile needs it: long runs from pixels go without, a sixth slower"
    return [
        Check("g++", found) if found else Check("g++", "-", missing, "`apt-get install g++`"),
        Check("Python.h", str(header))
        if header.is_file()
        else Check("Python.h", "-", missing, f"`apt-get install python{version}-dev`"),
    ]


def check_folder(folder: Path | None = None) -> Check:
    """Whether runs can be kept in a folder, the current one by default."""
    folder = folder or Path.cwd()
    free = shutil.disk_usage(folder).free / 1e9
    value = f"{folder}, {free:.1f} GB free"
    if not os.access(folder, os.W_OK):
        return Check("folder", value, "it cannot be written to", "change to a folder of your own", needed=True)
    if free < SCARCE_DISK_GB:
        return Check("folder", value, "a run keeps its replay on disk until it ends", "free some space")
    return Check("folder", value)


def first_line(text: str) -> str:
    """Up to the first sentence's end."""
    return text.strip().partition(". ")[0].strip()
