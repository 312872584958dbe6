"""From a suite's name to the runs to execute: everything is checked before anything is started or written."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fetchbench.errors import SuiteError
from fetchbench.execution.jobs import Job, prepare
from fetchbench.records.schema import Execution, RunRequest
from fetchbench.suite import Suite, load_suite, requests, run_directory, select, with_plugins, write_index

if TYPE_CHECKING:
    from fetchbench.registry import Registry


@dataclass(frozen=True)
class Plan:
    """The runs of a suite, checked.

    Attributes:
        suite: With the methods that plugin files brought.
        requests: Every run of the suite.
        selected: Those to execute, in order.
        execution: Device, threads, precision and compile mode of the runs that begin now.
        plugins: The plugin files.
        lacking: Method -> why its runs are not among those to execute: pretrained weights that are not on this machine.
    """

    suite: Suite
    requests: tuple[RunRequest, ...]
    selected: tuple[RunRequest, ...]
    execution: Execution
    plugins: tuple[Path, ...] = ()
    lacking: Mapping[str, str] = field(default_factory=dict)


def plan(
    name: str,
    runs: Path,
    *,
    plugins: Sequence[Path] = (),
    methods: Sequence[str] = (),
    tasks: Sequence[str] = (),
    seeds: Sequence[int] = (),
    device: str = "auto",
    threads: int = 1,
    precision: str = "auto",
    compile_: str = "auto",
) -> Plan:
    """Load a suite and its plugins, and check that each selected run without a record can be built and drawn here.

    Writes nothing.

    Args:
        name: Of a suite, or a path that ends in ``.toml``.
        runs: The runs folder.
        plugins: Files whose components become methods of the suite.
        methods: To execute; empty is all. So are ``tasks`` and ``seeds``.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: Per run.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        compile_: ``auto``, ``none``, ``inductor``, ``capture`` or ``cuda-graph``.

    Raises:
        FetchbenchError: An unknown name, a broken suite or plugin, a method that cannot be built, no OpenGL, no such device.
    """
    suite = load_suite(name)
    if not plugins:
        # A mistyped name is told before torch is imported.
        select(suite, methods=methods, tasks=tasks, seeds=seeds)

    # A plugin that prints must not spoil what is printed as the result.
    with contextlib.redirect_stdout(sys.stderr):
        # Plugins import torch.
        from fetchbench.run.arithmetic import resolve
        from fetchbench.run.plugins import load_plugins

        registry = load_plugins(plugins)
        registry.raise_for(plugins)
        suite = with_plugins(suite, registry, plugins)
        every = requests(suite, registry)
        chosen = select(suite, methods=methods, tasks=tasks, seeds=seeds)
        cells = {(seed, method.name, task) for seed, method, task in chosen.cells()}
        selected = [r for r in every if (r.seed, r.method.name, r.task) in cells]
        execution = resolve(selected, device=device, threads=threads, precision=precision, compile_=compile_)
        every, selected = ([r.model_copy(update={"execution": execution}) for r in some] for some in (every, selected))
        unfinished = [r for r in selected if not (runs / run_directory(r) / "record.json").exists()]
        lacking = check(suite.where, unfinished, registry)
        left_out = {r.key for r in unfinished if r.method.name in lacking}
        selected = [r for r in selected if r.key not in left_out]
    return Plan(suite, tuple(every), tuple(selected), execution, tuple(plugins), lacking)


def check(where: str, unfinished: Sequence[RunRequest], registry: Registry) -> dict[str, str]:
    """Check that each method builds, and that frames can be drawn where one needs them.

    Returns:
        Method -> what it lacks, for methods whose pretrained weights are not on this machine: the others can still run.

    Raises:
        SuiteError: With every method that does not build.
        RenderingError: No usable OpenGL.
    """
    from fetchbench.environment.tracks import uses_frames
    from fetchbench.run.prepare import preflight

    found = preflight(unfinished, registry)
    if found.problems:
        raise SuiteError(where, found.problems)
    if any(uses_frames(r.method.track) for r in unfinished if r.method.name not in found.lacking):
        from fetchbench.environment import probe

        probe()
    return found.lacking


def begin(plan: Plan, runs: Path) -> list[Job]:
    """Write the suite's index and make the folders of the selected runs.

    Raises:
        StorageError: They cannot be written.
    """
    write_index(runs, plan.suite, plan.requests)
    return prepare(runs, plan.selected)
