"""``fetchbench new``."""

from __future__ import annotations

from pathlib import Path

import click

KINDS = ("encoder", "augmentation", "aux-loss", "routing")


@click.command(short_help="Write a plugin to start from, and its test.")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where; by default here.")
def new(kind: str, name: str, folder: Path) -> None:
    """Write a small plugin that works as it stands, and its test. NAME is the component's: lower-case, as in `four-conv`."""
    from fetchbench.testing import new_plugin

    plugin, test = new_plugin(kind, name, folder)
    click.echo(f"wrote {plugin} and {test}")
    click.echo("next:")
    click.echo(f"  fetchbench check {_path(plugin)}")
    click.echo(f"  python -m pytest {_path(test)}")
    click.echo(f"  fetchbench run demo --plugin {_path(plugin)} --method {name}")


def _path(path: Path) -> str:
    """As a shell takes it: ``./my_encoder.py``."""
    import shlex

    return shlex.quote(str(path) if path.is_absolute() else f"./{path}")
