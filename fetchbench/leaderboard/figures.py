"""What a suite's figures show, as data, and whether the files on disk show it: by the digest that each file carries.

The data are compared, not the pixels: fonts and versions of the drawing library differ between machines.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fetchbench.leaderboard.across import SuiteRow, suite_rows
from fetchbench.leaderboard.notes import SuiteNotes
from fetchbench.leaderboard.rows import Row, rows
from fetchbench.records.schema import Record, sha256_of
from fetchbench.records.store import storage_errors
from fetchbench.statistics import Interval

FOLDER = Path("leaderboard", "figures")
"""Where the figures lie in a workspace: ``<suite>/<figure>.svg`` and ``.png`` beneath it."""

FORMATS = ("svg", "png")
DRAWING = 2
"""Part of every figure's data: raised when figures are drawn otherwise, so that all are drawn anew."""

PNG_KEYWORD = "fetchbench-data-sha256"
SVG_PREFIX = "fetchbench-data-sha256:"
_DIGITS = 6
"""After the point: the last bits of a logarithm or tangent are not the same on every machine."""

OVER_TASKS = "mean over tasks"


@dataclass(frozen=True)
class FigureText:
    """What the page says of a figure.

    Attributes:
        title: For those who do not see it.
        caption: Markdown, for under it.
    """

    title: str
    caption: str


FIGURES: Mapping[str, FigureText] = {
    "success": FigureText(
        "Final success by method, every seed",
        "Final success: every seed a dot (hollow: censored; cross: diverged), the mean a bar, its 95 % interval a band; "
        "grey, beneath the line: anchors.",
    ),
    "learning-curves": FigureText(
        "Success over environment steps, every seed",
        "Success over environment steps: every seed thin, the mean thick, anchors in broken lines. A censored run ends in a "
        "bar and counts on as it stood; a diverged one ends in a cross, at step 0 if it was never evaluated, and counts as 0 "
        "from there.",
    ),
    "cost": FigureText(
        "Success against the cost of a run",
        "Final success with its 95 % interval against what a run costs; grey: anchors.",
    ),
}
"""A suite's figures by file name, in the page's order."""


def figure_data(suite: str, records: Sequence[Record], asked: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """What each figure of a suite shows, as JSON values; empty where no run has a score.

    Args:
        suite: Its name.
        records: All of its records.
        asked: The tasks that it asks for.
    """
    everything = rows(records)
    found = [row for row in everything if row.scores]
    if not found:
        return {}
    across = suite_rows(everything, asked)  # of all rows, as the table's: failed runs lack a score there, too
    # The best first, the anchors last: colours follow it, so that neighbours differ and all figures of a suite agree.
    order = [[row.method.name, row.anchor] for row in across if any(of_task.scores for of_task in row.of_task.values())]
    common = {"drawing": DRAWING, "suite": suite, "methods": order}
    tasks = [(task, list(of_task)) for task, of_task in itertools.groupby(found, key=lambda row: row.task)]
    of_row: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda r: r.request.seed):
        of_row.setdefault((record.request.task, record.request.method.name), []).append(record)
    finals = [{"task": task, "methods": [_final(row) for row in of_task]} for task, of_task in tasks]
    if len(tasks) > 1 and (means := _over_tasks(across)):
        finals.insert(0, {"task": OVER_TASKS, "methods": means})
    curves = [
        {
            "task": task,
            "budget_steps": records[0].request.budget.steps,
            "methods": [_curves(row, of_row[task, row.method.name]) for row in of_task],
        }
        for task, of_task in tasks
    ]
    costs = [{"task": task, "methods": [_cost(row) for row in of_task]} for task, of_task in tasks]
    panels = {"success": finals, "learning-curves": curves, "cost": costs}
    return {name: {**common, "figure": name, "panels": panels[name]} for name in FIGURES}


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _head(row: Row) -> dict[str, Any]:
    return {"name": row.method.name, "anchor": row.anchor}


def _interval(success: Interval | None) -> dict[str, Any]:
    if success is None:
        return {"mean": None, "low": None, "high": None}
    return {"mean": _number(success.mean), "low": _number(success.low), "high": _number(success.high)}


def _final(row: Row) -> dict[str, Any]:
    seeds = [[_number(seed.score), seed.status] for seed in row.seeds if seed.score is not None]
    return {**_head(row), **_interval(row.success), "seeds": seeds}


def _over_tasks(across: Sequence[SuiteRow]) -> list[dict[str, Any]]:
    """Seeds are not paired over tasks: here a method has a mean and an interval alone."""
    return [
        {"name": row.method.name, "anchor": row.anchor, **_interval(row.success), "seeds": []}
        for row in across
        if row.success is not None
    ]


def _curves(row: Row, records: Sequence[Record]) -> dict[str, Any]:
    seeds = [
        {
            "seed": record.request.seed,
            "status": record.result.status,
            "points": [[point.steps, _number(point.success)] for point in record.result.evaluations],
        }
        for record in records
        if record.result.score is not None
    ]
    return {**_head(row), "seeds": seeds}


def _cost(row: Row) -> dict[str, Any]:
    minutes, unit = (row.core_minutes, "core") if row.gpu_minutes is None else (row.gpu_minutes, "GPU")
    return {**_head(row), **_interval(row.success), "minutes": _number(minutes), "unit": unit}


# -- files ------------------------------------------------------------------------------------------------------------


def expected_figures(
    suites: Mapping[str, Sequence[Record]], notes: Mapping[str, SuiteNotes] = {}
) -> dict[Path, dict[str, Any]]:
    """Every figure's files that there must be, by path relative to the workspace, with the data that each shows.

    Args:
        suites: Suite -> its records.
        notes: Suite -> what its file says: the tasks that it asks for.
    """
    return {
        FOLDER / suite / f"{name}.{extension}": data
        for suite, records in suites.items()
        for name, data in figure_data(suite, records, notes[suite].tasks if suite in notes else ()).items()
        for extension in FORMATS
    }


def present_figures(root: Path) -> set[Path]:
    """The drawn figures of a workspace, relative to it: those in a folder of a suite, under a figure's name."""
    return {
        path.relative_to(root) for path in (root / FOLDER).glob("*/*") if path.stem in FIGURES and path.suffix[1:] in FORMATS
    }


def data_sha256(data: Mapping[str, Any]) -> str:
    """The digest of a figure's data."""
    return sha256_of(data)


def read_sha256(path: Path) -> str | None:
    """The digest that a figure's file carries; ``None`` where it is missing, damaged, or carries none.

    Raises:
        StorageError: The file is there and cannot be read.
    """
    with storage_errors("read", path):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
    if path.suffix == ".png":
        return next((text for keyword, text in _png_texts(content) if keyword == PNG_KEYWORD), None)
    found = re.search(rb"<dc:identifier>" + SVG_PREFIX.encode() + rb"([0-9a-f]{64})</dc:identifier>", content)
    return found[1].decode() if found and content.rstrip().endswith(b"</svg>") else None


def _png_texts(content: bytes) -> Iterator[tuple[str, str]]:
    """The text chunks of a PNG file that is whole (ISO/IEC 15948, 11.3.4.3)."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or content[-8:-4] != b"IEND":
        return
    place = 8
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        if kind == b"tEXt":
            keyword, _, text = content[place + 8 : place + 8 + length].partition(b"\0")
            yield keyword.decode("latin-1"), text.decode("latin-1")
        place += 12 + length
