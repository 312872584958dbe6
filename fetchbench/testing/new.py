"""A plugin to start from, and its test."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from fetchbench.errors import FetchbenchError, StorageError

TEMPLATES = Path(__file__).parent / "templates"
KINDS = {"encoder": "Encoder", "augmentation": "Augmentation", "aux-loss": "Loss", "routing": ""}
"""What there are templates for, and how the names of their classes end."""

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
LONGEST = 40


def new_plugin(kind: str, name: str, folder: Path) -> tuple[Path, Path]:
    """Write a plugin that keeps its contract as it stands, and its test.

    Args:
        kind: A key of :data:`KINDS`.
        name: The component's: lower-case letters, digits and single hyphens.
        folder: Where; made if it is not there.

    Returns:
        The plugin's file and the test's.

    Raises:
        FetchbenchError: A name that no component may have.
        StorageError: A file of that name is there already. Nothing is overwritten.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise FetchbenchError(
            f"name {name!r}: use lower-case letters, digits and single hyphens, at most {LONGEST}, as in 'four-conv'"
        )
    module = name.replace("-", "_")
    plugin, test = folder / f"{module}.py", folder / f"test_{module}.py"
    for file in (plugin, test):
        if file.exists():
            raise StorageError(f"{file} is there already, and nothing was written; take another name, or another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    words = {"name": name, "module": module, "title": name.replace("-", " "), "class_name": class_name(name, KINDS[kind])}
    plugin.write_text(_filled(kind, words))
    test.write_text(_filled(f"test-{kind}", words))
    return plugin, test


def class_name(name: str, ending: str) -> str:
    """``four-conv`` -> ``FourConvEncoder``."""
    words = "".join(part.capitalize() for part in name.split("-")).removesuffix(ending)
    # A class cannot begin with a digit, or be called None.
    return f"{ending}{words}" if words[:1].isdigit() else f"{words}{ending}"


def _filled(template: str, words: dict[str, str]) -> str:
    return Template((TEMPLATES / f"{template}.py.txt").read_text()).substitute(words)
