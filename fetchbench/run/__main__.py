"""One run is one process: ``python -m fetchbench.run DIR [--plugin FILE ...]``.

``DIR/request.json`` says what to run. Exit codes: 0 with a ``record.json``, whatever status it holds; 2 where a user's mistake
or the machine stopped it (the message is on stderr, nothing is recorded); 130 interrupted, with a checkpoint.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import click

from fetchbench.errors import FetchbenchError
from fetchbench.run.interrupts import INTERRUPTED, Interrupts


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="Load this plugin file too.")
@click.option("--suite-sha256", default="", help="Digest of the suite, for the record's provenance.")
def main(directory: Path, plugins: tuple[Path, ...], suite_sha256: str) -> None:
    """Run what DIRECTORY/request.json asks for, or continue it."""
    interrupted = Interrupts()
    try:
        # torch takes seconds to import: an interrupt, or the death of the parent, must be noticed by then.
        from fetchbench.run.process import locked, run

        with locked(directory):
            finished = run(directory, plugins, suite_sha256, interrupted)
    except FetchbenchError as error:
        if os.environ.get("FETCHBENCH_DEBUG"):
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except Exception as error:
        # A plugin's own fault, most likely, or a machine that gives out: not the run's to record. The log keeps the traceback.
        traceback.print_exc()
        text = " ".join(str(error).split())
        click.echo(f"error: {directory.name}: {type(error).__name__}: {text}; the traceback is above", err=True)
        sys.exit(2)
    sys.exit(0 if finished else INTERRUPTED)


if __name__ == "__main__":
    main()
