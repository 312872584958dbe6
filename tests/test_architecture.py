"""The house holds: a part imports only parts to its left, and what must stay light stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fetchbench

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "fetchbench"
PLUGINS = sorted((ROOT / "plugins").glob("*.py"))

HOUSE = (
    ("_version", "errors", "machine", "protocol", "specs", "registry", "records", "statistics"),
    ("environment",),
    ("replay",),
    ("learner",),
    ("run",),
    ("suite",),
    ("execution",),
    ("leaderboard",),
    ("testing", "bench"),
    ("cli",),
    ("__main__",),
)
"""Parts from left to right; a part may import those of its own group and of the groups before. CONTRIBUTING.md says it too."""

PLACE = {part: place for place, parts in enumerate(HOUSE) for part in parts}
WITHOUT_TORCH = (*HOUSE[0], "environment", "suite", "leaderboard")
"""Not even within a function. ``execution`` may ask torch how many GPUs there are, when it must know."""

HEAVY = ("torch", "mujoco", "gymnasium", "scipy", "matplotlib", "timm")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """``fetchbench.learner.sac`` -> ``learner``; the package itself is the empty string."""
    return module.partition(".")[2].partition(".")[0]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def nodes(tree: ast.AST, *, typing: bool = True) -> Iterator[ast.AST]:
    """Every node, those within functions included; without ``typing``, not what only a type checker runs."""
    for child in ast.iter_child_nodes(tree):
        if typing or not is_type_checking(child):
            yield child
            yield from nodes(child, typing=typing)


def imports(path: Path, *, typing: bool = True) -> Iterator[tuple[int, str]]:
    """``(line, module)`` of every import, relative ones and ``import_module("...")`` resolved."""
    own = name_of(path) if path.is_relative_to(PACKAGE) else path.stem
    for node in nodes(ast.parse(path.read_text()), typing=typing):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = own.split(".") if path.name == "__init__.py" else own.split(".")[:-1]
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            # `from fetchbench import learner` imports fetchbench.learner.
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from ((node.lineno, a.value) for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))


def test_every_part_has_its_place_in_the_house():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()}
    assert parts - {"__init__", "_bundled"} <= PLACE.keys()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_part_imports_only_parts_to_its_left(path):
    own = part_of(name_of(path))
    if own == "":
        return  # the public surface: held by test_public_surface.py
    for line, module in imports(path):
        other = part_of(module)
        if module.split(".")[0] == "fetchbench" and other in PLACE:
            assert PLACE[other] <= PLACE[own], f"{path.relative_to(ROOT)}:{line}: {own} must not import {other}"


def test_the_order_of_the_house_is_the_one_contributors_read():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    order = " ".join(text.split("imports only parts to its left:")[1].split(". ")[0].split())
    written = [[name.strip() for name in group.split(",")] for group in order.split("<-")]
    mentioned = {name for group in written for name in group}
    ours = [[part for part in group if part in mentioned] for group in HOUSE]
    assert [sorted(group) for group in written] == [sorted(group) for group in ours if group]


def test_the_parts_that_never_need_torch_never_import_it():
    for path in modules():
        if part_of(name_of(path)) in WITHOUT_TORCH:
            for line, module in imports(path, typing=False):
                top = module.split(".")[0]
                assert top not in ("torch", "torchvision", "timm"), f"{path.relative_to(ROOT)}:{line}: imports {top}"


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after some code."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_importing_fetchbench_costs_nothing():
    found = loaded("import fetchbench; fetchbench.__version__")
    assert not found & {*HEAVY, "numpy", "pydantic", "pluggy", "fetchbench.specs"}


def test_the_names_that_plugins_need_cost_no_torch():
    """All but those that work on tensors."""
    on_tensors = {"Preprocessing", "load_policy", "load_weights", "random_shift"}
    names = ", ".join(name for name in fetchbench.__all__ if name not in on_tensors)
    assert not loaded(f"from fetchbench import {names}") & set(HEAVY)


@pytest.mark.parametrize(
    ("parts", "banned"),
    [
        ((*HOUSE[0], "suite", "execution", "leaderboard", "cli", "__main__"), HEAVY),
        (("environment",), ("torch", "timm", "triton")),
    ],
    ids=["what answers at once", "environment"],
)
def test_importing_every_module_of_the_light_parts(parts, banned):
    names = [name_of(path) for path in modules() if part_of(name_of(path)) in parts and path.name != "__main__.py"]
    assert names
    assert not loaded("".join(f"import {name}\n" for name in names)) & set(banned)


# -- plugins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_a_plugin_imports_neither_another_nor_the_inside_of_fetchbench(path):
    """Each is what a stranger would write: on the public surface alone."""
    others = {plugin.stem for plugin in PLUGINS}
    for line, module in imports(path):
        top, _, rest = module.partition(".")
        assert top not in {"plugins", *others}, f"{path.name}:{line}"
        if top == "fetchbench":
            assert rest in public_names(), f"{path.name}:{line}: {rest} is not in fetchbench.__all__"


def public_names() -> list[str]:
    import fetchbench

    return fetchbench.__all__


def plugin_names() -> set[str]:
    """What the bundled plugins call their components, read without running them."""
    found = set()
    for path in PLUGINS:
        for node in nodes(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Spec"):
                values = [k.value for k in node.keywords if k.arg == "name"] + node.args[:1]
                found |= {value.value for value in values if isinstance(value, ast.Constant)}
    return found


SHARED_WORDS = {"critic", "actor", "latent", "timm"}
"""Routings named after a loss, a goal space after what rewards there, an encoder after a package that records name."""


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """``(line, text)`` of every string that is neither a docstring nor a help text."""
    tree = ast.parse(path.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    prose |= {id(n) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "help" for n in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def test_the_plugins_names_are_known():
    assert {"nature", "manipulation", "spatial-softmax", "separate", "joint", "aux", "frozen"} <= plugin_names()


@pytest.mark.parametrize("path", [path for path in modules() if part_of(name_of(path)) != "bench"], ids=name_of)
def test_no_plugin_is_special_cased(path):
    """``bench`` is let off: it says which network it times."""
    names = plugin_names() - SHARED_WORDS
    for line, text in strings(path):
        named = {name for name in names if text == name or ("-" in name and name in text)}
        assert not named, f"{path.relative_to(ROOT)}:{line}: the core names the plugin {', '.join(named)}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("if name == 'nature': pass", ["nature"]),
        ("def f():\n    'nature'\n    return g(help='nature')", []),
        ("def f():\n    return {'nature': 1}", ["nature"]),
        ("f'{x} nature'", []),
    ],
)
def test_what_counts_as_naming(tmp_path, text, found):
    """The tests above can fail."""
    path = tmp_path / "module.py"
    path.write_text(text)
    assert [s for _, s in strings(path) if s == "nature"] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import fetchbench.run.audit", ["fetchbench.run.audit"]),
        ("from fetchbench import run", ["fetchbench.run"]),
        ("from . import build", ["fetchbench.learner.build"]),
        ("from ..run import audit", ["fetchbench.run.audit"]),
        ("def f():\n    from fetchbench.run import audit", ["fetchbench.run.audit"]),
        ("importlib.import_module('fetchbench.run')", ["fetchbench.run"]),
        ("if TYPE_CHECKING:\n    import torch", []),
    ],
)
def test_what_counts_as_an_import(monkeypatch, text, found):
    path = PACKAGE / "learner" / "imagined.py"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert [module for _, module in imports(path, typing=False)] == found
