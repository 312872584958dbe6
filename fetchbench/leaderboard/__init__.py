"""The leaderboard: a page that is a pure function of the committed records."""

from fetchbench.leaderboard.console import console_table
from fetchbench.leaderboard.notes import SuiteNotes, suite_notes
from fetchbench.leaderboard.publishing import PublishReport, SuiteReport, check, publish, render
from fetchbench.leaderboard.rows import Row, SeedScore, rows

__all__ = [
    "PublishReport",
    "Row",
    "SeedScore",
    "SuiteNotes",
    "SuiteReport",
    "check",
    "console_table",
    "publish",
    "render",
    "rows",
    "suite_notes",
]
