"""How things are written."""

from __future__ import annotations

import pytest

from fetchbench.cli import text


def test_a_listing_is_aligned():
    rows = [["a", "1", ""], ["longer", "23", "end"]]
    assert text.listing(["name", "n", ""], rows, right=["n"]) == (
        "name     n\n"
        "------  --  ---\n"
        "a        1\n"
        "longer  23  end"
    )  # fmt: skip


def test_control_characters_do_not_reach_the_terminal():
    assert text.listing(["x"], [["a\x1b[31mb\n"]]).splitlines()[2] == "a [31mb"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "1 h 00 min"),
        (3660, "1 h 01 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_durations(seconds, shown):
    assert text.duration(seconds) == shown
