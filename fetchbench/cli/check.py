"""``fetchbench check``."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fetchbench.specs import KINDS

if TYPE_CHECKING:
    from fetchbench.testing import Report

MARKS = {"ok": "ok", "failed": "FAILED", "skipped": "skipped", "expected": "expected"}


@click.command(short_help="Hold plugins to their contract.")
@click.argument("plugin", metavar="[NAME|FILE]", required=False)
@click.option("--all", "everything", is_flag=True, help="Check every component there is.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only components of this kind.")
@click.option("--plugin", "files", multiple=True, type=click.Path(path_type=Path), help="Load this plugin file too.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of what is checked.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def check(
    context: click.Context,
    plugin: str | None,
    everything: bool,
    kind: str | None,
    files: tuple[Path, ...],
    options: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check that a component, or every component of a plugin file, keeps its contract, and say what to do where it does not.

    NAME is a component, as a suite writes it: `four-conv`, `coordconv(four-conv)`. Exit code 1 if anything failed.
    """
    from fetchbench.cli import text
    from fetchbench.testing import Report, check_component, contract

    if everything == (plugin is not None):
        raise click.UsageError(_choose(files))
    if plugin is not None:
        parts = contract.select(plugin, kind=kind, files=files, options=_read(options))
    else:
        parts = contract.every_component(kind, files)
    found = Report(())
    for part in parts:
        if not isinstance(part, Report) and sys.stderr.isatty():
            click.echo(f"checking {part[0].replace('-', ' ')} {part[1].label} ...", err=True)
        report = part if isinstance(part, Report) else check_component(*part)
        found += report
        if not as_json:
            _show(report)
    if as_json:
        text.print_json({"ok": not found.problems, "findings": [dataclasses.asdict(finding) for finding in found.findings]})
    else:
        click.echo(_summary(found))
    context.exit(1 if found.problems else 0)


def _choose(files: tuple[Path, ...]) -> str:
    """What there is to choose from."""
    from fetchbench.run.plugins import load_plugins

    registry = load_plugins(files)
    known = "; ".join(f"{kind}: {', '.join(names)}" for kind in KINDS if (names := registry.names(kind)))
    return f"name a component or a plugin file, or give --all. There are, by kind, {known}."


def _read(options: tuple[str, ...]) -> dict[str, Any]:
    """``temperature=0.5`` -> ``{"temperature": 0.5}``; what is no JSON is a string."""
    read = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--option {option}: write NAME=VALUE")
        try:
            read[name] = json.loads(value)
        except (ValueError, RecursionError):
            read[name] = value
    return read


def _show(report: Report) -> None:
    """The table of one component, then whatever is longer than a cell, and each problem with what to do."""
    from fetchbench.cli import text

    for component in report.components:
        findings = [finding for finding in report.findings if finding.component == component]
        click.echo(text.visible(component))
        rows = [[finding.check, MARKS[finding.status], _short(finding.text)] for finding in findings]
        click.echo(text.listing(["check", "result", "found"], rows))
        for finding in findings:
            if finding.status == "failed" or _short(finding.text) != finding.text:
                click.echo(text.visible(f"{finding.status}: {finding.check}: {finding.explanation}"))
        click.echo("")


def _short(found: str, width: int = 100) -> str:
    """One cell."""
    return found if len(found) <= width else found[: width - 3] + "..."


def _summary(report: Report) -> str:
    """``1 problem in 3 components``."""
    problems, components = len(report.problems), len(report.components)
    where = "1 component" if components == 1 else f"{components} components"
    if not problems:
        return f"no problem in {where}"
    return f"{'1 problem' if problems == 1 else f'{problems} problems'} in {where}"
