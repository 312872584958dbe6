"""Checkpoints at episode ends: a small state file and the replay as append-only, checksummed segments.

``checkpoint/manifest.json`` names the files that belong together and their digests, and is replaced atomically and last: a
process killed at any moment leaves the checkpoint before. ``manifest-before.json`` names those of the one before, which is
gone back to where a disk has damaged the last.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fetchbench.errors import FetchbenchError, StorageError, one_line
from fetchbench.learner.pretrained import code_found
from fetchbench.records.store import storage_errors, write_atomically
from fetchbench.replay import EpisodeBatch, Replay


@dataclass(frozen=True)
class Segment:
    """Episodes ``start`` to ``stop`` of the run, in one file."""

    file: str
    start: int
    stop: int
    sha256: str


class DamagedError(StorageError):
    """A file of a checkpoint that is not there, or not what was written; no other file is any better read again."""


class Checkpoint:
    """The checkpoint of one run directory.

    Args:
        folder: ``<run>/checkpoint``.

    Attributes:
        notice: What was wrong with the last checkpoint, where loading went back to the one before; empty otherwise.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notice = ""
        self._manifest = folder / "manifest.json"
        self._before = folder / "manifest-before.json"
        self._segments: list[Segment] = []

    @property
    def exists(self) -> bool:
        return self._manifest.exists() or self._before.exists()

    def save(self, state: dict[str, Any], replay: Replay, metrics_bytes: int) -> None:
        """Write a checkpoint; the episodes that earlier ones hold are not written again.

        Args:
            state: Tensors and plain values, as ``torch.load(weights_only=True)`` accepts them.
            replay: Its new episodes become a segment.
            metrics_bytes: Length of the metrics file, which resuming cuts back to.

        Raises:
            StorageError: The disk is full; the checkpoint before stays valid.
        """
        oldest = replay.added - len(replay)
        start = max(self._segments[-1].stop if self._segments else 0, oldest)
        if start < replay.added:
            arrays = replay.episodes(start, replay.added).arrays()
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            name = f"replay-{start:08d}-{replay.added:08d}.pt"
            self._segments.append(Segment(name, start, replay.added, self._write(name, tensors)))
        kept = [s for s in self._segments if s.stop > oldest]
        name = f"state-{replay.added:08d}.pt"
        digest = self._write(name, state)
        manifest = {
            "state": {"file": name, "sha256": digest},
            "segments": [vars(s) for s in kept],
            "metrics_bytes": metrics_bytes,
        }
        before = None
        with contextlib.suppress(StorageError):  # there is none yet, or a disk has damaged it meanwhile
            before = self._read_manifest(self._manifest)
        if before is not None:
            write_atomically(self._before, json.dumps(before, indent=1))
        write_atomically(self._manifest, json.dumps(manifest, indent=1))
        self._segments = kept
        self._sweep({name, *(s.file for s in kept), *_files(before)})

    def load(self, replay: Replay) -> tuple[dict[str, Any], int]:
        """Read the checkpoint and fill the replay; where a file of it is missing or damaged, the one before.

        Returns:
            The state and the length of the metrics file that belongs to it.

        Raises:
            DamagedError: A file that both need is missing or damaged; nothing was changed on disk.
            StorageError: A file could not be read this time; likewise.
            FetchbenchError: A file is whole and holds code, or what this torch cannot read.
        """
        self.notice = ""
        try:
            return self._load(self._read_manifest(self._manifest), replay)
        except DamagedError as error:
            if not self._before.exists():
                raise
            try:
                manifest = self._read_manifest(self._before)
                found = self._load(manifest, replay)
            except DamagedError:
                raise error from None
            self.notice = str(error)
            with contextlib.suppress(StorageError):  # on a full disk the next reader goes back as well
                write_atomically(self._manifest, json.dumps(manifest, indent=1))
            return found

    def _load(self, manifest: dict[str, Any], replay: Replay) -> tuple[dict[str, Any], int]:
        segments = [Segment(**s) for s in manifest["segments"]]
        state = self._read(manifest["state"]["file"], manifest["state"]["sha256"])
        replay.added = segments[0].start if segments else 0
        for segment in segments:
            tensors = self._read(segment.file, segment.sha256)
            replay.add(EpisodeBatch(**{"frames": None, **{name: t.numpy() for name, t in tensors.items()}}))
        self._segments = segments
        return state, manifest["metrics_bytes"]

    def state(self) -> dict[str, Any]:
        """The state alone, the replay left out.

        Raises:
            StorageError: A file is missing or damaged.
        """
        state = self._read_manifest(self._manifest)["state"]
        return self._read(state["file"], state["sha256"])

    def drop_replay(self) -> None:
        """Remove what only resuming needs; the final weights stay."""
        if not self._manifest.exists():
            return
        manifest = self._read_manifest(self._manifest)
        write_atomically(self._manifest, json.dumps(manifest | {"segments": []}, indent=1))
        self._before.unlink(missing_ok=True)
        self._sweep({manifest["state"]["file"]})

    def clear(self) -> None:
        """Remove everything."""
        self._before.unlink(missing_ok=True)  # first: alone it would be gone back to
        self._manifest.unlink(missing_ok=True)
        self._segments = []
        self._sweep(set())

    def _read_manifest(self, path: Path) -> dict[str, Any]:
        data = _bytes(path)
        try:
            manifest = json.loads(data)
            return {
                "segments": [
                    vars(Segment(_own(s["file"]), int(s["start"]), int(s["stop"]), str(s["sha256"])))
                    for s in manifest["segments"]
                ],
                "state": {"file": _own(manifest["state"]["file"]), "sha256": str(manifest["state"]["sha256"])},
                "metrics_bytes": int(manifest["metrics_bytes"]),
            }
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise DamagedError(f"{path}: damaged ({one_line(error)})") from error

    def _write(self, name: str, value: dict[str, Any]) -> str:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        data = buffer.getvalue()
        write_atomically(self.folder / name, data)
        return hashlib.sha256(data).hexdigest()

    def _read(self, name: str, sha256: str) -> dict[str, Any]:
        path = self.folder / name
        data = _bytes(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedError(f"{path}: its checksum does not match, the file is damaged")
        try:
            value: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # whatever torch makes of it: the file is whole, and none that this torch reads
            # No DamagedError: nothing is given up for it.
            why = code_found(error) or f"it is whole, and torch {torch.__version__} cannot read it ({type(error).__name__})"
            raise FetchbenchError(f"{path} is refused: {why}; delete the run's folder and run the suite again") from error
        return value

    def _sweep(self, keep: set[str]) -> None:
        """Remove files that no manifest names any longer."""
        with storage_errors("clean up", self.folder):
            for path in self.folder.glob("*.pt"):
                if path.name not in keep:
                    path.unlink(missing_ok=True)
            for path in self.folder.glob(".*.tmp"):
                path.unlink(missing_ok=True)


def _bytes(path: Path) -> bytes:
    """A file's content.

    Raises:
        DamagedError: It is not there.
        StorageError: It could not be read: a network's folder that is away for a moment, say.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise StorageError(
            f"could not read {path}: {error.strerror}; the checkpoint stays as it is: run the same command again "
            "when it can be read, or delete the run's folder"
        ) from error


def _own(name: str) -> str:
    """The name of a file in the checkpoint's own folder.

    Raises:
        ValueError: It leads elsewhere.
    """
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no file of this folder")
    return name


def _files(manifest: dict[str, Any] | None) -> set[str]:
    """The files that a manifest names."""
    if manifest is None:
        return set()
    return {manifest["state"]["file"], *(segment["file"] for segment in manifest["segments"])}
