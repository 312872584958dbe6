"""Exit codes, and what a mistake looks like."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fetchbench import __version__
from fetchbench.cli.group import VERBS
from fetchbench.errors import FetchbenchError


def start(*arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *arguments], stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


def test_help_lists_every_verb_in_order(fetchbench):
    for flag in ("--help", "-h"):
        answer = fetchbench(flag)
        assert answer.code == 0
        listed = [line.split()[0] for line in answer.out.partition("Commands:")[2].splitlines() if line.strip()]
        assert listed == list(VERBS)
        assert "..." not in answer.out.partition("Commands:")[2]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(fetchbench, verb):
    answer = fetchbench(verb, "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: fetchbench {verb} ")


def test_version(fetchbench):
    assert fetchbench("--version").out == f"fetchbench {__version__}\n"


def test_without_a_verb_the_help_is_shown(fetchbench):
    assert fetchbench().code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["pubish"],
            f"unknown command 'pubish'; did you mean 'publish'? Known: {', '.join(sorted(VERBS))}.",
        ),
        (["xyz"], "unknown command 'xyz'. Known: bench, check, "),
        (["run"], "Missing argument 'SUITE'"),
        (["suites", "--jason"], "No such option"),
        (["run", "small", "--device", "tpu"], "'tpu' is not one of"),
        (["run", "small", "--jobs", "0"], "0 is not in the range"),
        (["publish", "small", "--check"], "leave the suites out"),
    ],
)
def test_usage_errors(fetchbench, arguments, message):
    answer = fetchbench(*arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.out == ""


@pytest.mark.parametrize("arguments", [["run", "smal"], ["show", "smal"]])
def test_an_unknown_suite_is_one_line_with_a_suggestion(fetchbench, arguments):
    answer = fetchbench(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: unknown suite 'smal'; did you mean 'small'? Known: core-v1, demo, ")
    assert len(answer.err.splitlines()) == 1


def test_debug_shows_the_traceback(fetchbench, monkeypatch):
    monkeypatch.setenv("FETCHBENCH_DEBUG", "1")
    with pytest.raises(FetchbenchError):
        fetchbench("show", "smal")


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "\n"),
        (OSError(28, "No space left on device", "runs/x"), 2, "error: runs/x: No space left on device\n"),
        (OSError("odd"), 2, "error: odd\n"),
        (FetchbenchError("what, where, what to do"), 2, "error: what, where, what to do\n"),
    ],
)
def test_what_a_verb_raises_becomes_an_exit_code_and_one_line(fetchbench, monkeypatch, raised, code, message):
    def fail() -> None:
        raise raised

    monkeypatch.setattr("fetchbench.suite.suite_files", fail)
    answer = fetchbench("suites")
    assert (answer.code, answer.out, answer.err) == (code, "", message)


def test_a_closed_pipe_is_no_error():
    process = start("-m", "fetchbench", "suites", stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (1, "")  # type: ignore[union-attr]


def test_a_full_disk_is_one_line():
    with Path("/dev/full").open("w") as full:
        process = start("-m", "fetchbench", "suites", stdout=full)
        assert (process.wait(), process.stderr.read()) == (2, "error: No space left on device\n")  # type: ignore[union-attr]


LIGHT = [["--help"], ["--version"], ["suites"], ["suites", "--json"], ["show", "small"], ["publish", "--check"]]


@pytest.mark.parametrize("arguments", [*LIGHT, ["publish"]], ids=" ".join)
def test_what_must_be_quick_imports_nothing_heavy(workspace, arguments):
    (workspace / "plugins").mkdir()
    (workspace / "plugins" / "mine.py").write_text("raise SystemExit('a plugin was loaded')")
    code = f"""
import sys
from fetchbench.__main__ import run
run({arguments!r})
heavy = ("torch", "mujoco", "gymnasium", "numpy", "scipy", "matplotlib", "timm", "fetchbench_plugin")
print([name for name in sys.modules if name.startswith(heavy)], file=sys.stderr)
"""
    process = start("-c", code, stdout=subprocess.DEVNULL)
    _, err = process.communicate()
    assert err.splitlines()[-1] == "[]"
    assert "a plugin was loaded" not in err


def test_what_must_be_quick_takes_a_moment(workspace):
    """Half a second, and a second for verbs that read every suite there is; on a slow machine, in proportion."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    # Bytecode is kept, as in any installation; processor time, since other tests may be running.
    environment["PYTHONPYCACHEPREFIX"] = str(workspace / "bytecode")

    def took_s(*arguments: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start(*arguments, stdout=subprocess.DEVNULL, env=environment).communicate()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    pace_s = min(took_s("-c", "import click, pydantic.main") for _ in range(3))  # a fifth of a second, usually
    for arguments in LIGHT:
        limit_s, times_s = max(0.17, pace_s) * (6 if arguments[0] in ("suites", "publish") else 3), list[float]()
        while len(times_s) < 2 or (min(times_s) >= limit_s and len(times_s) < 4):
            times_s.append(took_s("-m", "fetchbench", *arguments))
        assert min(times_s) < limit_s, arguments
