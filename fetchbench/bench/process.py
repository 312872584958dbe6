"""Measuring processes: each side of each comparison works in one of its own, and in turns with the others.

So one side's memory, threads, allocator and OpenGL do not touch another's. A side is a class of this package whose methods
take and return JSON values; it is made, and its methods are called, in the process (``python -m fetchbench.bench``).
"""

from __future__ import annotations

import importlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from fetchbench.environment.vector import drawing_environment
from fetchbench.errors import FetchbenchError, one_line
from fetchbench.machine import read

TIMEOUT_S = 1800.0
"""A side that takes longer over one answer has hung."""


class Side:
    """A side's process, seen from the one that directs.

    Args:
        name: ``module:Class`` of this package.
        cores: Those that it and its own children may use.
        environment: Variables that are set for it.
        arguments: Of the class; JSON values.
    """

    def __init__(self, name: str, cores: Sequence[int], environment: Mapping[str, str] | None = None, **arguments: Any) -> None:
        self.name = name
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by close()
        self._began = time.monotonic()
        with theirs:
            self._process = subprocess.Popen(
                # -P: the current folder is the user's, and holds what it holds.
                [sys.executable, "-P", "-m", "fetchbench.bench", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **(environment or {})},
            )
        ours.settimeout(TIMEOUT_S)
        self._socket, self._incoming = ours, ours.makefile("r")
        self._startup_s: float | None = None
        self._tell({"side": name, "cores": list(cores), "arguments": arguments})

    def ready(self) -> float:
        """Wait until it is made; returns how long that took from the start of the process, seconds.

        Raises:
            FetchbenchError: It could not be made.
        """
        if self._startup_s is None:
            self._answer()
            self._startup_s = time.monotonic() - self._began
        return self._startup_s

    def ask(self, method: str, **arguments: Any) -> Any:
        """Call a method of the side.

        Raises:
            FetchbenchError: It failed, or its process did.
        """
        self.ready()
        self._tell({"method": method, "arguments": arguments})
        return self._answer()

    def peak_memory_mb(self) -> float:
        """Peak of resident memory, summed over the process and its living descendants, 2**20 bytes.

        Pages that several of them share count for each. The kernel's ``ru_maxrss`` would not do: it starts with what the
        process that started this one had.
        """
        return sum(map(_peak_memory_mb, _descendants(self._process.pid)))

    def close(self) -> None:
        """Hang up, and end the process if it does not follow."""
        self._incoming.close()
        self._socket.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _tell(self, value: dict[str, Any]) -> None:
        try:
            self._socket.sendall(json.dumps(value).encode() + b"\n")
        except OSError:
            raise self._gone() from None

    def _answer(self) -> Any:
        try:
            line = self._incoming.readline()
        except TimeoutError:
            raise FetchbenchError(f"{self.name}: no answer after {TIMEOUT_S:g} s") from None
        except OSError:
            line = ""
        if not line:
            raise self._gone()
        answer = json.loads(line)
        if "error" in answer:
            if os.environ.get("FETCHBENCH_DEBUG"):
                sys.stderr.write(answer["traceback"])
            raise FetchbenchError(f"{self.name}: {answer['error']}")
        return answer["value"]

    def _gone(self) -> FetchbenchError:
        code = self._process.wait()
        self._errors.seek(0)
        said = [line for line in self._errors.read().splitlines() if line.strip()]
        fate = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"ended with exit code {code}"
        return FetchbenchError(f"{self.name}: its process {fate}" + (f": {said[-1].strip()}" if said else ""))


def serve(connection: socket.socket) -> None:
    """The process's side: make what the first line names, then answer one line with one line until the other hangs up."""
    with connection, connection.makefile("r") as incoming, connection.makefile("w") as outgoing:
        try:
            first = json.loads(incoming.readline())
            os.sched_setaffinity(0, first["cores"])
            module, _, name = first["side"].partition(":")
            side = getattr(importlib.import_module(f"fetchbench.bench.{module}"), name)(**first["arguments"])
            _reply(outgoing, {"value": None})
            for line in incoming:
                asked = json.loads(line)
                _reply(outgoing, {"value": getattr(side, asked["method"])(**asked["arguments"])})
            if hasattr(side, "close"):
                side.close()
        except OSError as error:
            if not isinstance(error, BrokenPipeError | ConnectionResetError):
                _reply_error(outgoing, error)
        except Exception as error:
            _reply_error(outgoing, error)


def _reply(outgoing: IO[str], value: dict[str, Any]) -> None:
    outgoing.write(json.dumps(value) + "\n")
    outgoing.flush()


def _reply_error(outgoing: IO[str], error: Exception) -> None:
    text = str(error) if isinstance(error, FetchbenchError) else f"{type(error).__name__}: {error}"
    _reply(outgoing, {"error": one_line(text), "traceback": traceback.format_exc()})


def drawing_variables(report: Mapping[str, str]) -> dict[str, str]:
    """Environment variables for a process that draws by gymnasium, as our own workers have them.

    Without them gymnasium tries to open a window first, and Mesa's software renderer takes every core for each process, which
    is no faster for such small frames.

    Args:
        report: What draws for us: the same backend draws for gymnasium.
    """
    return drawing_environment(report["backend"])


# -- memory -----------------------------------------------------------------------------------------------------------


def resident_memory_mb() -> float:
    """Resident memory of this process now, 2**20 bytes."""
    return _status_mb("self", "VmRSS")


def available_memory_mb() -> float:
    """Memory that new processes may take without swapping, 2**20 bytes; the container's limit where that is less."""
    free = re.search(r"^MemAvailable:\s+(\d+) kB", read(Path("/proc/meminfo")), re.MULTILINE)
    left = int(free[1]) / 1024 if free else 0.0
    limit, used = (read(Path("/sys/fs/cgroup", name)).strip() for name in ("memory.max", "memory.current"))
    return min(left, (int(limit) - int(used)) / 2**20) if limit.isdigit() and used.isdigit() else left


def _peak_memory_mb(pid: int) -> float:
    return _status_mb(str(pid), "VmHWM")


def _status_mb(pid: str, field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+) kB", read(Path("/proc", pid, "status")), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _descendants(pid: int) -> list[int]:
    """A process and all that it started, directly or not."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        # Behind the command's name, which may hold anything but a closing bracket: state and parent.
        fields = read(path).rpartition(")")[2].split()
        if fields:
            parents[int(path.parent.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found
