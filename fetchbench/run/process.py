"""From a run's folder to its record."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fetchbench.environment.tasks import get_task
from fetchbench.environment.vector import VectorEnvironment
from fetchbench.errors import BusyError, RunFailedError, StorageError, WorkerError
from fetchbench.records.schema import Record, Status
from fetchbench.records.store import append_line, read_lines, record_text, storage_errors, write_atomically
from fetchbench.run.arithmetic import configure
from fetchbench.run.checkpoint import Checkpoint
from fetchbench.run.pictures import draw_finished
from fetchbench.run.plugins import load_plugins
from fetchbench.run.prepare import build_request, read_request
from fetchbench.run.provenance import provenance
from fetchbench.run.trained import Trained
from fetchbench.run.trainer import Trainer

LOCK_WAIT_S = 10.0


def run(
    directory: Path,
    plugins: Sequence[Path] = (),
    suite_sha256: str = "",
    interrupted: Callable[[], bool] = lambda: False,
) -> bool:
    """Run to the end, or to an interrupt.

    Args:
        directory: Holds ``request.json``, and all that the run leaves.
        plugins: Plugin files to load besides those that are found.
        suite_sha256: Digest of the suite, for the record's provenance.
        interrupted: Asked at every episode end.

    Returns:
        Whether there is a record now.

    Raises:
        FetchbenchError: The request cannot be run here.
    """
    if (directory / "record.json").exists():
        # It may have been killed between the two.
        Checkpoint(directory / "checkpoint").drop_replay()
        return True
    request = read_request(directory)
    configure(request)
    registry = load_plugins(plugins)
    registry.raise_for(plugins)
    built = build_request(request, registry)
    attempt = begin_attempt(directory)
    task, n = get_task(request.task), request.learner.environments
    # How many there are changes nothing but the time; on a GPU machine the cores have nothing else to do.
    cores = len(os.sched_getaffinity(0)) if request.execution.device == "cuda" else request.execution.threads
    with VectorEnvironment(
        task, request.scene, built.rendered, n, workers=min(n, cores), image_goals=request.image_goals
    ) as environment:
        trainer = Trainer(request, built, environment, directory)
        resumed = trainer.resume()
        trainer.log("start", attempt=attempt, resumed_at=trainer.steps if resumed else 0, pid=os.getpid())
        if built.notice:
            trainer.log("notice", text=built.notice)
        status: Status = "done"
        reason = ""
        try:
            if not trainer.train(interrupted):
                return False
            if trainer.stopped:
                status, reason = "censored", trainer.stopped
        except WorkerError as error:
            raise WorkerError(f"{error}; run the same command again to continue from the checkpoint") from error
        except RunFailedError as error:
            status, reason = ("diverged" if error.status == "diverged" else "failed"), str(error)
        renderer = dict(environment.report)
    record = Record(
        request=request,
        result=trainer.result(status, reason),
        provenance=provenance(trainer.learner.device, renderer, suite_sha256, trainer.learner.modules()),
        cost=trainer.cost(attempt),
    )
    write_atomically(directory / "record.json", record_text(record))
    trainer.log("end", status=status, score=record.result.score)
    trainer.checkpoint.drop_replay()
    finished = Trained(request, built, trainer.steps, trainer.evaluations)
    if status in ("done", "censored") and (notice := draw_finished(directory, finished)):
        trainer.log("notice", text=notice)
    return True


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the run's lock, which the kernel drops when its owner dies. The file says who holds it.

    Raises:
        BusyError: Another process is running it.
        StorageError: The folder's file system has no locks.
    """
    with storage_errors("open", directory / "lock"):
        file = (directory / "lock").open("a")
    deadline = time.monotonic() + LOCK_WAIT_S
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # The owner may be on its way out.
                if time.monotonic() > deadline:
                    raise BusyError(
                        f"{directory}: another process is running this; wait for it, or stop it, and try again"
                    ) from None
                time.sleep(0.5)
            except OSError as error:
                raise StorageError(
                    f"{directory / 'lock'}: cannot be locked ({error.strerror}); without locks two could be at one run: "
                    "keep the runs on a file system that has flock (a local disk, NFS version 4, ...)"
                ) from error
        with storage_errors("write", directory / "lock"):
            file.truncate(0)
            json.dump({"pid": os.getpid(), "host": platform.node(), "since": round(time.time(), 1)}, file)
            file.flush()
        yield


def begin_attempt(directory: Path) -> int:
    """Count this attempt: 1 for the first."""
    path = directory / "attempts.jsonl"
    attempt = len(read_lines(path)) + 1
    append_line(path, {"attempt": attempt, "pid": os.getpid(), "time": round(time.time(), 1)})
    return attempt
