"""Finding, loading and naming plugins.

A plugin is a module with hook implementations; each hook yields specs (:mod:`fetchbench.specs`). Modules come, in this
order, from fetchbench's own ``plugins`` folder, from installed packages (entry points of the group ``fetchbench``), from
``./plugins``, and from the files named with ``--plugin``. They are loaded one at a time and each in its own guard: one that
fails is kept as a :class:`FailedPlugin` and shown, and takes nothing else down.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from fetchbench._version import __version__
from fetchbench.errors import FetchbenchError, PluginError, UnknownNameError, one_line
from fetchbench.records.schema import Component
from fetchbench.specs import HOOKS, KINDS, AugmentationSpec, EncoderSpec, GradientRoutingSpec, PluginSpec

PROJECT = "fetchbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HookSpecs:
    """The hooks a plugin may implement. None takes arguments; each returns or yields specs."""

    @hookspec
    def fetchbench_encoders(self) -> Iterable[PluginSpec]:
        """Yield :class:`~fetchbench.specs.EncoderSpec` objects."""
        raise NotImplementedError

    @hookspec
    def fetchbench_augmentations(self) -> Iterable[PluginSpec]:
        """Yield :class:`~fetchbench.specs.AugmentationSpec` objects."""
        raise NotImplementedError

    @hookspec
    def fetchbench_auxiliary_losses(self) -> Iterable[PluginSpec]:
        """Yield :class:`~fetchbench.specs.AuxiliaryLossSpec` objects."""
        raise NotImplementedError

    @hookspec
    def fetchbench_gradient_routings(self) -> Iterable[PluginSpec]:
        """Yield :class:`~fetchbench.specs.GradientRoutingSpec` objects."""
        raise NotImplementedError

    @hookspec
    def fetchbench_goal_spaces(self) -> Iterable[PluginSpec]:
        """Yield :class:`~fetchbench.specs.GoalSpaceSpec` objects."""
        raise NotImplementedError


@dataclass(frozen=True)
class Provider:
    """Where a plugin comes from.

    Attributes:
        name: Distribution, or file name for a local file.
        version: The distribution's version; ``"local"`` for a file.
        location: The file, for messages; never recorded.
        source_sha256: Digest of its source: of the file, or of every Python file of its package.
    """

    name: str
    version: str
    location: str
    source_sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.location})"


@dataclass(frozen=True)
class FailedPlugin:
    """A plugin that did not load, and why in one line."""

    provider: Provider
    error: str
    file: Path | None = None


@dataclass(frozen=True)
class Registered:
    """A spec and who provides it."""

    kind: str
    spec: PluginSpec
    provider: Provider
    file: Path | None = None


@dataclass
class Registry:
    """Every component by kind and name, and every plugin that failed."""

    components: dict[tuple[str, str], Registered] = field(default_factory=dict)
    failures: list[FailedPlugin] = field(default_factory=list)

    def names(self, kind: str) -> list[str]:
        """The names of one kind, sorted."""
        return sorted(name for k, name in self.components if k == kind)

    def get(self, kind: str, name: str) -> Registered:
        """Look a component up.

        Raises:
            UnknownNameError: Nothing of that kind has that name; plugins that failed to load are named.
        """
        if (kind, name) in self.components:
            return self.components[kind, name]
        broken = ", ".join(failure.provider.location for failure in self.failures)
        hint = f"Plugins that failed to load: {broken}; see `fetchbench plugins`." if broken else ""
        raise UnknownNameError(kind.replace("-", " "), name, self.names(kind), hint)

    def resolve(self, kind: str, component: Component) -> Component:
        """Check a component's name and options and fill in who provides it.

        Raises:
            UnknownNameError: No such component.
            PluginError: Its ``build`` does not take these options, or it wraps where it cannot (or the reverse).
        """
        found = self.get(kind, component.name)
        wraps = isinstance(found.spec, EncoderSpec) and found.spec.wraps
        words = kind.replace("-", " ")
        what = f"{words} {component.name!r}"
        if wraps and component.wraps is None:
            raise PluginError(f'{what} wraps another encoder: name it, as in "{component.name}(four-conv)"')
        # Any augmentation follows any other: that is a chain.
        if component.wraps is not None and not wraps and not isinstance(found.spec, AugmentationSpec):
            raise PluginError(f"{what} does not wrap another {words}; write it without {component.wraps.label!r}")
        check_options(what, found.spec, component.options, wraps)
        inner = self.resolve(kind, component.wraps) if component.wraps else None
        return component.model_copy(
            update={
                "provider": found.provider.name,
                "version": found.provider.version,
                "source_sha256": found.provider.source_sha256,
                "licence": licence(found.spec, component.options),
                "wraps": inner,
            }
        )

    def frame_size(self, encoder: Component) -> int | None:
        """The frame size that an encoder needs, or the one that it wraps; ``None`` takes the suite's.

        Raises:
            UnknownNameError: There is no such encoder.
        """
        return self._of_encoder(encoder, "frame_size")

    def trunk(self, encoder: Component) -> int | None:
        """The default width of the heads' trunk behind an encoder, or behind the one that it wraps; ``None`` is none.

        Raises:
            UnknownNameError: There is no such encoder.
        """
        return self._of_encoder(encoder, "trunk")

    def _of_encoder(self, encoder: Component, field: str) -> int | None:
        """What an encoder's spec says, or that of the one that it wraps."""
        own: int | None = getattr(self.get("encoder", encoder.name).spec, field, None)
        return own if own is not None or encoder.wraps is None else self._of_encoder(encoder.wraps, field)

    def raise_for(self, files: Sequence[Path]) -> None:
        """Raise for the first of these plugin files that failed to load.

        Raises:
            PluginError: With the file and its error.
        """
        wanted = {file.resolve() for file in files}
        for failure in self.failures:
            if failure.file is not None and failure.file.resolve() in wanted:
                raise PluginError(f"plugin {failure.provider.location}: {failure.error}")


