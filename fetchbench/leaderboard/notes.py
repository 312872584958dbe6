"""What the board takes from the suite files: title, comparisons named beforehand, and the runs that a suite asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fetchbench.errors import FetchbenchError, one_line
from fetchbench.records.schema import Record
from fetchbench.registry import bundled_folder
from fetchbench.suite import Suite, load_suite, still_asked_for, suite_files


@dataclass(frozen=True)
class SuiteNotes:
    """What a suite's file says of its section.

    Attributes:
        title: One line.
        baseline: The method that every other one is compared with; ``None`` compares nothing.
        contrasts: Pairs of methods whose comparison was named beforehand.
        runs: ``(method, task, seed)`` of every run that the suite asks for; empty where that is not known.
        bundled: Whether fetchbench brings the suite. Only such a suite is on the board without a record.
        asks: Whether the file, as it stands, asks for the run of a record: the same protocol and method. Seeds and tasks aside.
    """

    title: str = ""
    baseline: str | None = None
    contrasts: tuple[tuple[str, str], ...] = ()
    runs: tuple[tuple[str, str, int], ...] = ()
    bundled: bool = False
    asks: Callable[[Record], bool] = field(default=lambda record: True, compare=False)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the suite asks for, each once; empty where that is not known."""
        return tuple(dict.fromkeys(task for _, task, _ in self.runs))

    def wants(self, method: str, task: str, seed: int) -> bool:
        """Whether the suite asks for this run, as far as its file tells: of the methods that it declares."""
        return (method, task, seed) in self.runs or method not in {declared for declared, _, _ in self.runs}

    def lacking(self, records: Iterable[Record]) -> int:
        """How many of the runs that the suite asks for are not among these records."""
        return len(set(self.runs) - {(r.request.method.name, r.request.task, r.request.seed) for r in records if self.asks(r)})

    def outdated(self, records: Iterable[Record]) -> list[Record]:
        """Those that were made before the suite's file was changed, and that it no longer asks for."""
        return [record for record in records if not self.asks(record)]


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
        own_suite = path.parent == own
        found[name] = SuiteNotes(suite.title, suite.baseline, suite.contrasts, runs, own_suite, _asks(suite))
    return found


def _asks(suite: Suite) -> Callable[[Record], bool]:
    asked: dict[str, Any] = {}
    return lambda record: still_asked_for(record.request, suite, asked, indexed=record.provenance.suite_sha256 == suite.sha256)
