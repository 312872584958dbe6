"""What the board takes from the suite files: title, comparisons named beforehand, and the runs that a suite asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fetchbench.errors import FetchbenchError, one_line
from fetchbench.records.schema import Record
from fetchbench.registry import bundled_folder
from fetchbench.suite import load_suite, suite_files


@dataclass(frozen=True)
class SuiteNotes:
    """What a suite's file says of its section.

    Attributes:
        title: One line.
        baseline: The method that every other one is compared with; ``None`` compares nothing.
        contrasts: Pairs of methods whose comparison was named beforehand.
        runs: ``(method, task, seed)`` of every run that the suite asks for; empty where that is not known.
        bundled: Whether fetchbench brings the suite. Only such a suite is on the board without a record.
    """

    title: str = ""
    baseline: str | None = None
    contrasts: tuple[tuple[str, str], ...] = ()
    runs: tuple[tuple[str, str, int], ...] = ()
    bundled: bool = False

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the suite asks for, each once; empty where that is not known."""
        return tuple(dict.fromkeys(task for _, task, _ in self.runs))

    def lacking(self, records: Iterable[Record]) -> int:
        """How many of the runs that the suite asks for are not among these records."""
        return len(set(self.runs) - {(r.request.method.name, r.request.task, r.request.seed) for r in records})


def suite_notes(warn: Callable[[str], None] = lambda _: None) -> dict[str, SuiteNotes]:
    """The notes of every suite there is, by its name; no plugin is loaded.

    Args:
        warn: Called with a line for each broken file. It is left out: its records keep their section, without notes.

    Raises:
        FetchbenchError: Two different files have the same name.
    """
    found, own = {}, bundled_folder("suites")
    for name, path in suite_files().items():
        try:
            suite = load_suite(name)
        except FetchbenchError as error:
            warn(f"suite {name!r} is left out, its section has no title and no comparisons: {one_line(error)}")
            continue
        runs = tuple((method.name, task, seed) for seed, method, task in suite.cells())
        found[name] = SuiteNotes(suite.title, suite.baseline, suite.contrasts, runs, bundled=path.parent == own)
    return found
