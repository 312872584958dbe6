"""What goes wrong is said in one clear line."""

from __future__ import annotations

import re

import pytest

from fetchbench import errors
from fetchbench.errors import DivergedError, FetchbenchError, RoutingError, RunFailedError, SuiteError, UnknownNameError

CLASSES = {name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}


def drawn() -> dict[str, str | None]:
    """Class -> parent, as the module's docstring draws the tree."""
    found: dict[str, str | None] = {}
    open_at: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.search(r"\b(\w+Error)\b", line):
            open_at[match.start()] = match[1]
            above = [depth for depth in open_at if depth < match.start()]
            found[match[1]] = open_at[max(above)] if above else None
    return found


def test_the_tree_is_the_one_that_is_drawn():
    assert drawn() == {
        name: cls.__bases__[0].__name__ if cls.__bases__[0] is not Exception else None for name, cls in CLASSES.items()
    }


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES.keys())
def test_every_error_is_documented_and_of_the_family(cls):
    assert issubclass(cls, FetchbenchError)
    assert cls.__doc__


@pytest.mark.parametrize(
    ("name", "known", "hint", "parts"),
    [
        ("natur", ["r3m", "nature"], "", ["unknown encoder 'natur'; did you mean 'nature'?", "Known: nature, r3m."]),
        ("zzz", ["r3m", "nature"], "", ["unknown encoder 'zzz'", "Known: nature, r3m."]),
        ("zzz", [], "", ["unknown encoder 'zzz'", "No encoder is known."]),
        ("zzz", ["b"], "See there.", ["unknown encoder 'zzz'", "Known: b. See there."]),
    ],
)
def test_an_unknown_name_is_suggested(name, known, hint, parts):
    error = UnknownNameError("encoder", name, iter(known), hint)
    first, last = parts
    assert str(error).startswith(first)
    assert str(error).endswith(last)
    assert ("did you mean" in str(error)) == ("did you mean" in first)
    assert (error.kind, error.name) == ("encoder", name)


def test_a_suites_problems_come_all_at_once():
    error = SuiteError("mine.toml", ["budget.steps: must be 100 or more", "tasks: no such task"])
    assert str(error) == "mine.toml: 2 problems\n  budget.steps: must be 100 or more\n  tasks: no such task"
    assert error.problems == ("budget.steps: must be 100 or more", "tasks: no such task")
    assert str(SuiteError("x", ["y"])).startswith("x: 1 problem\n")


def test_a_run_that_ends_by_its_own_fault_knows_its_status():
    assert (DivergedError("x").status, RoutingError("x").status, RunFailedError("x").status) == ("diverged", "failed", "failed")