def check_options(what: str, spec: PluginSpec, options: dict[str, Any], wraps: bool = False) -> None:
    """Check options against the signature of a spec's ``build``.

    Raises:
        PluginError: An option that ``build`` does not take, or a missing one, with those it takes.
    """
    if isinstance(spec, GradientRoutingSpec):
        if options:
            raise PluginError(f"{what} takes no options, got {', '.join(sorted(options))}")
        return
    positional = 2 if wraps else 1
    try:
        signature = inspect.signature(spec.build)
    except ValueError as error:  # some callables written in C tell nothing
        raise PluginError(f"{what}: its build has no signature to check options against; wrap it in a function") from error
    accepted = [p.name for p in list(signature.parameters.values())[positional:] if p.kind is not p.VAR_KEYWORD]
    try:
        signature.bind(*[None] * positional, **options)
    except TypeError as error:
        raise PluginError(f"{what}: {error}; its options: {', '.join(accepted) or 'none'}") from error


def licence(spec: PluginSpec, options: dict[str, Any]) -> str:
    """What a component's code or weights are licensed under, where it is not its provider's own licence."""
    if not isinstance(spec, EncoderSpec):
        return ""
    source = options.get("weights", "published")
    if spec.weights is None or source == "random":
        return spec.licence
    return spec.weights.licence if source in ("published", "hub") else "of the file that was given"


def load_registry(files: Sequence[Path] = (), builtin: Sequence[tuple[str, PluginSpec]] = ()) -> Registry:
    """Load every plugin.

    Args:
        files: Plugin files named by the user, loaded last.
        builtin: ``(kind, spec)`` pairs that the core itself brings.
    """
    registry = Registry()
    core = Provider(PROJECT, __version__, "built in", "built in")
    for kind, spec in builtin:
        registry.components[kind, spec.name] = Registered(kind, spec, core)
    for provider, file, load in _sources(files):
        try:
            with contextlib.redirect_stdout(sys.stderr):
                found = list(_specs(load()))
            _add(registry, provider, file, found)
        except (Exception, SystemExit) as error:
            registry.failures.append(FailedPlugin(provider, _one_line(error, file), file))
    return registry


def bundled_folder(name: str) -> Path:
    """``plugins`` or ``suites`` as fetchbench brings them: in the wheel, or the checkout's live folder."""
    package = Path(__file__).parent
    bundled = package / "_bundled"
    return (bundled if bundled.is_dir() else package.parent) / name


