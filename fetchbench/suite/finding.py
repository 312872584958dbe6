"""Which suites there are: fetchbench's own and those of the current folder."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from fetchbench.errors import FetchbenchError, UnknownNameError
from fetchbench.records.store import storage_errors
from fetchbench.registry import bundled_folder
from fetchbench.suite.model import displayed

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def is_name(text: str) -> bool:
    """Whether a suite may be called so, and a folder after it: letters, digits, and ``. _ -`` between them."""
    return _NAME.fullmatch(text) is not None


def suite_files() -> dict[str, Path]:
    """Every suite's file by its name, in order of name: fetchbench's own, then those in ``./suites``.

    Raises:
        FetchbenchError: Two different files have the same name.
    """
    found: dict[str, Path] = {}
    for folder in (bundled_folder("suites"), Path("suites")):
        for path in folder.glob("[!._]*.toml"):
            _refuse_another(path.stem, path, found.setdefault(path.stem, path))
    return dict(sorted(found.items()))


def suite_titles() -> dict[str, str]:
    """Every suite's title by its name, without the suites whose file does not say one.

    Raises:
        FetchbenchError: Two different files have the same name. A broken file is left out.
    """
    titles = {}
    for name, path in suite_files().items():
        try:
            title = tomllib.loads(path.read_text(encoding="utf-8")).get("title")
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(title, str):
            titles[name] = " ".join(title.split())
    return titles


def find_suite(name: str) -> Path:
    """The file of a suite.

    Args:
        name: A suite's name, or a path that ends in ``.toml``.

    Raises:
        UnknownNameError: There is no such suite.
        FetchbenchError: The path's name is that of another suite.
    """
    files = suite_files()
    if not name.endswith(".toml"):
        if name not in files:
            raise UnknownNameError(
                "suite", name, files, "Put a suite of your own into ./suites, or give the path of its .toml file."
            )
        return files[name]
    path = Path(name)
    if not path.is_file():
        raise UnknownNameError("suite", name, files, f"There is no file {name}.")
    # Runs and records are kept under a suite's name: two of one name would end up in one table.
    _refuse_another(path.stem, path, files.get(path.stem, path))
    return path


def _refuse_another(name: str, path: Path, first: Path) -> None:
    if path == first:
        return
    with storage_errors("read", path):
        same = path.read_bytes() == first.read_bytes()
    if not same:
        raise FetchbenchError(
            f"two suites are named {name!r}: {displayed(first)} and {displayed(path)}; rename one of the files"
        )
