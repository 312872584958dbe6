"""From finished runs to the committed records and the page, and whether the page still follows from them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fetchbench.errors import FetchbenchError, RecordError
from fetchbench.leaderboard.board import board
from fetchbench.leaderboard.collection import by_suite, read_published, record_path, suites_of
from fetchbench.records.schema import Record
from fetchbench.records.store import read_record, record_text, storage_errors, write_atomically
from fetchbench.suite.index import read_index

BOARD = Path("leaderboard", "README.md")
"""Where the page lies in a workspace."""


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
        changed: Whether the page's text changed.
        records: Records behind the page, of all suites.
        suites: One entry per suite that was published from, in order of name.
    """

    board: Path
    changed: bool
    records: int
    suites: tuple[SuiteReport, ...]


def publish(
    root: Path, suites: Sequence[str] | None, runs: Path, suite_titles: Mapping[str, str] | None = None
) -> PublishReport:
    """Copy the records of finished runs into the workspace and render the page. Where anything is refused, nothing is written.

    Args:
        root: The workspace: the folder that holds ``leaderboard``.
        suites: Names; ``None`` takes all that have an index among the runs. The page shows every suite anyway.
        runs: The runs folder, with an index ``<suite>.json`` per suite.
        suite_titles: Suite -> one line for its section.

    Raises:
        FetchbenchError: Nothing to publish, or an index that is damaged or points outside the runs folder.
        RecordError: A record that is damaged or cannot stand beside the others; nothing is written then.
        StorageError: A file cannot be written.
    """
    published = read_published(root)
    names = sorted({path.stem for path in runs.glob("[!.]*.json")} if suites is None else set(suites))
    reports, fresh = [], {}
    for name in names:
        found, unfinished = _finished(name, runs)
        reports.append(_compare(name, found, published, unfinished))
        fresh.update(found)
    combined = published | fresh
    _refuse_nothing(names if suites is not None else [], combined, runs)
    # Checked and rendered before anything is written: a refused record leaves the workspace as it was.
    text = board(by_suite(combined), suite_titles or {}).encode()
    for path, record in fresh.items():
        if published.get(path) != record:
            write_atomically(root / path, record_text(record))
    changed = _read_board(root) != text
    if changed:
        write_atomically(root / BOARD, text)
    return PublishReport(root / BOARD, changed, len(combined), tuple(reports))


def render(root: Path, suite_titles: Mapping[str, str] | None = None) -> str:
    """The page that the published records of a workspace give.

    Raises:
        RecordError: A record that is damaged or cannot stand beside the others.
    """
    return board(by_suite(read_published(root)), suite_titles or {})


def check(root: Path, suite_titles: Mapping[str, str] | None = None) -> None:
    """Compare the page with what the records give, byte for byte.

    Raises:
        RecordError: They differ, the page is missing, or a record is refused.
    """
    expected, found = render(root, suite_titles).encode(), _read_board(root)
    if found is None:
        raise RecordError(f"{BOARD}: missing; `fetchbench publish` writes it")
    if found == expected:
        return
    pairs = itertools.zip_longest(found.split(b"\n"), expected.split(b"\n"))
    number, (has, wants) = next((n, pair) for n, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(_text(has), _text(wants), strict=False))
    column = sum(1 for _ in same)
    raise RecordError(
        f"{BOARD}, line {number}: not what the records give; `fetchbench publish` mends it\n"
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


def _read_board(root: Path) -> bytes | None:
    with storage_errors("read", root / BOARD):
        try:
            return (root / BOARD).read_bytes()
        except FileNotFoundError:
            return None


def _finished(suite: str, runs: Path) -> tuple[dict[Path, Record], int]:
    """The records of a suite's finished runs, by the path to publish each at; how many are unfinished."""
    found: dict[Path, Record] = {}
    unfinished = 0
    index = read_index(runs, suite)
    for run in index.runs if index else []:
        source = runs / _inside(run.directory, suite, runs) / "record.json"
        path = record_path(suite, run.method, run.task, run.seed)
        if not source.is_file():
            unfinished += 1
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


def _inside(directory: str, suite: str, runs: Path) -> PurePosixPath:
    path = PurePosixPath(directory)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise FetchbenchError(
            f"{runs / suite}.json: directory {directory!r} does not lie in {runs}; "
            f"`fetchbench run {suite}` writes the index again"
        )
    return path


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
