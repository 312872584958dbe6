"""``fetchbench`` and its verbs."""

from __future__ import annotations

import importlib

import click

from fetchbench._version import __version__
from fetchbench.errors import UnknownNameError

VERBS = {
    "run": "run",
    "suites": "suites",
    "show": "show",
    "plan": "plan",
    "status": "status",
    "plugins": "plugins",
    "new": "new",
    "check": "check",
    "compare": "compare",
    "publish": "publish",
    "verify": "verify",
    "bench": "bench",
    "doctor": "doctor",
}
"""Verb -> the module of this package that holds it, in the order in which they are listed."""


class Verbs(click.Group):
    """Imports a verb when it is asked for, and suggests one when there is none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        verb: click.Command = getattr(importlib.import_module(f"fetchbench.cli.{VERBS[cmd_name]}"), cmd_name)
        return verb

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS:
            raise click.UsageError(str(UnknownNameError("command", args[0], VERBS)), ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="fetchbench", message="%(prog)s %(version)s")
def fetchbench() -> None:
    """Which visual representation makes sparse-reward manipulation learnable from pixels, and why?

    Start with `fetchbench run demo`. Results go to stdout, progress to stderr; a mistake gives one line and exit code 2.
    """
