"""``fetchbench plugins``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fetchbench.registry import Registry


@click.command(short_help="List the plugins, loaded and failed.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.option("--plugin", "files", multiple=True, type=click.Path(path_type=Path), help="Load this plugin file too.")
def plugins(as_json: bool, files: tuple[Path, ...]) -> None:
    """List every component that plugins bring, and the plugins that failed to load."""
    from fetchbench.cli import text
    from fetchbench.run.plugins import load_plugins

    found = _listed(load_plugins(files))
    if as_json:
        return text.print_json(found)
    header = ["kind", "name", "provider", "version", "summary"]
    loaded = [[entry[key] for key in header] for entry in found if entry["status"] == "loaded"]
    click.echo(text.listing(header, loaded))
    for entry in found:
        if entry["status"] == "failed":
            click.echo(text.visible(f"failed: {entry['location']}: {entry['error']}"))
    return None


def _listed(registry: Registry) -> list[dict[str, Any]]:
    """The registry as data: components by kind in its own order, then failures."""
    loaded = [
        {
            "kind": found.kind,
            "name": found.spec.name,
            "provider": found.provider.name,
            "version": found.provider.version,
            "status": "loaded",
            "summary": found.spec.summary,
            "source": found.spec.source,
            "location": found.provider.location,
            "error": None,
        }
        for found in sorted(registry.components.values(), key=lambda found: (found.kind, found.spec.name))
    ]
    failed = [
        {
            "kind": None,
            "name": Path(failure.provider.location).name,
            "provider": failure.provider.name,
            "version": failure.provider.version,
            "status": "failed",
            "summary": "",
            "source": "",
            "location": failure.provider.location,
            "error": failure.error,
        }
        for failure in registry.failures
    ]
    return [*loaded, *failed]
