"""``fetchbench`` as plugin authors see it: one flat namespace, documented."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import re
from pathlib import Path

import pytest

import fetchbench

SURFACE = [
    # the five kinds, each with its spec, what it is given and what it returns
    "Augmentation",
    "AugmentationSpec",
    "AuxiliaryContext",
    "AuxiliaryInputs",
    "AuxiliaryLossSpec",
    "EncoderSpec",
    "FetchbenchError",
    "FrameShape",
    "GoalContext",
    "GoalIndices",
    "GoalSpace",
    "GoalSpaceSpec",
    "GradientRoutingSpec",
    "PixelSpec",
    "PluginError",
    "Preprocessing",
    "Pursued",
    "Schedule",
    "WeightsError",
    "WeightsSpec",
    "__version__",
    "hookimpl",
    "load_policy",
    "load_weights",
    "random_shift",
]
"""Adding a name here is a promise to plugin authors; removing one breaks their files."""

NAMES = [name for name in SURFACE if name != "__version__"]
SOURCE = Path(fetchbench.__file__).read_text()


def test_the_surface_is_what_plugins_need():
    assert fetchbench.__all__ == SURFACE


def test_it_is_sorted_and_listed():
    assert fetchbench.__all__ == sorted(fetchbench.__all__)
    assert dir(fetchbench) == fetchbench.__all__


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_documented(name):
    value = getattr(fetchbench, name)
    documented = value if inspect.isclass(value) else type(value)
    text = inspect.getdoc(documented) or ""
    # A dataclass without a docstring of its own gets its signature for one.
    assert len(text) > 20
    assert not text.startswith(f"{name}(")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_very_object_of_its_home(name):
    from fetchbench import errors, registry, specs
    from fetchbench.learner import frames, pretrained
    from fetchbench.run import policy

    homes = [module for module in (errors, registry, specs, frames, pretrained, policy) if hasattr(module, name)]
    assert any(getattr(home, name) is getattr(fetchbench, name) for home in homes)


def test_type_checkers_see_the_same_names():
    (block,) = [n for n in ast.parse(SOURCE).body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    assert all(isinstance(node, ast.ImportFrom) for node in block.body)
    seen = {alias.asname or alias.name: node.module for node in block.body for alias in node.names}
    assert sorted(seen) == sorted(NAMES)
    for name, module in seen.items():
        value = getattr(fetchbench, name)
        assert getattr(importlib.import_module(module), name) is value


def test_a_star_import_brings_all_of_it():
    namespace: dict[str, object] = {}
    exec("from fetchbench import *", namespace)
    assert set(SURFACE) <= namespace.keys()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'fetchbench' has no attribute 'EncoderSpecs'"):
        fetchbench.EncoderSpecs  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'EncoderSpecs'"):
        exec("from fetchbench import EncoderSpecs")


def test_the_version_is_that_of_the_package():
    assert fetchbench.__version__ == importlib.metadata.version("fetchbench")
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(dev|a|b|rc)\d+)?", fetchbench.__version__)


def test_the_package_is_typed():
    assert Path(fetchbench.__file__).with_name("py.typed").exists()
