"""What the machine says of itself."""

from __future__ import annotations

from fetchbench.machine import bfloat16_instructions, can_compile, processor_flags, processor_name

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
