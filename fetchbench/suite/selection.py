"""A suite with more methods (of plugin files), or with fewer (as selected)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetchbench.errors import UnknownNameError
from fetchbench.records.schema import COMPONENT_FIELDS, Component
from fetchbench.specs import EncoderSpec
from fetchbench.suite.methods import assemble
from fetchbench.suite.model import Suite
from fetchbench.suite.problems import Problems, join

if TYPE_CHECKING:
    from fetchbench.registry import Registered, Registry


def with_plugins(suite: Suite, registry: Registry, files: Sequence[Path]) -> Suite:
    """A suite with a method for each new component of these plugin files, built on the template and named as the component.

    A component that a method of the suite names already is not new: the file is then only where it comes from. An encoder
    that wraps another wraps the template's.

    Args:
        registry: With these files loaded.
        files: Those named with ``--plugin``.

    Raises:
        PluginError: A file that did not load.
        SuiteError: A name that a method of the suite has, or a template that lacks what a method needs.
    """
    registry.raise_for(files)
    wanted = {file.resolve() for file in files}
    problems = Problems(suite.where)
    used = {(kind, component.name) for method in suite.methods for kind, component in method.components()}
    taken = {method.name: "the suite's own" for method in suite.methods}
    added = []
    for (kind, name), found in registry.components.items():
        if found.file is None or found.file.resolve() not in wanted or (kind, name) in used:
            continue
        what = f"{kind.replace('-', ' ')} {name!r} of {found.provider.location}"
        if name in taken:
            problems.add(
                join("methods", name),
                f"{what} would become a method of that name, which is {taken[name]} already; rename one of them",
            )
            continue
        taken[name] = what
        given = _on_template(found, suite)
        method = assemble(problems, "template", name, given, suite.template)
        added += [method] if method else []
    problems.raise_all()
    return dataclasses.replace(suite, methods=(*suite.methods, *added))


def _on_template(found: Registered, suite: Suite) -> dict[str, Any]:
    """The one field in which a component's method differs from the template."""
    field = next(field for field, kind in COMPONENT_FIELDS.items() if kind == found.kind)
    wraps = isinstance(found.spec, EncoderSpec) and found.spec.wraps
    inner = suite.template.encoder if wraps else None
    if wraps and inner is None:
        return {}
    return {field: Component(name=found.spec.name, wraps=inner)}


def select(suite: Suite, *, methods: Sequence[str] = (), tasks: Sequence[str] = (), seeds: Sequence[int] = ()) -> Suite:
    """A suite with these methods, tasks and seeds alone, in the suite's own order; an empty list keeps all.

    Raises:
        UnknownNameError: The suite has no such method, task or seed.
    """
    for kind, asked, known in (
        ("method", methods, [method.name for method in suite.methods]),
        ("task", tasks, suite.tasks),
        ("seed", [str(seed) for seed in seeds], [str(seed) for seed in suite.seeds + suite.baseline_seeds]),
    ):
        for name in asked:
            if name not in known:
                raise UnknownNameError(kind, name, known, f"`fetchbench show {suite.name}` shows the suite.")
    return dataclasses.replace(
        suite,
        methods=tuple(method for method in suite.methods if not methods or method.name in methods),
        tasks=tuple(task for task in suite.tasks if not tasks or task in tasks),
        seeds=tuple(seed for seed in suite.seeds if not seeds or seed in seeds),
        baseline_seeds=tuple(seed for seed in suite.baseline_seeds if not seeds or seed in seeds),
    )
