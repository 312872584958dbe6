"""What the checks found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["ok", "failed", "skipped", "expected"]
"""``expected`` is a fault that the component declares itself: it serves as a control."""


@dataclass(frozen=True)
class Outcome:
    """What a check says of the component that it was given. One that says nothing found nothing wrong."""

    status: Status
    text: str = ""
    advice: str = ""


def ok(text: str) -> Outcome:
    """All is well, and here is something worth knowing."""
    return Outcome("ok", text)


def failed(text: str, advice: str) -> Outcome:
    """What is wrong, and what to do about it."""
    return Outcome("failed", text, advice)


def skipped(text: str) -> Outcome:
    """Why something was not checked, or not all of it."""
    return Outcome("skipped", text)


@dataclass(frozen=True)
class Finding:
    """One check of one component.

    Attributes:
        kind: The component's kind, ``"encoder"``; ``"plugin"`` where a file did not load.
        name: The component, or the file.
        check: Which part of the contract.
        status: ``failed`` alone is a problem.
        text: What was found.
        advice: What to do about it.
    """

    kind: str
    name: str
    check: str
    status: Status
    text: str = ""
    advice: str = ""

    @property
    def component(self) -> str:
        """``encoder 'four-conv'``."""
        return f"{self.kind.replace('-', ' ')} {self.name!r}"

    @property
    def explanation(self) -> str:
        """What was found, and what to do about it."""
        return f"{self.text.removesuffix('.')}. What to do: {self.advice}" if self.advice else self.text

    def __str__(self) -> str:
        return f"{self.component}: {self.check}: {self.explanation}"


@dataclass(frozen=True)
class Report:
    """Everything that was found, in the order in which it was looked for."""

    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What breaks the contract."""
        return tuple(finding for finding in self.findings if finding.status == "failed")

    @property
    def components(self) -> Sequence[str]:
        """What was checked, each once."""
        return list(dict.fromkeys(finding.component for finding in self.findings))

    def __add__(self, other: Report) -> Report:
        return Report(self.findings + other.findings)
