"""How things are written. Plain text: importing rich would take a sixth of the time in which ``suites`` and ``show`` answer."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any

import click


def listing(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """A table in aligned columns.

    Args:
        header: ``(columns,)``.
        rows: ``(rows, columns)``.
        right: The columns that are set flush right.
    """
    lines = [[visible(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    flush = [str.rjust if name in right else str.ljust for name in header]
    padded = [[set_(cell, width) for set_, cell, width in zip(flush, line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(line).rstrip() for line in padded)


def visible(text: str) -> str:
    """One line without control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def named(name: str, value: str, width: int = 12) -> str:
    """``name  value``, the value wrapped beside its name."""
    return textwrap.fill(visible(value), 110, initial_indent=f"{name:<{width}}", subsequent_indent=" " * width)


def print_json(value: Any) -> None:
    """Print for a script."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def steps(done: int, budget: int) -> str:
    """``1,200/5,000``."""
    return f"{done:,}/{budget:,}"


def rate(value: float | None) -> str:
    """A success rate; missing is ``-``."""
    return "-" if value is None else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """``45 s``, ``5 min``, ``2 h 05 min``; missing is ``-``."""
    if seconds is None:
        return "-"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
