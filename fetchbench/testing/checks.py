"""How checks are run: in order, each in its own guard, so that no plugin takes the others down."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from fetchbench.errors import FetchbenchError, one_line
from fetchbench.testing.report import Finding, Outcome, failed, ok, skipped

S = TypeVar("S")


@dataclass(frozen=True)
class Check(Generic[S]):
    """One part of a contract.

    Attributes:
        name: What it is called in tables.
        run: Looks at a component and says what it found; nothing where nothing is wrong.
        after: Checks that must have passed: where one did not, this one could only repeat it.
    """

    name: str
    run: Callable[[S], Iterator[Outcome]]
    after: tuple[str, ...] = ()


def run_checks(
    kind: str, name: str, file: Path | None, checks: Iterable[Check[S]], subject: S, control: str = ""
) -> Iterator[Finding]:
    """Run the checks of one component.

    Args:
        kind: Its kind.
        name: Its name.
        file: Where it is written, for the lines of its errors.
        checks: In order; each is asked for when those before it are done.
        subject: What they are given.
        control: Why it is known to be faulty, where it serves as a control: what fails, once it can be built, is expected.
    """
    unmet: dict[str, str] = {}
    found = False
    for check in checks:
        cause = next((unmet[name] for name in check.after if name in unmet), None)
        outcomes = [skipped(f"not checked: {cause!r} comes first")] if cause else list(_guarded(check, subject, file))
        if cause or any(outcome.status == "failed" for outcome in outcomes):
            unmet[check.name] = cause or check.name
            outcomes = [outcome for outcome in outcomes if outcome.status != "ok"]
        for outcome in outcomes or [ok("")]:
            status, text = outcome.status, outcome.text
            if status == "failed" and check.after and control:
                status, text, found = "expected", f"expected (control): {text}", True
            yield Finding(kind, name, check.name, status, text, outcome.advice)
    if control and not found:
        yield Finding(kind, name, "control", "skipped", f"no check found the fault that it declares: {control}")


def _guarded(check: Check[S], subject: S, file: Path | None) -> Iterator[Outcome]:
    # What a plugin prints must not mix with a report that a script reads.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield from check.run(subject)
        except FetchbenchError as error:  # its message says what to do
            yield _raised(one_line(error), error, file)
        except (Exception, SystemExit) as error:  # a plugin may raise anything
            yield _raised(f"{type(error).__name__}: {one_line(error)}".removesuffix(": "), error, file)


def _raised(text: str, error: BaseException, file: Path | None) -> Outcome:
    """A failure, with the line of the plugin's file that it came from."""
    seen: BaseException | None = error
    while seen is not None:
        frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(seen.__traceback__)]
        lines = [line for name, line in frames if file is not None and name == str(file)]
        if file is not None and lines:
            return failed(f"{text} ({file.name}, line {lines[-1]})", "mend that line")
        seen = seen.__cause__
    return failed(text, "")
