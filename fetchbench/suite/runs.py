"""From a suite to the runs that it asks for, and what makes two runs the same."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from fetchbench.errors import FetchbenchError
from fetchbench.machine import minor_version
from fetchbench.records.schema import COMPONENT_FIELDS, Component, Execution, Method, Reward, RunRequest, sha256_of
from fetchbench.specs import GoalSpaceSpec, GradientRoutingSpec
from fetchbench.suite.factors import place_of
from fetchbench.suite.model import Suite
from fetchbench.suite.problems import Problems, join

if TYPE_CHECKING:
    from fetchbench.registry import Registry

_EXECUTION = Execution()


def requests(suite: Suite, registry: Registry, execution: Execution = _EXECUTION) -> list[RunRequest]:
    """Every run of a suite, with its components resolved and its key.

    Args:
        execution: How the arithmetic is done; no part of a run's key.

    Returns:
        In order of seed, then method, then task, each in the suite's order: a first seed of everything comes first, the
        baseline's further seeds last.

    Raises:
        SuiteError: Every component that does not exist, or does not take its options.
    """
    problems = Problems(suite.where)
    methods = [_resolved(problems, suite, method, registry) for method in suite.methods]
    problems.raise_all()
    return list(_requests(suite, methods, registry, execution))


def _resolved(problems: Problems, suite: Suite, method: Method, registry: Registry) -> Method:
    found: dict[str, Any] = {}
    for field, kind in COMPONENT_FIELDS.items():
        component: Component | None = getattr(method, field)
        if component is None:
            continue
        try:
            found[field] = registry.resolve(kind, component)
        except FetchbenchError as error:
            problems.add(_place(suite, method, field), str(error))
    if method.auxiliary_loss is None and method.routing is not None and "routing" in found:
        routing = registry.get("gradient-routing", method.routing.name).spec
        if isinstance(routing, GradientRoutingSpec) and routing.needs_auxiliary_loss:
            problems.add(*_without_loss(suite, method, routing.name))
    if method.pixels is not None and "encoder" in found and (size := registry.frame_size(found["encoder"])):
        # What is recorded, and stands on the board, is what the encoder sees.
        found["pixels"] = method.pixels.sized(size)
    return method.model_copy(update=found)


def _place(suite: Suite, method: Method, field: str) -> str:
    """Where a method's component is written."""
    combination = suite.levels.get(method.name)
    if combination is not None and (place := place_of(suite.factors, combination, field)):
        return place
    inherited = getattr(method, field) == getattr(suite.template, field)
    return join("template" if inherited else join("methods", method.name), field)


def _without_loss(suite: Suite, method: Method, routing: str) -> tuple[str, str]:
    """Place and text of: this routing needs an auxiliary loss."""
    text = f"routing {routing!r} trains the encoder by an auxiliary loss alone, and there is none; "
    if (combination := suite.levels.get(method.name)) is None:
        return join(join("methods", method.name), "routing"), text + "name one with `auxiliary_loss`, or take another routing"
    levels = ", ".join(f"{factor} = {json.dumps(level)}" for factor, level in combination.items())
    return f"factors[{method.name}]", text + f"leave the combination out: exclude = [{{ {levels} }}], or fewer of these levels"


def _requests(suite: Suite, methods: list[Method], registry: Registry, execution: Execution) -> Iterator[RunRequest]:
    mujoco = importlib.metadata.version("mujoco")
    reward = {method.name: _reward(registry, method.goal_space) for method in methods}
    resolved = {method.name: method for method in methods}
    for seed, method, task in suite.cells():
        request = RunRequest(
            suite=suite.name,
            task=task,
            seed=seed,
            scene=suite.scene,
            pixel_track=suite.track,
            learner=suite.learner,
            budget=suite.budget,
            evaluation=suite.evaluation,
            stop=suite.stop,
            method=resolved[method.name],
            reward=reward[method.name],
            execution=execution,
            mujoco=mujoco,
        )
        yield request.model_copy(update={"key": run_key(request)})


def _reward(registry: Registry, goal_space: Component) -> Reward:
    spec = registry.get("goal-space", goal_space.name).spec
    assert isinstance(spec, GoalSpaceSpec)  # as the registry checked when it loaded the plugin
    return spec.reward


def run_key(request: RunRequest) -> str:
    """A run's identity: equal keys are the same run, whatever suite asked for it and however its arithmetic is done.

    It follows from the protocol, the method (its name, its components' options and source digests, but not where they were
    installed from), task, seed, the versions of protocol and learner, and MuJoCo's minor version.
    """
    return sha256_of(_setting(request) | {"method": _method(request.method), "task": request.task, "seed": request.seed})


def protocol_key(request: RunRequest) -> str:
    """What all runs of one table have in common, as a digest."""
    return sha256_of(_setting(request))


def run_directory(request: RunRequest) -> PurePosixPath:
    """A run's folder, relative to the runs folder: ``<task>/<method>/seed<k>-<first 12 of the key>``."""
    key = request.key or run_key(request)
    return PurePosixPath(request.task, request.method.name, f"seed{request.seed}-{key[:12]}")


def _setting(request: RunRequest) -> dict[str, Any]:
    return {
        "protocol": request.protocol(),
        "protocol_version": request.protocol_version,
        "learner_version": request.learner_version,
        "mujoco": minor_version(request.mujoco),
    }


def _method(method: Method) -> dict[str, Any]:
    components = {field: getattr(method, field) for field in COMPONENT_FIELDS}
    others = method.model_dump(mode="json", exclude=set(COMPONENT_FIELDS))
    return others | {field: component and _component(component) for field, component in components.items()}


def _component(component: Component) -> dict[str, Any]:
    return {
        "name": component.name,
        "options": component.options,
        "source_sha256": component.source_sha256,
        "wraps": _component(component.wraps) if component.wraps else None,
    }
