"""What the machine says of itself."""

from __future__ import annotations

import os

from fetchbench.machine import (
    bfloat16_instructions,
    can_compile,
    gpu_name,
    processor_flags,
    processor_name,
    wait_briefly,
)

EPYC = """processor\t: 0
model name\t: AMD EPYC 9R14
flags\t\t: fpu sse2 avx512f avx512_bf16

processor\t: 1
model name\t: AMD EPYC 9R14
flags\t\t: fpu sse2
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16 sve\n"


def test_the_first_processor_speaks_for_all():
    assert processor_name(EPYC) == "AMD EPYC 9R14"
    assert processor_flags(EPYC) == {"fpu", "sse2", "avx512f", "avx512_bf16"}
    assert bfloat16_instructions(EPYC) == ["avx512_bf16"]


def test_arm_calls_them_features():
    assert bfloat16_instructions(ARM) == ["bf16"]
    assert processor_name(ARM)  # the platform's own word for it


def test_a_machine_that_does_not_say():
    assert (processor_flags(""), bfloat16_instructions("")) == (set(), [])


def test_compiling_needs_compiler_and_header(monkeypatch, tmp_path):
    monkeypatch.setattr("fetchbench.machine.python_header", lambda: tmp_path / "Python.h")
    monkeypatch.setenv("CXX", "sh")  # any program that there is
    assert not can_compile()
    (tmp_path / "Python.h").touch()
    assert can_compile()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not can_compile()


def test_threads_wait_briefly_unless_the_user_says_how(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    wait_briefly()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "10000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "7"


def test_a_gpu_is_named_as_its_driver_names_it(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 3\n")
    assert gpu_name(tmp_path) == "NVIDIA H100 80GB HBM3"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_name(tmp_path) is None


def test_without_a_driver_nvidia_smi_is_asked(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_name(tmp_path / "none") is None
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'Example GPU'\necho 'Another GPU'\n")
    command.chmod(0o755)
    assert gpu_name(tmp_path / "none") == "Example GPU"
    command.write_text("#!/bin/sh\nexit 9\n")
    assert gpu_name(tmp_path / "none") is None
