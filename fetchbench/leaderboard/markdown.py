"""GitHub's markdown, written so that no text from a record can leave its cell."""

from __future__ import annotations

import re
from collections.abc import Sequence

# An underscore between letters or digits never marks emphasis, and names of networks are full of them. "www." makes a link.
_UNSAFE = re.compile(r"(?<![^\W_])_|_(?![^\W_])|(?<=www)\.|[^\w .,+()=/·-]", re.IGNORECASE)
# What opens a list or draws a rule where it begins a line: "- ", "+ ", "---", "1. ", "1) ".
_OPENING = re.compile(r"^([-+](?=[ -]|$)|\d+[.)](?= |$))")
_LONGEST = 160


def escape(text: str) -> str:
    """Text that shows as it is: all that markdown or HTML might take for its own becomes a character reference.

    Line breaks and invisible characters become spaces, and very long text is cut.
    """
    visible = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(visible) > _LONGEST:
        visible = visible[: _LONGEST - 3] + "..."
    escaped = _UNSAFE.sub(lambda match: _reference(match[0]), visible)
    return _OPENING.sub(lambda match: match[0][:-1] + _reference(match[0][-1]), escaped)


def _reference(char: str) -> str:
    return f"&#{ord(char)};"


def table(header: Sequence[str], align: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; the cells are markdown already.

    Args:
        header: ``(columns,)``.
        align: One of ``l``, ``c``, ``r`` per column.
        rows: ``(rows, columns)``.
    """
    marks = [{"l": ":--", "c": ":-:", "r": "--:"}[letter] for letter in align]
    return ["| " + " | ".join(cells) + " |" for cells in (header, marks, *rows)]
