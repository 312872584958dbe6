"""Where a result comes from: code, packages, machine. No paths and no host names."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from fetchbench._version import __version__
from fetchbench.learner.pretrained import digests, licences
from fetchbench.machine import package_version, processor_name
from fetchbench.records.schema import Provenance

PACKAGES = ("gymnasium", "gymnasium-robotics", "mujoco", "numpy", "pluggy", "timm", "torch", "torchvision")


def provenance(
    device: torch.device, renderer: dict[str, str], suite_sha256: str, networks: Mapping[str, nn.Module]
) -> Provenance:
    """Gather a run's provenance.

    Args:
        device: What it trained on.
        networks: Its networks by name; those whose weights came from a file know its digest.
        renderer: The environment's report of its OpenGL backend; empty without pixels.
        suite_sha256: Digest of the suite as it was run.
    """
    commit, dirty = _git_state()
    return Provenance(
        fetchbench=__version__,
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        processor=processor_name(),
        cores=len(os.sched_getaffinity(0)),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        renderer={k: str(v) for k, v in renderer.items()},
        weights=digests(networks),
        licences=licences(networks),
        packages={name: package_version(name) for name in PACKAGES},
        suite_sha256=suite_sha256,
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _git_state() -> tuple[str | None, bool | None]:
    """Commit of the checkout that fetchbench runs from and whether it differs from it; ``None`` from a wheel."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None, None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", "fetchbench", "plugins"))
    except (OSError, subprocess.SubprocessError):
        return None, None
