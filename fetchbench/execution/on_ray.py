"""Runs on the nodes of a Ray cluster. Each is the child of an actor of its own, and dies with that actor's process.

Ray (https://docs.ray.io) counts a run's threads as CPUs, and its GPU where it trains on one; it is told to write nothing of its
own to the terminal and to send no usage statistics.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from fetchbench.errors import FetchbenchError, one_line
from fetchbench.execution.jobs import Job
from fetchbench.execution.launching import UNHEARD, Options, Process, known_options, say_lost
from fetchbench.execution.local import usable_cores
from fetchbench.records.schema import Execution
from fetchbench.run.interrupts import INFRASTRUCTURE, INTERRUPTED

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns of a change to come
    "RAY_worker_niceness": "0",  # runs are no background work, as Ray's actors are by default
}
"""Of this process and of a cluster that it starts."""


class OnRay:
    """Hands runs to a Ray cluster: the one at ``address``, else the one that is running here, else one of this machine alone.

    Args:
        options: ``address``, as ``ray.init`` takes it: ``HOST:PORT``, ``auto`` or ``local``.

    Raises:
        FetchbenchError: An unknown option.
        ImportError: Ray is not installed.
    """

    def __init__(self, options: Options) -> None:
        known_options("ray", options, ("address",))
        os.environ.update(ENVIRONMENT)
        import ray

        self._ray: Any = ray
        self._address = options.get("address", "")
        self._entered = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as entered:
            entered.callback(self._ray.shutdown)
            try:
                self._connect()
            except Exception as error:  # Ray raises what it likes
                where = f"the Ray cluster at {self._address!r}" if self._address else "a Ray cluster"
                advice = "name another with --executor-option address=HOST:PORT"
                raise FetchbenchError(f"could not reach {where}; {advice}: {one_line(error)}") from error
            # It prints there that a node died, whatever it is told; ours are results.
            nowhere = entered.enter_context(Path(os.devnull).open("w"))
            entered.enter_context(contextlib.redirect_stdout(nowhere))
            self._entered = entered.pop_all()
        return self

    def _connect(self) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._address != "local":
            try:
                self._ray.init(address=self._address or "auto", **quiet)
                return
            except ConnectionError:
                if self._address:
                    raise
        # Runs have none of Ray's objects, for which it takes a third of the memory by default.
        sizes = {"num_cpus": usable_cores(), "object_store_memory": 100 * 2**20}
        self._ray.init(address="local", include_dashboard=False, **sizes, **quiet)

    def __exit__(self, *_: object) -> None:
        self._entered.close()

    def slots(self, execution: Execution, runs: int) -> int:
        wanted = _resources(execution)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        held = sum(min(int(node.get(name, 0) // number) for name, number in wanted.items()) for node in nodes)
        if not held:
            needs = " and ".join(f"{number} {name}" for name, number in wanted.items())
            advice = "run with fewer --threads, or give --jobs to wait until there is one"
            raise FetchbenchError(f"no node of the Ray cluster has {needs}, which each run needs; {advice}")
        return held

    def start(self, command: Sequence[str], job: Job, environment: Mapping[str, str], log: Path, slot: int) -> _OnNode:
        needs = _resources(job.request.execution)
        actor = self._ray.remote(_Beside).options(num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0), max_restarts=0)
        return _OnNode(self._ray, actor.remote(list(command), dict(environment), log.absolute(), Path.cwd()), log)


def _resources(execution: Execution) -> dict[str, int]:
    """What one run takes, by Ray's names."""
    return {"CPU": execution.threads} | ({"GPU": 1} if execution.device == "cuda" else {})


class _Beside(Process):
    """What the actor is, on the run's node. Ray blocks Ctrl-C's signal for all that it starts; the run must hear it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path) -> None:
        super().__init__(command, environment, log, folder, blocked=UNHEARD)

    def look(self) -> tuple[int, int | None]:
        """The process, and its exit code once it has one."""
        return self.pid, self.poll()


class _OnNode:
    """One run, seen from here."""

    queued = "queued by Ray"

    def __init__(self, ray: Any, actor: Any, log: Path) -> None:
        self._ray, self._actor, self._log = ray, actor, log
        self._answer = actor.look.remote()
        self._code: int | None = None
        self.pid: int | None = None

    def poll(self) -> int | None:
        if self._code is not None or not self._ray.wait([self._answer], timeout=0)[0]:
            return self._code
        try:
            self.pid, self._code = self._ray.get(self._answer)
        except self._ray.exceptions.RayError as error:
            say_lost(self._log, f"Ray lost it: {error}")
            self._code = INFRASTRUCTURE
        if self._code is None:
            self._answer = self._actor.look.remote()
        else:
            self._end()
        return self._code

    def interrupt(self, level: int) -> None:
        if self.pid is None or level > 2:  # a process dies with its actor
            self._code = INTERRUPTED
            self._end()
        else:
            self._actor.interrupt.remote(level)

    def _end(self) -> None:
        """Give its place back."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor)
