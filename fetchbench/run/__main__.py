"""One run is one process: ``python -m fetchbench.run DIR [--plugin FILE ...]``.

``DIR/request.json`` says what to run. Exit codes: 0 with a ``record.json``, whatever status it holds; 2 where a user's mistake,
a plugin's or a full disk stopped it (the message is on stderr, nothing is recorded); 71 where the machine failed it otherwise
(a worker died or hung, memory ran out); 75 where another process is at it; 130 interrupted, with a checkpoint.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import click

from fetchbench.errors import BusyError, FetchbenchError, WorkerError, one_line
from fetchbench.machine import wait_briefly
from fetchbench.run.interrupts import BUSY, INFRASTRUCTURE, INTERRUPTED, Interrupts


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="Load this plugin file too.")
@click.option("--suite-sha256", default="", help="Digest of the suite, for the record's provenance.")
def main(directory: Path, plugins: tuple[Path, ...], suite_sha256: str) -> None:
    """Run what DIRECTORY/request.json asks for, or continue it."""
    interrupted = Interrupts()
    wait_briefly()
    try:
        # torch takes seconds to import: an interrupt, or the death of the parent, must be noticed by then.
        from fetchbench.run.process import locked, run

        with locked(directory):
            finished = run(directory, plugins, suite_sha256, interrupted)
    except FetchbenchError as error:
        if os.environ.get("FETCHBENCH_DEBUG"):
            raise
        fail(str(error), code_of(error))
    except Exception as error:
        # A plugin's own fault, most likely, or a machine that gives out: not the run's to record. The log keeps the traceback.
        with contextlib.suppress(OSError):
            traceback.print_exc()
        text = one_line(error)
        if out_of_memory(error):
            advice = "run fewer at a time (--jobs), or with less: a smaller batch_size, size or buffer_steps is another suite"
            fail(f"{directory.name}: memory ran out: {text}; the checkpoint before stays; {advice}", INFRASTRUCTURE)
        fail(f"{directory.name}: {type(error).__name__}: {text}; the traceback is above")
    sys.exit(0 if finished else INTERRUPTED)


def code_of(error: FetchbenchError) -> int:
    """The exit code of an error that its message explains."""
    if isinstance(error, BusyError):
        return BUSY
    return INFRASTRUCTURE if isinstance(error, WorkerError) else 2


def out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: the processor's, or a GPU's. torch says so in words alone where it is the processor's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    words = ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def fail(message: str, code: int = 2) -> NoReturn:
    """Say what is wrong and leave, also where the log lies on the disk that is full."""
    try:
        click.echo(f"error: {message}", err=True)
    except OSError:
        # What is still buffered must not fail again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
