"""Files that survive: atomic writes, append-only JSON lines, records read with suspicion."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fetchbench.errors import RecordError, StorageError, one_line
from fetchbench.records.schema import Record


@contextlib.contextmanager
def storage_errors(action: str, path: Path) -> Iterator[None]:
    """Turn an operating system's refusal into one clear line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        advice = "free some space and run the same command again; nothing finished is lost"
        if action == "read":
            advice = "check that it is a file and that you may read it"
        elif error.errno not in (errno.ENOSPC, errno.EDQUOT):
            advice = "check that the folder exists and that you may write there"
        raise StorageError(f"could not {action} {path}: {reason}; {advice}") from error


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file whole or not at all: a temporary neighbour, flushed to disk, then renamed over it.

    Raises:
        StorageError: The disk is full or the folder cannot be written; the old file is untouched.
    """
    content = data.encode() if isinstance(data, str) else data
    # Two machines over one folder may well have processes of one number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    with storage_errors("write", path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # the first trouble is the one to tell
                temporary.unlink(missing_ok=True)
            raise


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one JSON value as a line, in a single write.

    A torn last line, left by a writer that was killed, is closed first: glued to it, the new one would be lost.
    """
    line = json.dumps(value, allow_nan=False, ensure_ascii=False).encode() + b"\n"
    with storage_errors("write", path), path.open("a+b") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON-lines file; torn ones (the writer was killed) are left out, a missing file is empty."""
    with storage_errors("read", path):
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return []
    lines = []
    for line in raw.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):  # torn, or nested beyond what anybody writes
            continue
        if isinstance(value, dict):
            lines.append(value)
    return lines


def record_text(record: Record) -> str:
    """A record as it stands on disk: indented JSON, fields in the schema's order."""
    return record.model_dump_json(indent=1) + "\n"


def read_record(path: Path) -> Record:
    """Read a record and check its digest.

    Raises:
        RecordError: The file is no record, or its result was changed after the run.
    """
    advice = "delete it and run the suite again, or restore it from version control"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read ({error}); {advice}") from error
    try:
        record = Record.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = one_line(f"{place}: {first['msg']}" if place else first["msg"])
        raise RecordError(f"{path}: not a valid record ({problem}); {advice}") from error
    if record.result.digest() != record.result.sha256:
        raise RecordError(f"{path}: the result does not match its sha256: it was damaged or edited; {advice}")
    return record
