"""The committed records, read with suspicion: what does not belong in one table is refused, files named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fetchbench.errors import RecordError
from fetchbench.machine import minor_version
from fetchbench.records.diagnosis import score_denied
from fetchbench.records.differences import Difference, first_difference
from fetchbench.records.schema import Record, canonical_json
from fetchbench.records.store import read_record
from fetchbench.suite.finding import is_name

RECORDS = Path("leaderboard", "records")
"""Where the records lie in a workspace: ``<suite>/<method>/<task>/seed<k>.json`` beneath it."""

_SEED = re.compile(r"seed(0|[1-9][0-9]*)\.json")


def record_path(suite: str, method: str, task: str, seed: int) -> Path:
    """Where a record is published, relative to the workspace.

    Raises:
        RecordError: A name that is no folder's name.
    """
    for kind, name in (("suite", suite), ("method", method), ("task", task)):
        if not is_name(name):
            raise RecordError(f"{kind} {name!r}: not a name; use letters and digits, with '.', '_' or '-' between them")
    return RECORDS / suite / method / task / f"seed{seed}.json"


def refuse_links(root: Path, folder: Path) -> None:
    """Refuse symbolic links in a folder that is published to: what is written or removed there may lie anywhere.

    Args:
        root: The workspace.
        folder: Relative to it.

    Raises:
        RecordError: It is one, or one lies in it.
    """
    for path in (root / folder, *(root / folder).rglob("*")):
        if path.is_symlink():
            raise RecordError(
                f"{path.relative_to(root)}: a symbolic link, and what is published there would lie elsewhere; "
                "put the folder or the file itself in its place"
            )


def read_published(root: Path) -> dict[Path, Record]:
    """Every published record of a workspace, by its path relative to the workspace.

    Hidden files and files that are not JSON are left alone.

    Raises:
        RecordError: A file that is no record, was edited, or lies in the wrong place; or a symbolic link.
    """
    folder = root / RECORDS
    refuse_links(root, RECORDS)
    found = {}
    for path in sorted(folder.rglob("*.json")):
        inside = path.relative_to(folder).parts
        if any(part.startswith(".") for part in inside):
            continue
        if len(inside) != 4 or not all(map(is_name, inside[:3])) or not _SEED.fullmatch(inside[3]):
            raise RecordError(
                f"{path.relative_to(root)}: not where a record belongs, "
                f"{RECORDS}/<suite>/<method>/<task>/seed<k>.json; move or delete it"
            )
        found[path.relative_to(root)] = read_record(path)
    return found


def by_suite(published: Mapping[Path, Record]) -> dict[str, list[Record]]:
    """Check that the records can stand together, and group them.

    A record may stand in another suite than it was run for: suites that contain the same run share it.

    Args:
        published: Path relative to the workspace -> record.

    Returns:
        Suite -> its records, both in order of name, task, method and seed.

    Raises:
        RecordError: A record that does not match its path or its own evaluations, or two records of one suite
            that differ in protocol, in its or the learner's version, in MuJoCo's minor version or in what a method
            is or is rewarded by, or that are the same run.
    """
    suites: dict[str, dict[Path, Record]] = {}
    for path, record in sorted(published.items(), key=lambda item: _order(item[1])):
        _check_alone(path, record)
        suites.setdefault(path.relative_to(RECORDS).parts[0], {})[path] = record
    for records in suites.values():
        _check_together(records)
    return {suite: list(records.values()) for suite, records in sorted(suites.items())}


def _order(record: Record) -> tuple[str, str, int]:
    return record.request.task, record.request.method.name, record.request.seed


def _check_alone(path: Path, record: Record) -> None:
    request = record.request
    suite, method, task, file = path.relative_to(RECORDS).parts
    own = (request.method.name, request.task, f"seed{request.seed}.json")
    if own != (method, task, file):
        raise RecordError(f"{path}: holds the record of {'/'.join(own)}; move it to {RECORDS / suite / Path(*own)}")
    if not request.key:
        raise RecordError(f"{path}: its request has no key, so the run cannot be told from others; run it again")
    # The digest shows damage; it does not show an edit by somebody who took the digest again.
    steps = [point.steps for point in record.result.evaluations]
    denied = score_denied(record) or ("its evaluations are not by rising step" if steps != sorted(set(steps)) else "")
    if denied:
        raise RecordError(f"{path}: {denied}; delete it and run the suite again, or restore it from version control")


def _check_together(records: Mapping[Path, Record]) -> None:
    """Refuse records of one suite that are no comparison: each is held against the first of its kind."""
    runs: dict[str, Path] = {}
    first_of: dict[tuple[str, str], tuple[Path, Any]] = {}
    for path, record in records.items():
        request = record.request
        if (twin := runs.setdefault(request.key, path)) != path:
            raise RecordError(f"{twin} and {path}: the same run twice (key {request.key[:12]}); delete one")
        for kind, group, value in (
            ("protocol version", "", request.protocol_version),
            ("learner version", "", request.learner_version),
            ("protocol", "", request.protocol()),
            ("MuJoCo minor version", "", minor_version(request.mujoco)),
            ("method", request.method.name, _identity(request.method.model_dump(mode="json"))),
            ("reward", request.method.name, request.reward),
        ):
            other, expected = first_of.setdefault((kind, group), (path, value))
            if canonical_json(value) != canonical_json(expected):
                raise RecordError(
                    f"{other} and {path}: one table, but another {kind} ({_difference(expected, value)}); "
                    "delete the records that are out of date"
                )


def _identity(value: Any) -> Any:
    """What a method is: its declaration and sources, without where its plugins were installed from."""
    if isinstance(value, dict):
        # Options are the plugin's own: one of theirs may well be called "version".
        kept = {key: inner for key, inner in value.items() if key not in ("provider", "version")}
        return {key: inner if key == "options" else _identity(inner) for key, inner in kept.items()}
    return value


def _difference(one: Any, other: Any) -> str:
    """The first difference of two JSON values: ``budget.steps: 1000 and 2000``."""
    place, one, other = first_difference(one, other) or Difference("", one, other)
    return f"{place}: {_short(one)} and {_short(other)}" if place else f"{_short(one)} and {_short(other)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def suites_of(paths: Iterable[Path]) -> set[str]:
    """The suites that published records belong to."""
    return {path.relative_to(RECORDS).parts[0] for path in paths}
