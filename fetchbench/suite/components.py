"""A component as a suite writes it: ``"name"``, ``"outer(inner)"``, or a table of its name and options."""

from __future__ import annotations

import re
from typing import Any

from fetchbench.records.schema import MOST_NESTED, Component
from fetchbench.suite.problems import Problems, join, shown

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SPELLINGS = '"name", "outer(inner)" or { name = "name", option = value }'


def read_component(problems: Problems, place: str, value: Any) -> Component | None:
    """A component, or nothing and a problem. Whether it exists, and takes these options, is known only to the registry.

    Args:
        value: A string, or a table whose key ``wraps`` is a component again and whose other keys, but for ``name``, are
            options.
    """
    if isinstance(value, str):
        return _read_text(problems, place, value)
    if not isinstance(value, dict):
        problems.add(place, f"must be {SPELLINGS}, not {shown(value)}")
        return None
    options = {key: option for key, option in value.items() if key not in ("name", "wraps")}
    inner = read_component(problems, join(place, "wraps"), value["wraps"]) if "wraps" in value else None
    name = value.get("name")
    if name is None:
        problems.add(join(place, "name"), "missing")
    elif not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.add(join(place, "name"), f"must be a component's name (lower-case, digits, hyphens), not {shown(name)}")
    elif not _too_deep(problems, place, inner):
        return Component(name=name, options=options, wraps=inner)
    return None


def _too_deep(problems: Problems, place: str, inner: Component | None) -> bool:
    """Whether a component around this one would be one too many; a problem if so."""
    depth = 1
    while inner is not None:
        depth, inner = depth + 1, inner.wraps
    if depth > MOST_NESTED:
        problems.add(place, f"{depth} components in one another: {MOST_NESTED} are the most")
    return depth > MOST_NESTED


def _read_text(problems: Problems, place: str, text: str) -> Component | None:
    *outer, last = re.sub(r"\s*([()])\s*", r"\1", text.strip()).split("(")
    closing = ")" * len(outer)
    names = [*outer, last.removesuffix(closing)]
    if not last.endswith(closing) or not all(map(_NAME.fullmatch, names)):
        hint = "; options go into a table" if "=" in text else ""
        problems.add(place, f"must be {SPELLINGS}, not {shown(text)}{hint}")
        return None
    component = None
    for name in reversed(names):
        if _too_deep(problems, place, component):
            return None
        component = Component(name=name, wraps=component)
    return component