def _sources(files: Sequence[Path]) -> Iterator[tuple[Provider, Path | None, Any]]:
    seen: set[Path] = set()

    def local(paths: Iterable[Path], name: str = "", version: str = "local") -> Iterator[tuple[Provider, Path, Any]]:
        for path in paths:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            source = _source(path)
            digest = hashlib.sha256(source).hexdigest()
            provider = Provider(name or path.name, version, str(path), digest)
            yield provider, path, lambda path=path, source=source, digest=digest: _load_file(path, source, digest)

    yield from local(sorted(bundled_folder("plugins").glob("[!_]*.py")), PROJECT, __version__)
    for entry in sorted(importlib.metadata.entry_points(group=PROJECT), key=lambda e: (e.name, e.value)):
        dist = entry.dist
        name, version = (dist.name, dist.version) if dist else (entry.name, "?")
        yield Provider(name, version, entry.value, _package_digest(entry.value)), None, entry.load
    yield from local(sorted(Path("plugins").glob("[!_]*.py")))
    yield from local(files)


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # reported when it is loaded, with a message of its own


def _package_digest(reference: str) -> str:
    """Digest of the Python files of the package that an entry point (``package.module:name``) lies in, not imported."""
    try:
        spec = importlib.util.find_spec(reference.partition(":")[0].partition(".")[0].strip())
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return ""
    files = [] if spec.origin is None else [Path(spec.origin)]
    if spec.submodule_search_locations:
        files = sorted(p for root in spec.submodule_search_locations for p in Path(root).rglob("*.py"))
    return hashlib.sha256(b"".join(map(_source, files))).hexdigest() if files else ""


def _load_file(path: Path, source: bytes, digest: str) -> ModuleType:
    """Run exactly the source whose digest is recorded: a stale ``.pyc`` or an edit meanwhile would be another."""
    if not path.is_file():
        raise PluginError(f"no such file: {path}")
    if path.suffix != ".py":
        raise PluginError(f"{path} is not a Python file (.py)")
    path.open("rb").close()  # may it be read?
    name = f"fetchbench_plugin_{path.stem}_{digest[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a class's module up by name.
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _specs(module: object) -> Iterator[tuple[str, PluginSpec]]:
    """The ``(kind, spec)`` pairs that a module's hooks yield."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    for name in dir(module):
        if name.startswith(f"{PROJECT}_") and callable(getattr(module, name)):
            if name not in HOOKS.values():
                raise UnknownNameError("hook", name, HOOKS.values())
            if not hasattr(getattr(module, name), f"{PROJECT}_impl"):
                raise PluginError(f"{name} is not decorated: write @hookimpl above it (from fetchbench import hookimpl)")
    manager.register(module)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{error}; the hooks are {', '.join(sorted(HOOKS.values()))}") from error
    found = 0
    for kind, hook in HOOKS.items():
        for result in getattr(manager.hook, hook)():
            for spec in result if isinstance(result, Iterable) else [result]:
                if not isinstance(spec, KINDS[kind]):
                    raise PluginError(f"{hook} yields {type(spec).__name__}, not {KINDS[kind].__name__}")
                found += 1
                yield kind, spec
    if not found:
        raise PluginError(f"implements no hook; decorate one of {', '.join(sorted(HOOKS.values()))} with @hookimpl")


def _add(registry: Registry, provider: Provider, file: Path | None, found: list[tuple[str, PluginSpec]]) -> None:
    """Register all of a plugin's components, or none."""
    names = [(kind, spec.name) for kind, spec in found]
    for kind, name in names:
        if (kind, name) in registry.components:
            other = registry.components[kind, name].provider
            raise PluginError(f"{kind.replace('-', ' ')} {name!r} is already provided by {other}; rename one of them")
        if names.count((kind, name)) > 1:
            raise PluginError(f"yields {kind.replace('-', ' ')} {name!r} twice; rename one of them")
    for kind, spec in found:
        registry.components[kind, spec.name] = Registered(kind, spec, provider, file)


def _one_line(error: BaseException, file: Path | None) -> str:
    """The error in one line, with the line of the plugin's file that it came from."""
    text = one_line(error) or type(error).__name__
    if isinstance(error, FetchbenchError):
        return text
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file) and error.lineno:
        text, lines = error.msg, [error.lineno]
    return f"{type(error).__name__}: {text}" + (f" (line {lines[-1]})" if lines else "")
