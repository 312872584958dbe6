"""``runs/<suite>.json``: every run of a suite and its folder, so that other commands find them without loading a plugin."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from fetchbench.errors import FetchbenchError, StorageError, one_line
from fetchbench.records.schema import RunRequest
from fetchbench.records.store import storage_errors, write_atomically
from fetchbench.suite.finding import is_name
from fetchbench.suite.model import Suite
from fetchbench.suite.runs import protocol_key, run_directory


class IndexedRun(BaseModel):
    """One line of a suite's index: a run and its folder under the runs folder."""

    model_config = ConfigDict(frozen=True, strict=True)

    method: str
    task: str
    seed: int
    directory: str
    key: str = ""


class SuiteIndex(BaseModel):
    """``runs/<suite>.json``: every run of a suite, finished or not.

    Attributes:
        protocol: Digest of what all runs of the suite share.
        suite_sha256: Digest of the suite's file that it was written for.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    suite: str
    protocol: str = ""
    suite_sha256: str = ""
    runs: list[IndexedRun]


def write_index(runs: Path, suite: Suite, requests: Sequence[RunRequest]) -> None:
    """Write a suite's index.

    Runs that an earlier index lists, of methods that are not among the new ones, stay if they still belong into one table
    with these: their method came in by ``--plugin``, and nobody wants to lose its row for not naming the file again.

    Args:
        runs: The runs folder.
        suite: The whole suite, not a selection.
        requests: Every run of it, not a selection.

    Raises:
        StorageError: The index cannot be written.
    """
    protocol = protocol_key(requests[0]) if requests else ""
    lines = [
        IndexedRun(method=r.method.name, task=r.task, seed=r.seed, directory=str(run_directory(r)), key=r.key) for r in requests
    ]
    named = {line.method for line in lines}
    with _alone(runs):
        earlier = _earlier_index(runs, suite.name)
        if earlier is not None and earlier.protocol == protocol:
            lines += [
                run for run in earlier.runs if run.method not in named and run.task in suite.tasks and run.seed in suite.seeds
            ]
        index = SuiteIndex(suite=suite.name, protocol=protocol, suite_sha256=suite.sha256, runs=lines)
        write_atomically(runs / f"{suite.name}.json", index.model_dump_json(indent=1) + "\n")


@contextmanager
def _alone(runs: Path) -> Iterator[None]:
    """Of two commands that add methods to one index, the second waits, and finds what the first wrote."""
    with storage_errors("write", runs):
        runs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        with suppress(OSError):  # a file system without locks, which runs refuse: here it stops nobody
            folder = os.open(runs, os.O_RDONLY)
            opened.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield


def read_index(runs: Path, suite: str) -> SuiteIndex | None:
    """Read a suite's index; ``None`` where no run of it was ever asked for.

    Args:
        runs: The runs folder.
        suite: The suite's name.

    Raises:
        FetchbenchError: No suite can have this name, the file is not its index, or it names a folder outside the runs folder.
        StorageError: The file cannot be read.
    """
    if not is_name(suite):
        raise FetchbenchError(f"suite {suite!r}: not a name; `fetchbench suites` lists those there are")
    path = runs / f"{suite}.json"
    with storage_errors("read", path):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
    try:
        index = SuiteIndex.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = one_line(f"{place}: {first['msg']}" if place else first["msg"])
        raise FetchbenchError(f"{path}: not a suite's index ({problem}); `fetchbench run {suite}` writes it again") from error
    for run in index.runs:
        if not _lies_inside(run.directory):
            raise FetchbenchError(
                f"{path}: directory {run.directory!r} does not lie in {runs}; `fetchbench run {suite}` writes the index again"
            )
    if index.suite != suite:
        raise FetchbenchError(f"{path}: the index of suite {index.suite!r}, not of {suite!r}; rename or delete it")
    return index


def _lies_inside(directory: str) -> bool:
    """Whether a folder's name leads to a place under the one that it is looked for in, and can be a folder's."""
    path = PurePosixPath(directory)
    possible = len(directory) < 1000 and "\0" not in directory and all(len(part.encode()) < 256 for part in path.parts)
    return possible and bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _earlier_index(runs: Path, suite: str) -> SuiteIndex | None:
    """The index that is there; a damaged one is replaced, which is how it is mended."""
    try:
        return read_index(runs, suite)
    except StorageError:
        raise
    except FetchbenchError:
        return None
