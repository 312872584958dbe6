"""Nothing is fetched without being asked for: every process of these commands is kept from the network, and none tries it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CUSTOMISE = '''
"""Python imports this file in every process that finds it: a connection is written down and refused."""
import os
import socket

def refuse(what):
    with open(os.environ["ATTEMPTS"], "a") as file:
        file.write(f"{os.getpid()} {what}\\n")
    raise OSError(f"no network: {what}")

class Socket(socket.socket):
    def connect(self, address):
        return super().connect(address) if self.family == socket.AF_UNIX else refuse(address)

    def connect_ex(self, address):
        return super().connect_ex(address) if self.family == socket.AF_UNIX else refuse(address)

    def sendto(self, *arguments):
        return super().sendto(*arguments) if self.family == socket.AF_UNIX else refuse(arguments[-1])

socket.socket = Socket
socket.create_connection = lambda address, *_, **__: refuse(address)
for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
    setattr(socket, name, lambda host, *_, **__: refuse(host))
'''

SUITE = """
title = "A suite"
tasks = ["FetchReach-v4"]
track = "pixels-only"
seeds = [0]

[pixels]
preset = "reach-cpu"
size = 16

[learner]
preset = "reach-cpu"
warmup_steps = 50
batch_size = 8
hidden = [8]

[budget]
steps = 100
checkpoint_every_steps = 50

[evaluation]
every_steps = 100
episodes = 1
last = 1

[template]
encoder = "manipulation"
routing = "critic"

[methods.scratch]

[methods.r3m]
encoder = "r3m-18"
routing = "frozen"

[methods.timm]
encoder = { name = "timm", model = "resnet18.tv_in1k" }
routing = "frozen"
"""


class Offline:
    """A workspace whose commands are kept from the network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "workspace"
        self.attempts = folder / "attempts"
        (self.folder / "suites").mkdir(parents=True)
        (self.folder / "suites" / "small.toml").write_text(SUITE)
        shutil.copytree(ROOT / "leaderboard" / "records" / "demo", self.folder / "leaderboard" / "records" / "demo")
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(CUSTOMISE)
        ours = {"HF_HOME": "hub", "HF_HUB_CACHE": "hub", "TORCH_HOME": "torch", "FETCHBENCH_WEIGHTS": "weights"}
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")},
            **{name: str(folder / place) for name, place in ours.items()},
            "PYTHONPATH": str(folder / "site"),
            "ATTEMPTS": str(self.attempts),
        }

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "fetchbench", *arguments)

    @property
    def tried(self) -> str:
        """What was tried, and by which process."""
        return self.attempts.read_text() if self.attempts.exists() else ""


@pytest.fixture
def offline(tmp_path) -> Offline:
    return Offline(tmp_path)


def test_these_processes_cannot_reach_the_network(offline):
    """So that the tests below say something."""
    for code in (
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')",
        "import socket; socket.socket().connect(('127.0.0.1', 9))",
    ):
        before = offline.tried
        assert "no network: " in offline.python("-P", "-c", code).stderr
        assert offline.tried != before


def test_looking_planning_and_publishing_fetch_nothing(offline):
    for arguments in (["suites"], ["show", "small"], ["plan", "push-pretrained-v1"], ["publish"], ["publish", "--check"]):
        done = offline(*arguments)
        assert done.returncode == 0, done.stderr
    assert offline.tried == ""


def test_a_run_fetches_nothing_and_what_needs_weights_says_where_to_get_them(offline):
    done = offline("run", "small", "--jobs", "1")
    assert offline.tried == ""
    assert done.returncode == 2  # two methods are left out
    for name in ("r3m", "timm"):
        assert f"left out: {name}: no weights: " in done.stderr
    assert done.stderr.count("Get it from https://") == 2
    assert done.stderr.count('or write `weights = "hub"`, which fetches it') >= 1
    assert "Traceback" not in done.stderr
    records = list((offline.folder / "runs").rglob("record.json"))
    assert [path.parts[-3] for path in records] == ["scratch"]


@pytest.mark.slow
def test_checking_a_plugin_fetches_nothing(offline):
    shutil.copy(ROOT / "plugins" / "nature.py", offline.folder / "mine.py")
    (offline.folder / "mine.py").write_text((offline.folder / "mine.py").read_text().replace('name="nature"', 'name="mine"'))
    done = offline("check", "./mine.py")
    assert offline.tried == ""
    assert done.returncode == 0, done.stdout + done.stderr
