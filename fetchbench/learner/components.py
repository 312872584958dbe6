"""From a component's name to what its plugin builds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fetchbench.errors import FetchbenchError, PluginError, one_line
from fetchbench.records.schema import Component
from fetchbench.registry import Registry

T = TypeVar("T")


def spec_of(registry: Registry, kind: str, component: Component, expected: type[T]) -> T:
    """The spec that a component names.

    Raises:
        UnknownNameError: There is none.
    """
    spec = registry.get(kind, component.name).spec
    assert isinstance(spec, expected)  # the loader takes nothing else of this kind
    return spec


def called(kind: str, component: Component, make: Callable[[], T]) -> T:
    """Call a plugin's ``build`` and turn whatever it raises into one line."""
    try:
        return make()
    except FetchbenchError:
        raise
    except Exception as error:
        text = one_line(error)
        raise PluginError(f"{kind} {component.label} does not build: {type(error).__name__}: {text}") from error
