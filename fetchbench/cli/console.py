"""The rich console, for the live table and the board."""

from __future__ import annotations

import sys

from rich.console import Console

_WIDE = 160
"""Columns where the output is no terminal: wide enough that no table is folded."""


def console(*, stderr: bool = False) -> Console:
    """A console that takes nothing in what it prints for markup."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
