"""The ``fetchbench`` command: exit codes, and one clear line for a user's mistake."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

import click

from fetchbench.errors import FetchbenchError
from fetchbench.run.interrupts import INTERRUPTED


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0; 1 where `doctor`, `check` or `verify` found something broken, or whoever read the output left; 2 with a
    message on stderr for a mistake or a machine's lack; 130 interrupted. ``FETCHBENCH_DEBUG=1`` shows the traceback behind a
    message.
    """
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code.
    """
    # Imported here so that an interrupt during the import is caught too.
    from fetchbench.cli import fetchbench

    debug = bool(os.environ.get("FETCHBENCH_DEBUG"))
    try:
        code = fetchbench.main(arguments, prog_name="fetchbench", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except FetchbenchError as error:
        if debug:
            raise
        return _fail(str(error))
    except OSError as error:
        if debug:
            raise
        _drop_output()
        if error.errno == errno.EPIPE:
            return 1
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")


def _drop_output() -> None:
    """What is still buffered cannot be written either: it must not fail again when Python exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> int:
    from fetchbench.cli.text import visible

    # Names and keys of files that others wrote stand in it; the lines are the message's own.
    click.echo("\n".join(map(visible, f"error: {message}".split("\n"))), err=True)
    return 2


if __name__ == "__main__":
    main()
