"""From finished runs to the committed records, page, manifest and figures, and whether these still follow from them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fetchbench.errors import FetchbenchError, RecordError
from fetchbench.leaderboard.board import board
from fetchbench.leaderboard.collection import by_suite, read_published, record_path, refuse_links, suites_of
from fetchbench.leaderboard.figures import FOLDER as FIGURES_FOLDER
from fetchbench.leaderboard.figures import data_sha256, expected_figures, present_figures, read_sha256
from fetchbench.leaderboard.manifest import manifest
from fetchbench.leaderboard.notes import SuiteNotes
from fetchbench.records.schema import Record
from fetchbench.records.store import read_record, record_text, storage_errors, write_atomically
from fetchbench.suite.index import IndexedRun, read_index

BOARD = Path("leaderboard", "README.md")
"""Where the page lies in a workspace."""
CHANGES = Path("leaderboard", "CHANGES.md")
"""Where the manifest lies: of every row what it rests on."""


@dataclass(frozen=True)
class SuiteReport:
    """What publishing did with one suite; all but its name are numbers of runs.

    Attributes:
        suite: Its name.
        added: Records that were not published before.
        replaced: Records that differ from the ones published before.
        unchanged: Records that were published already.
        unfinished: Runs of the suite that have no record yet.
    """

    suite: str
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    unfinished: int = 0

    def __str__(self) -> str:
        text = f"{self.suite}: {self.added} new, {self.replaced} replaced, {self.unchanged} unchanged"
        if self.unfinished:
            text += f"; {self.unfinished} not finished (`fetchbench run {self.suite}` goes on)"
        return text


@dataclass(frozen=True)
class PublishReport:
    """What ``fetchbench publish`` did.

    Attributes:
        board: The page.
        changed: Whether the page's or the manifest's text changed.
        records: Records behind the page, of all suites.
        drawn: Figures that were drawn, each in two files: those whose data changed.
        figures: All figures.
        suites: One entry per suite that was published from, in order of name.
    """

    board: Path
    changed: bool
    records: int
    drawn: int
    figures: int
    suites: tuple[SuiteReport, ...]


def publish(
    root: Path, suites: Sequence[str] | None, runs: Path, notes: Mapping[str, SuiteNotes] | None = None
) -> PublishReport:
    """Copy the records of finished runs into the workspace; render page and manifest; draw the figures whose data changed.

    Where anything is refused, nothing is written.

    Args:
        root: The workspace: the folder that holds ``leaderboard``.
        suites: Names; ``None`` takes all that have an index among the runs. The page shows every suite anyway.
        runs: The runs folder, with an index ``<suite>.json`` per suite.
        notes: Suite -> what its file says.

    Raises:
        FetchbenchError: Nothing to publish, or an index that is damaged or points outside the runs folder.
        RecordError: A record that is damaged or cannot stand beside the others; nothing is written then.
        StorageError: A file cannot be written.
    """
    published = read_published(root)
    refuse_links(root, FIGURES_FOLDER)
    names = suites_with_runs(runs) if suites is None else sorted(set(suites))
    reports, fresh = [], {}
    for name in names:
        found, unfinished = finished(name, runs)
        told = (notes or {}).get(name, SuiteNotes())
        unfinished = [run for run in unfinished if told.wants(run.method, run.task, run.seed)]
        reports.append(_compare(name, found, published, len(unfinished)))
        fresh.update(found)
    combined = published | fresh
    _refuse_nothing(names if suites is not None else [], combined, runs)
    # Checked and rendered before anything is written: a refused record leaves the workspace as it was.
    of_suite = by_suite(combined)
    pages = _pages(of_suite, notes or {})
    for path, record in fresh.items():
        if published.get(path) != record:
            write_atomically(root / path, record_text(record))
    changed = {path for path, text in pages.items() if _read(root / path) != text}
    for path in changed:
        write_atomically(root / path, pages[path])
    drawn, figures = _draw(root, expected_figures(of_suite, notes or {}))
    return PublishReport(root / BOARD, bool(changed), len(combined), drawn, figures, tuple(reports))


def suites_with_runs(runs: Path) -> list[str]:
    """The suites that have an index among the runs, in order of name."""
    return sorted(path.stem for path in runs.glob("[!.]*.json"))


def _pages(of_suite: Mapping[str, Sequence[Record]], notes: Mapping[str, SuiteNotes]) -> dict[Path, bytes]:
    return {BOARD: board(of_suite, notes).encode(), CHANGES: manifest(of_suite, notes).encode()}


def _draw(root: Path, expected: Mapping[Path, Mapping[str, Any]]) -> tuple[int, int]:
    """Draw what is missing or shows other data, and remove what no record gives any more: numbers drawn, and of all."""
    stale = {path.with_suffix("") for path, data in expected.items() if read_sha256(root / path) != data_sha256(data)}
    if stale:
        from fetchbench.leaderboard.drawing import draw  # here: it takes matplotlib, which takes its time

        for stem in sorted(stale):
            # Not with_suffix: a name may hold a dot.
            for extension, content in draw(expected[stem.with_name(f"{stem.name}.svg")]).items():
                write_atomically(root / stem.with_name(f"{stem.name}.{extension}"), content)
    for path in present_figures(root) - expected.keys():
        with storage_errors("remove", root / path):
            (root / path).unlink()
    return len(stale), len({path.with_suffix("") for path in expected})


def render(root: Path, notes: Mapping[str, SuiteNotes] | None = None) -> str:
    """The page that the published records of a workspace give.

    Raises:
        RecordError: A record that is damaged or cannot stand beside the others.
    """
    return board(by_suite(read_published(root)), notes or {})


def check(root: Path, notes: Mapping[str, SuiteNotes] | None = None) -> None:
    """Compare page and manifest with what the records give, byte for byte, and the figures by the digest of their data.

    Raises:
        RecordError: Anything differs or is missing, a figure is there that no record gives, or a record is refused.
    """
    of_suite = by_suite(read_published(root))
    refuse_links(root, FIGURES_FOLDER)
    for path, expected in _pages(of_suite, notes or {}).items():
        _check_text(path, _read(root / path), expected)
    figures = expected_figures(of_suite, notes or {})
    for path, data in figures.items():
        found = read_sha256(root / path)
        if found is None:
            raise RecordError(f"{path}: missing, or no figure of ours; `fetchbench publish` draws it")
        if found != data_sha256(data):
            raise RecordError(f"{path}: shows other data than the records give; `fetchbench publish` draws it anew")
    if spare := sorted(present_figures(root) - figures.keys()):
        raise RecordError(f"{spare[0]}: no record gives this figure; `fetchbench publish` removes it")


def _check_text(path: Path, found: bytes | None, expected: bytes) -> None:
    if found is None:
        raise RecordError(f"{path}: missing; `fetchbench publish` writes it")
    if found == expected:
        return
    pairs = itertools.zip_longest(found.split(b"\n"), expected.split(b"\n"))
    number, (has, wants) = next((n, pair) for n, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(_text(has), _text(wants), strict=False))
    column = sum(1 for _ in same)
    raise RecordError(
        f"{path}, line {number}: not what the records give; `fetchbench publish` mends it\n"
        f"  has    {_quote(has, column)}\n"
        f"  wants  {_quote(wants, column)}"
    )


def _text(line: bytes | None) -> str:
    return (line or b"").decode(errors="replace")


def _quote(line: bytes | None, column: int) -> str:
    """The line around a column: the lines of a table are long."""
    if line is None:
        return "nothing: the page ends"
    text, start, stop = _text(line), max(0, column - 40), max(0, column - 40) + 80
    return ("... " if start else "") + repr(text[start:stop]) + (" ..." if stop < len(text) else "")


def _read(path: Path) -> bytes | None:
    with storage_errors("read", path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def finished(suite: str, runs: Path) -> tuple[dict[Path, Record], list[IndexedRun]]:
    """The records of a suite's finished runs, by the path to publish each at; and the runs that are not finished."""
    found: dict[Path, Record] = {}
    unfinished = []
    index = read_index(runs, suite)
    for run in index.runs if index else []:
        source = runs / run.directory / "record.json"
        path = record_path(suite, run.method, run.task, run.seed)
        if not source.is_file():
            unfinished.append(run)
            continue
        record = read_record(source)
        if run.key and record.request.key != run.key:
            raise RecordError(
                f"{source}: the record of another run than {runs / suite}.json lists there "
                f"(key {record.request.key[:12]}, not {run.key[:12]}); "
                f"`fetchbench run {suite}` lists the runs anew"
            )
        if path in found:
            raise FetchbenchError(f"{runs / suite}.json: lists {run.method}, {run.task}, seed {run.seed} twice")
        found[path] = record
    return found, unfinished


def _compare(suite: str, found: Mapping[Path, Record], published: Mapping[Path, Record], unfinished: int) -> SuiteReport:
    added = sum(path not in published for path in found)
    unchanged = sum(published.get(path) == record for path, record in found.items())
    return SuiteReport(suite, added, len(found) - added - unchanged, unchanged, unfinished)


def _refuse_nothing(named: Sequence[str], combined: Mapping[Path, Record], runs: Path) -> None:
    if not combined and not named:
        raise FetchbenchError(f"nothing to publish: no run in {runs} is finished; start with `fetchbench run demo`")
    for suite in named:
        if suite not in suites_of(combined):
            raise FetchbenchError(
                f"nothing to publish for suite {suite!r}: no run of it in {runs} is finished; `fetchbench run {suite}` runs it"
            )
