"""From a name or a file to everything that its components promise."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from fetchbench.errors import FetchbenchError, PluginError, UnknownNameError
from fetchbench.records.schema import Component
from fetchbench.registry import FailedPlugin, Registered, Registry, check_options
from fetchbench.specs import KINDS, EncoderSpec, PluginSpec
from fetchbench.testing.report import Finding, Report

Selected: TypeAlias = Report | tuple[str, Component, Registry]
"""What is to be checked, as arguments of :func:`check_component`; or what was found already."""

_KITS = {
    "encoder": ("encoder_contract", "encoder", "EncoderUnderTest"),
    "augmentation": ("augmentation", "augmentation", "AugmentationUnderTest"),
    "auxiliary-loss": ("auxiliary_contract", "auxiliary", "LossUnderTest"),
    "gradient-routing": ("gradient_routing", "gradient_routing", "RoutingUnderTest"),
    "goal-space": ("goal_space", "goal_space", "GoalsUnderTest"),
}
"""Kind -> the modules of its checks and of what they are given, and the name of that."""


def assert_contract(plugin: str | Path, **options: Any) -> None:
    """Fail with what is wrong and what to do, unless a plugin keeps its contract.

    Args:
        plugin: A plugin file, or a component's name.
        options: As :func:`check_plugin` takes them.

    Raises:
        AssertionError: A line for each problem.
        UnknownNameError: Nothing has that name.
    """
    report = check_plugin(plugin, **options)
    if report.problems:
        raise AssertionError("\n".join(map(str, report.problems)))


def check_plugin(
    plugin: str | Path,
    *,
    kind: str | None = None,
    files: Sequence[Path] = (),
    options: Mapping[str, Any] | None = None,
) -> Report:
    """Check every component of a file, or every component of a name.

    Args:
        plugin: A plugin file (``.py``); or a name, ``"four-conv"`` or ``"outer(inner)"``.
        kind: Only components of this kind: a key of :data:`fetchbench.specs.KINDS`.
        files: More plugin files to load.
        options: For the ``build`` of what is checked.

    Returns:
        What was found. A file that does not load is a finding, too.

    Raises:
        UnknownNameError: Nothing has that name, or there is no such kind.
        PluginError: Its ``build`` does not take these options.
    """
    found = Report(())
    for part in select(plugin, kind=kind, files=files, options=options):
        found += part if isinstance(part, Report) else check_component(*part)
    return found


def plugin_specs(file: str | Path) -> list[PluginSpec]:
    """What a plugin file yields.

    Raises:
        PluginError: It does not load.
    """
    registry, file = _load([Path(file)]), Path(file)
    registry.raise_for([file])
    return [found.spec for found in _of_file(registry, file)]


def select(
    plugin: str | Path,
    *,
    kind: str | None = None,
    files: Sequence[Path] = (),
    options: Mapping[str, Any] | None = None,
) -> list[Selected]:
    """What :func:`check_plugin` checks: arguments of :func:`check_component`, or the report of a file that did not load."""
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind", kind, KINDS)
    if not is_file(plugin):
        return [*_named(str(plugin), kind, _load(files), dict(options or {}))]
    file = Path(plugin)
    if not file.is_file():
        raise PluginError(f"no such file: {file}")
    registry = _load([*files, file])
    for failure in registry.failures:
        if failure.file is not None and failure.file.resolve() == file.resolve():
            return [_not_loaded(failure)]
    brought = [*_of_file(registry, file)]
    chosen = [found for found in brought if kind in (None, found.kind)]
    if not chosen:
        names = ", ".join(f"{found.kind} {found.spec.name!r}" for found in brought)
        raise FetchbenchError(f"{file} brings no {kind}; it brings {names}")
    return [
        (found.kind, _checked(found, Component(name=found.spec.name, options=dict(options or {}))), registry)
        for found in chosen
    ]


def every_component(kind: str | None = None, files: Sequence[Path] = ()) -> list[Selected]:
    """Every component there is, of one kind or of all, and a report for each plugin that did not load."""
    registry = _load(files)
    parts: list[Selected] = [_not_loaded(failure) for failure in registry.failures]
    for k in KINDS:
        if kind in (None, k):
            parts += [(k, Component(name=name), registry) for name in registry.names(k)]
    return parts


def _not_loaded(failure: FailedPlugin) -> Report:
    advice = "mend that line" if "(line " in failure.error else ""
    if failure.error.startswith(("ModuleNotFoundError", "ImportError")):
        advice = "install what it needs, or import it within `build`"
    name = Path(failure.provider.location).name
    return Report((Finding("plugin", name, "load", "failed", failure.error, advice),))


def check_component(kind: str, component: Component, registry: Registry) -> Report:
    """Check one component.

    Args:
        kind: A key of :data:`fetchbench.specs.KINDS`.
        component: Its name, options, and what it wraps.
        registry: Where it is found, with the routings under which an encoder or a loss must work.
    """
    from fetchbench.testing.checks import run_checks

    found = registry.get(kind, component.name)
    checks_module, module, name = _KITS[kind]
    subject = getattr(importlib.import_module(f"fetchbench.testing.{module}"), name)(registry, component)
    try:
        wraps = isinstance(found.spec, EncoderSpec) and found.spec.wraps
        check_options("build", found.spec, component.options, wraps)
    except PluginError as error:
        advice = "give it a default, or check it with --option NAME=VALUE"
        return Report((Finding(kind, component.label, "options", "failed", str(error), advice),))
    checks = importlib.import_module(f"fetchbench.testing.{checks_module}").checks(subject)
    control = found.spec.control if isinstance(found.spec, EncoderSpec) else ""
    return Report(tuple(run_checks(kind, component.label, found.file, checks, subject, control)))


def is_file(plugin: str | Path) -> bool:
    """Whether this is a file's name, not a component's."""
    return isinstance(plugin, Path) or plugin.endswith(".py") or "/" in plugin


def _load(files: Sequence[Path]) -> Registry:
    from fetchbench.run.plugins import load_plugins  # imports torch

    return load_plugins(files)


def _of_file(registry: Registry, file: Path) -> Iterator[Registered]:
    for found in registry.components.values():
        if found.file is not None and found.file.resolve() == file.resolve():
            yield found


def _named(
    text: str, kind: str | None, registry: Registry, options: dict[str, Any]
) -> Iterator[tuple[str, Component, Registry]]:
    from fetchbench.suite.components import read_component
    from fetchbench.suite.problems import Problems

    problems = Problems("check")
    component = read_component(problems, "name", text)
    if component is None:
        raise FetchbenchError(f'{text!r} names no component: write "name", "outer(inner)", or a plugin file\'s path')
    kinds = [k for k in KINDS if kind in (None, k) and (k, component.name) in registry.components]
    if not kinds:
        known = {name for k in KINDS if kind in (None, k) for name in registry.names(k)}
        broken = ", ".join(failure.provider.location for failure in registry.failures)
        hint = f"Plugins that failed to load: {broken}; `fetchbench check FILE` says why." if broken else ""
        raise UnknownNameError((kind or "component").replace("-", " "), component.name, known, hint)
    for k in kinds:
        chosen = component.model_copy(update={"options": options})
        if component.wraps is not None:
            registry.resolve(k, chosen)
        yield k, _checked(registry.get(k, component.name), chosen), registry


def _checked(found: Registered, component: Component) -> Component:
    """A component whose options, where it has any, are those that its ``build`` takes.

    Raises:
        PluginError: They are not.
    """
    if component.options:
        wraps = isinstance(found.spec, EncoderSpec) and found.spec.wraps
        check_options(f"{found.kind.replace('-', ' ')} {component.name!r}", found.spec, component.options, wraps)
    return component
