"""Published records, held against this machine: which were edited, which can be verified here, and which one is to be."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from fetchbench.errors import FetchbenchError, RecordError, UnknownNameError
from fetchbench.machine import can_compile, minor_version, package_version
from fetchbench.protocol import LEARNER_VERSION, PROTOCOL_VERSION
from fetchbench.records.diagnosis import score_denied
from fetchbench.records.schema import Record, RunRequest
from fetchbench.records.store import read_record
from fetchbench.suite import run_key

if TYPE_CHECKING:
    from fetchbench.registry import Registry

Standing: TypeAlias = Literal["verifiable", "edited", "elsewhere"]
"""``edited``: the file is damaged, was edited by hand, or lies in the wrong place. ``elsewhere``: it is sound, and cannot be
verified here."""


@dataclass(frozen=True)
class Examined:
    """One record of a set.

    Attributes:
        path: Under the folder of records: ``<suite>/<method>/<task>/seed<k>.json``.
        standing: What can be done with it here.
        reason: Why it is not ``verifiable``, in one line; empty otherwise.
        record: ``None`` where the file is no record.
    """

    path: Path
    standing: Standing
    reason: str = ""
    record: Record | None = None

    @property
    def suite(self) -> str:
        return self.path.parts[0]


def installed(plugins: Sequence[Path] = ()) -> Registry:
    """The plugins that are here.

    Raises:
        PluginError: A file that was named does not load.
    """
    # A plugin that prints must not spoil what is printed as the result.
    with contextlib.redirect_stdout(sys.stderr):
        from fetchbench.run.plugins import load_plugins

        registry = load_plugins(plugins)
        registry.raise_for(plugins)
    return registry


def examine(folder: Path, registry: Registry) -> list[Examined]:
    """Every record of a set, in order of path. Nothing is run.

    Args:
        folder: Holds ``<suite>/<method>/<task>/seed<k>.json``; hidden files are left alone.
        registry: The plugins that are here.
    """
    paths = [path.relative_to(folder) for path in sorted(folder.rglob("*.json"))]
    return [_examined(folder, path, registry) for path in paths if not any(part.startswith(".") for part in path.parts)]


def _examined(folder: Path, path: Path, registry: Registry) -> Examined:
    try:
        record = read_record(folder / path)
    except RecordError as error:
        return Examined(path, "edited", str(error).removeprefix(f"{folder / path}: "))
    if edit := _edited(path, record):
        return Examined(path, "edited", edit, record)
    lack = _lack(record.request, registry)
    return Examined(path, "elsewhere" if lack else "verifiable", lack, record)


def _edited(path: Path, record: Record) -> str:
    """What shows that a record whose digest holds was edited all the same; empty where nothing does."""
    request = record.request
    own = (request.method.name, request.task, f"seed{request.seed}.json")
    if path.parts[1:] != own:
        return f"holds the record of {'/'.join(own)}; move it there, or restore it from version control"
    if denied := score_denied(record):
        return f"{denied}: it was edited and sealed again"
    # Another version's key may follow from other fields.
    if _versions(request) == (PROTOCOL_VERSION, LEARNER_VERSION) and run_key(request) != request.key:
        return "its request does not give its key: what it says was run is not what was run"
    return ""


def _versions(request: RunRequest) -> tuple[int, int]:
    return request.protocol_version, request.learner_version


def _lack(request: RunRequest, registry: Registry) -> str:
    """Why a run cannot be repeated here with these plugins; empty where it can, as far as one can tell beforehand."""
    versions = _versions(request)
    if versions != (PROTOCOL_VERSION, LEARNER_VERSION):
        return (
            f"of protocol and learner version {versions[0]} and {versions[1]}; this fetchbench has {PROTOCOL_VERSION} and "
            f"{LEARNER_VERSION}: verify it with the release that its provenance names"
        )
    here = minor_version(package_version("mujoco"))
    if minor_version(request.mujoco) != here:
        return f"run with MuJoCo {minor_version(request.mujoco)}, and {here} is installed; contacts differ between them"
    for kind, component in request.method.components():
        what = f"{kind.replace('-', ' ')} {component.name!r}"
        try:
            found = registry.get(kind, component.name).provider
        except UnknownNameError:
            return f"{what} is not here; name its file with --plugin, or install {component.provider or 'its package'}"
        if component.source_sha256 and component.source_sha256 != found.source_sha256:
            return (
                f"the source of {what} is not the one that was run (sha256 {component.source_sha256[:12]}, "
                f"here {found.source_sha256[:12]})"
            )
    return _lacking_machine(request)


def _lacking_machine(request: RunRequest) -> str:
    if request.execution.device == "cuda":
        from fetchbench.run.arithmetic import resolve_device

        if resolve_device("auto") != "cuda":
            return "run on a GPU, and there is none here"
    if request.execution.compiles and not can_compile():
        return "run with torch.compile, which needs g++ and Python's headers here"
    return ""


def choose(
    examined: Sequence[Examined], *, suite: str | None = None, run: tuple[str, str, int] | None = None, draw: int | None = None
) -> tuple[Examined, int | None]:
    """The record to verify.

    Args:
        examined: The set.
        suite: Of this suite alone.
        run: Method, task and seed of the run; otherwise one is drawn from those that can be verified here.
        draw: Number of the draw: the same set, of records and machine, gives the same record. Drawn itself if not given.

    Returns:
        The record, and the draw's number, ``None`` where nothing was drawn.

    Raises:
        FetchbenchError: There is no such record, or it cannot be verified here, or none can.
    """
    within = [one for one in examined if suite is None or one.suite == suite]
    if suite is not None and not within:
        raise UnknownNameError("suite with published records", suite, {one.suite for one in examined})
    if run is None:
        sound = [one for one in within if one.standing == "verifiable"]
        if not sound:
            raise FetchbenchError(
                f"nothing to verify: none of {len(within)} records can be run again here; "
                "`fetchbench verify --check-only` says why"
            )
        number = random.SystemRandom().randrange(10**6) if draw is None else draw
        return random.Random(number).choice(sound), number
    wanted = (run[0], run[1], f"seed{run[2]}.json")
    found = [one for one in within if one.path.parts[1:] == wanted]
    if not found:
        raise FetchbenchError(f"no record of {run[0]} {run[1]} seed {run[2]} is published{f' in {suite}' if suite else ''}")
    if len(found) > 1:
        raise FetchbenchError(
            f"{run[0]} {run[1]} seed {run[2]} stands in {' and '.join(one.suite for one in found)}; say which with --suite"
        )
    if found[0].standing != "verifiable":
        raise FetchbenchError(f"{found[0].path}: cannot be verified here: {found[0].reason}")
    return found[0], None


def row_of(examined: Iterable[Examined], one: Examined) -> list[Record]:
    """The records of one method on one task in one suite: all seeds that were not edited."""
    same = [other for other in examined if other.path.parent == one.path.parent and other.standing != "edited"]
    return [other.record for other in same if other.record is not None]
