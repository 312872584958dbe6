"""What stands above a suite's tables: all that is the same for every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fetchbench.leaderboard import cells
from fetchbench.leaderboard.markdown import escape
from fetchbench.leaderboard.rows import Row
from fetchbench.protocol import StopRule
from fetchbench.records.schema import Record, RunRequest


def plural(number: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def captions(suite: str, records: Sequence[Record], found: Sequence[Row]) -> list[str]:
    """Markdown, a line per subject.

    Args:
        suite: Its name.
        records: All of its records, one or more.
        found: Their rows.
    """
    shared = shared_parts(found)
    named = [escape(text if text.startswith(kind) else f"{kind} {text}") for kind, text in shared.items()]
    return [
        *_protocol(records[0].request, found),
        *([f"- **Every method** but the anchors: {' · '.join(named)}"] if named else []),
        *_origin(records, found),
        f"- **Reproduce**: `fetchbench run {suite} && fetchbench publish {suite}`",
    ]


def shared_parts(found: Sequence[Row]) -> Mapping[str, str]:
    """What all methods but the anchors have in common, kind by kind; empty where there are fewer than two."""
    methods = {row.method.name: cells.parts(row.method) for row in found if not row.anchor}
    if len(methods) < 2:
        return {}
    first, *others = methods.values()
    return {kind: text for kind, text in first.items() if all(other.get(kind) == text for other in others)}


def shared_arithmetic(found: Sequence[Row]) -> str:
    """Precision and compile mode, where all rows that have an encoder agree; else empty."""
    distinct = {row.arithmetic for row in found if row.method.encoder is not None}
    return "" if len(distinct) != 1 else " / ".join(distinct.pop())


def _protocol(request: RunRequest, found: Sequence[Row]) -> list[str]:
    learner, scene, evaluation = request.learner, request.scene, request.evaluation
    tasks = ", ".join(dict.fromkeys(escape(row.task) for row in found))
    buffer = "the whole run" if learner.buffer_steps is None else f"{learner.buffer_steps:,} steps"
    entropy = f"fixed at {learner.entropy_coefficient:g}"
    if learner.entropy == "learned":
        entropy = f"learned from {learner.entropy_coefficient:g} towards {learner.target_entropy:g} nats"
    rate = f"{learner.updates_per_step:g} update" + ("" if learner.updates_per_step == 1 else "s")
    multiplier = learner.encoder_learning_rate_multiplier
    encoder_rate = f" (encoders times {multiplier:g})" if multiplier != 1 else ""
    lines = {
        "Protocol": [
            tasks,
            f"track `{request.pixel_track}`",
            f"camera `{scene.camera}`, {scene.lighting} lighting, marker {scene.marker}",
            *_object_sizes(scene.camera, [row.task for row in found]),
            f"{request.budget.steps:,} environment steps",
            *_stop(request.stop),
        ],
        "Learner": [
            "HER + SAC",
            plural(learner.environments, "environment"),
            f"{rate} per step after {learner.warmup_steps:,} steps of warm-up",
            f"batch {learner.batch_size}",
            f"learning rate {learner.learning_rate:g}{encoder_rate}",
            f"heads {', '.join(map(str, learner.hidden))}",
            f"critic loss `{learner.critic_loss}`",
            f"discount {learner.discount:g}",
            f"target rate {learner.target_rate:g}, features `{learner.target_features}`",
            f"entropy coefficient {entropy}",
            f"relabelling `{learner.relabel_strategy}`, k = {learner.relabel_k}",
            f"replay of {buffer}",
            f"{learner.vectors} vectors",
        ],
        "Evaluation": [
            f"{plural(evaluation.episodes, 'episode')} every {evaluation.every_steps:,} steps",
            f"score: mean of the last {evaluation.last}",
        ],
    }
    return [f"- **{name}**: {' · '.join(parts)}" for name, parts in lines.items()]


def _stop(stop: StopRule | None) -> list[str]:
    """The rule that censors runs, where a suite has one."""
    if stop is None:
        return []
    loss = "" if stop.critic_loss == "any" else " and a critic loss that does not rise"
    return [
        f"stopped early, and censored, after {stop.after_steps:,} steps or more with success of at most "
        f"{stop.at_most_success:g} in {plural(stop.evaluations, 'evaluation')} in a row{loss}"
    ]


def floors_text(task: str) -> str:
    """What policies that learn nothing score on a task, in a line; empty where that was not measured."""
    # Imported here, as below: the package around it brings numpy.
    from fetchbench.environment.floors import floor_text, floors

    return f"*Without learning*: {floor_text(measured)}." if (measured := floors(task)) else ""


def _object_sizes(camera: str, tasks: Sequence[str]) -> list[str]:
    """How large the object is in a frame of 84x84, in the middle of where it may lie; nothing for tasks without one."""
    # Imported here: it brings numpy, and a board of FetchReach needs none of it.
    from fetchbench.environment.cameras import CAMERAS, OBJECTS

    places = {task: OBJECTS[task] for task in dict.fromkeys(tasks) if task in OBJECTS and task in CAMERAS.get(camera, {})}
    return [
        f"object {CAMERAS[camera][task].pixels_across(place, width, 84):.1f} pixels across at 84x84 ({task})"
        for task, (place, width) in places.items()
    ]


def _origin(records: Sequence[Record], found: Sequence[Row]) -> list[str]:
    """Where the numbers were made: every distinct machine and version."""

    def distinct(value: Callable[[Record], str | None]) -> str:
        return ", ".join(sorted({escape(text) for record in records if (text := value(record))}))

    def package(name: str) -> Callable[[Record], str | None]:
        return lambda record: record.provenance.packages.get(name)

    machines = [distinct(lambda r: r.provenance.processor), distinct(lambda r: r.provenance.gpu)]
    versions = {
        "fetchbench": distinct(lambda r: r.provenance.fetchbench),
        "torch": distinct(package("torch")),
        "MuJoCo": distinct(lambda r: r.request.mujoco or r.provenance.packages.get("mujoco")),
    }
    arithmetic = shared_arithmetic(found)
    parts = [plural(len(records), "record"), *machines, *(f"{k} {v}" for k, v in versions.items() if v)]
    parts += [f"encoders in {arithmetic}"] if arithmetic else []
    if modified := sum(record.provenance.dirty is True for record in records):
        parts.append(f"{modified} of them with uncommitted changes")
    return [f"- **Made with**: {' · '.join(part for part in parts if part)}"]
