"""The board's rows in a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from fetchbench.leaderboard import console_table, rows
from fetchbench.records.schema import Record

from .factory import make_method, make_record


def shown(*records: Record, width: int = 200) -> list[list[str]]:
    """The lines of the table, cut where there are two spaces or more."""
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(console_table(rows(records)))
    lines = [line for line in capture.get().splitlines() if line.strip() and "─" not in line]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_the_columns():
    header, *body = shown(
        *(make_record(seed=s, successes=(0.0, 0.3, r, r)) for s, r in enumerate((0.9, 0.8, 0.7))),
        make_record(make_method("blind", track="blind"), successes=(0.0,) * 4),
    )
    assert header == ["rank", "method", "success", "every seed", "solved", "any step", "take-off", "core-min", "status"]
    assert body == [
        ["1", "four-conv", "0.80 [0.55, 1.00]", "0.90 · 0.80 · 0.70", "2/3", "0.90", "1,000 / 0 (3/3)", "4.2", "provisional"],
        ["-", "blind (anchor)", "0.00", "0.00", "0/1", "0.10", "- (0/1)", "4.2", "draft"],
    ]


def test_the_task_is_told_where_there_are_several():
    header, *body = shown(*(make_record(task=task) for task in ("FetchPush-v4", "FetchReach-v4")))
    assert header[0] == "task"
    assert [row[0] for row in body] == ["FetchPush-v4", "FetchReach-v4"]


def test_a_run_without_a_score():
    _, row = shown(make_record(status="failed"))
    assert row == ["-", "four-conv", "-", "failed", "-", "-", "-", "4.2", "draft"]


def test_text_of_a_record_is_never_markup():
    method: Any = make_method()
    hostile = "[red]x[/red] [bold]"
    _, push, reach = shown(make_record(method, task=hostile), make_record(method, task="~"))
    assert push[0] == hostile
    assert reach[0] == "~"


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_a_narrow_terminal_leaves_columns_out_and_cuts_no_text(width):
    records = [make_record(name, s) for name in ("spatial-softmax", "manipulation") for s in range(5)]
    header, *body = shown(*records, make_record(make_method("blind", track="blind")), width=width)
    text = " ".join(cell for line in body for cell in line)
    assert {"method", "success", "status"} <= set(header)
    assert ("core-min" in header) == (width == 200)
    assert "…" not in text
    assert text.count("0.80") == 10 + 2 + 2  # every seed, the means and the anchor's own
    for whole in ("spatial-softmax", "manipulation", "blind (anchor)", "ranked", "[0.75, 0.85]"):
        assert whole in text


def test_no_rows():
    assert len(shown()) == 1
