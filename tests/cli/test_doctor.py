"""``fetchbench doctor``."""

from __future__ import annotations

import importlib.metadata
import json

import pytest

from fetchbench.cli import checks
from fetchbench.cli.checks import Check
from fetchbench.cli.isolated import answer
from fetchbench.errors import RenderingError


def test_this_machine(fetchbench):
    """Every check for real: imports, tasks and rendering, each in its own process."""
    answer = fetchbench("doctor", "--json")
    found = json.loads(answer.out)
    by_name = {check["name"]: check for check in found["checks"]}
    assert {"fetchbench", "mujoco", "torch", "import torch", "import torchvision", "GPU", "tasks", "rendering"} <= set(by_name)
    assert {"processor", "bfloat16 instructions", "memory", "g++", "Python.h", "folder"} <= set(by_name)
    assert answer.code == (0 if found["ok"] else 1)
    assert by_name["tasks"]["status"] == "ok"
    assert "FetchPush-v4" in by_name["tasks"]["value"]
    for check in found["checks"]:
        assert bool(check["problem"]) == bool(check["advice"]) == (check["status"] != "ok")


@pytest.mark.parametrize(("needed", "code"), [(True, 1), (False, 0)])
def test_a_problem_comes_with_advice_and_only_what_is_needed_fails(fetchbench, monkeypatch, needed, code):
    check = Check("rendering", "-", "no OpenGL", "`apt-get install libegl1`", needed)
    monkeypatch.setattr(checks, "every_check", lambda: [Check("fetchbench", "0.1.0"), check])
    answer = fetchbench("doctor")
    assert answer.code == code
    status = "broken" if needed else "note"
    assert f"{status}: rendering: no OpenGL. What to do: `apt-get install libegl1`." in answer.out


def test_no_opengl(monkeypatch):
    def probe() -> None:
        raise RenderingError("no usable OpenGL; install libegl1")

    monkeypatch.setattr("fetchbench.environment.probe", probe)
    (check,) = checks.check_rendering()
    assert (check.status, check.problem) == ("broken", "no usable OpenGL; install libegl1")


@pytest.mark.parametrize(("version", "status"), [("3.4.9", "broken"), ("3.5.0", "ok"), ("3.11.2", "ok"), ("3.12.0", "broken")])
def test_versions_of_mujoco(version, status):
    found = {check.name: check for check in checks.check_packages(lambda name: version)}
    assert found["mujoco"].status == status
    assert found["numpy"].status == "ok"


def test_a_package_that_is_missing():
    def version(name: str) -> str:
        if name == "timm":
            raise importlib.metadata.PackageNotFoundError(name)
        return "3.11"

    found = {check.name: check for check in checks.check_packages(version)}
    assert (found["timm"].status, found["timm"].problem) == ("broken", "not installed")
    assert "pytest" not in found


def test_a_native_crash_a_hang_and_an_exception_are_answers():
    assert answer("import os; tell(value=1); os.abort()") == {"value": 1, "error": "crashed (signal 6)"}
    assert answer("raise ImportError('libEGL')") == {"error": "ImportError: libEGL"}
    assert answer("import time; time.sleep(9)", timeout_s=0.3) == {"error": "no answer after 0.3 s"}
    assert answer("print('noise'); tell(value=1); tell(more=[])") == {"value": 1, "more": []}


def test_a_torchvision_that_does_not_match_torch():
    found = {"torch": "2.15.0", "cuda": None, "gpus": [], "warning": "", "error": "operator torchvision::nms does not exist"}
    by_name = {check.name: check for check in checks.judge_torch(found)}
    assert by_name["import torch"].status == "ok"
    assert by_name["import torchvision"].status == "broken"
    assert "it does not match torch 2.15.0" in by_name["import torchvision"].problem
    (check,) = checks.judge_torch({"error": "crashed (signal 11)"})
    assert (check.status, check.problem) == ("broken", "crashed (signal 11)")


@pytest.mark.parametrize(
    ("found", "driver", "status", "text"),
    [
        ({"gpus": [], "cuda": "13.2", "warning": ""}, "", "ok", "none: runs use the CPU"),
        ({"gpus": ["H100, 80 GB"], "cuda": "13.2", "warning": ""}, "580.1", "ok", "H100, 80 GB (driver 580.1, CUDA 13.2)"),
        ({"gpus": [], "cuda": None, "warning": ""}, "580.1", "note", "built without CUDA"),
        ({"gpus": [], "cuda": "13.2", "warning": "The driver is too old. More."}, "470.1", "note", "The driver is too old"),
    ],
)
def test_gpus(found, driver, status, text):
    check = checks.check_gpu(found, driver)
    assert check.status == status
    assert text in check.value + check.problem


def test_processor_and_memory():
    info = "model name\t: Example 9000\nflags\t\t: fpu avx512_bf16 amx_bf16\n"
    processor, bf16, memory = checks.check_machine(info, memory_gb=2.0)
    assert processor.value.startswith("Example 9000, ")
    assert bf16.value == "avx512_bf16, amx_bf16"
    assert memory.status == "note"
    assert checks.check_machine("", memory_gb=64.0)[1].value.startswith("none")


def test_compiler_and_folder(tmp_path):
    assert [check.status for check in checks.check_compiler("", str(tmp_path))] == ["note", "note"]
    (tmp_path / "Python.h").touch()
    assert [check.status for check in checks.check_compiler("/usr/bin/g++", str(tmp_path))] == ["ok", "ok"]
    assert checks.check_folder(tmp_path).value.startswith(f"{tmp_path}, ")
