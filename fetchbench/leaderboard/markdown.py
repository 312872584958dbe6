"""GitHub's markdown, written so that no text from a record can leave its cell."""

from __future__ import annotations

import re
from collections.abc import Sequence

# An underscore between letters or digits never marks emphasis, and names of networks are full of them.
_UNSAFE = re.compile(r"(?<![^\W_])_|_(?![^\W_])|[^\w .,+()=/·-]")
_LONGEST = 160


def escape(text: str) -> str:
    """Text that shows as it is: all that markdown or HTML might take for its own becomes a character reference.

    Line breaks and invisible characters become spaces, and very long text is cut.
    """
    visible = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(visible) > _LONGEST:
        visible = visible[: _LONGEST - 3] + "..."
    return _UNSAFE.sub(lambda match: f"&#{ord(match[0])};", visible)


def table(header: Sequence[str], align: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; the cells are markdown already.

    Args:
        header: ``(columns,)``.
        align: One of ``l``, ``c``, ``r`` per column.
        rows: ``(rows, columns)``.
    """
    marks = [{"l": ":--", "c": ":-:", "r": "--:"}[letter] for letter in align]
    return ["| " + " | ".join(cells) + " |" for cells in (header, marks, *rows)]
