"""Python code in a process of its own: what it imports may crash or hang without taking the command line down."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

TIMEOUT_S = 180.0

_MARK = "told: "
_PREAMBLE = f"""
import json
def tell(**values):
    print("\\n{_MARK}" + json.dumps(values), flush=True)
"""


def answer(code: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Run Python code in a process of its own.

    Args:
        code: Calls ``tell(**values)``, as often as it likes.
        timeout_s: After which it counts as hung.

    Returns:
        The values, and ``error``, one line, where the process came to no good end.
    """
    # -P: a file of the current folder must not stand in for a package.
    command = [sys.executable, "-P", "-c", _PREAMBLE + textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            return {**_told(out), "error": f"no answer after {timeout_s:g} s"}
    if process.returncode == 0:
        return _told(out)
    if process.returncode < 0:
        return {**_told(out), "error": f"crashed (signal {-process.returncode})"}
    lines = [line for line in err.splitlines() if line.strip()]
    return {**_told(out), "error": lines[-1].strip() if lines else f"exit code {process.returncode}"}


def _told(out: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for line in out.splitlines():
        if line.startswith(_MARK):
            values.update(json.loads(line.removeprefix(_MARK)))
    return values
