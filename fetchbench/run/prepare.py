"""From requests to networks: one run's, or, before anything is started, every method's: can it be built?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fetchbench.environment.tasks import get_task
from fetchbench.errors import FetchbenchError, PluginError, RecordError, WeightsError, one_line
from fetchbench.learner.build import Built, InitialisationSeeds, build
from fetchbench.records.schema import Component, RunRequest
from fetchbench.registry import Registry
from fetchbench.run.streams import stream_seed


def read_request(directory: Path) -> RunRequest:
    """Read ``request.json``.

    Raises:
        RecordError: It is missing or damaged.
    """
    path = directory / "request.json"
    try:
        return RunRequest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; a run's directory is made by `fetchbench run SUITE`") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RecordError(
            f"{path}: not a valid request ({one_line(place)}: {first['msg']}); delete the folder and run the suite"
        ) from error


def build_request(request: RunRequest, registry: Registry, *, cache: bool = True) -> Built:
    """Build the networks of a request, from its own streams.

    Args:
        request: What to build.
        registry: Where its components are found.
        cache: As :func:`fetchbench.learner.build.build` has it.

    Raises:
        FetchbenchError: They cannot be built, or a plugin's source is not the one that the request names.
    """
    task, seed = request.task, request.seed
    for kind, component in request.method.components():
        check_source(registry, kind, component)
    seeds = InitialisationSeeds(*(stream_seed(task, seed, s) for s in ("encoder", "actor", "critic", "auxiliary")))
    return build(
        request.method, get_task(task), request.pixel_track, request.learner, registry, seeds, request.execution, cache=cache
    )


@dataclass(frozen=True)
class Preflight:
    """What stands in the way of methods.

    Attributes:
        problems: One line per method that cannot be built.
        lacking: Method -> what it lacks, for those whose pretrained weights are not on the machine.
    """

    problems: list[str]
    lacking: dict[str, str]


def preflight(requests: Sequence[RunRequest], registry: Registry) -> Preflight:
    """Build every distinct method once, on the CPU."""
    problems: dict[str, str] = {}
    lacking: dict[str, str] = {}
    seen: set[str] = set()
    for request in requests:
        what = request.method.model_dump_json() + request.task
        if what in seen:
            continue
        seen.add(what)
        try:
            build_request(request.model_copy(update={"execution": request.execution.on_cpu}), registry)
        except WeightsError as error:
            lacking.setdefault(request.method.name, str(error))
        except FetchbenchError as error:
            problems.setdefault(request.method.name, str(error))
        except Exception as error:
            # What a plugin's object does when it is copied, asked for its width, and so on, is the plugin's own.
            text = one_line(error)
            problems.setdefault(request.method.name, f"does not build: {type(error).__name__}: {text}")
    lines = [f"method {name!r}: {text.removeprefix(f'method {name!r}: ')}" for name, text in problems.items()]
    return Preflight(lines, lacking)


def check_source(registry: Registry, kind: str, component: Component) -> None:
    """Refuse a plugin that changed after the run was requested.

    Raises:
        UnknownNameError: It is gone.
        PluginError: Its source differs.
    """
    found = registry.get(kind, component.name).provider
    if component.source_sha256 and component.source_sha256 != found.source_sha256:
        raise PluginError(
            f"{kind.replace('-', ' ')} {component.name!r}: {found.location} changed after this run was requested "
            f"(sha256 {component.source_sha256[:12]}, now {found.source_sha256[:12]}); run the suite again to request it anew"
        )
