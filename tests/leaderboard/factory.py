"""Records and run folders made up for tests."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fetchbench.leaderboard.figures import PNG_KEYWORD, SVG_PREFIX, data_sha256
from fetchbench.protocol import Budget, Evaluation, LearnerSettings, Scene
from fetchbench.records.diagnosis import score_of
from fetchbench.records.schema import (
    Component,
    Cost,
    EvaluationPoint,
    GoalDistance,
    Method,
    Provenance,
    Record,
    Result,
    RunRequest,
    Status,
    sha256_of,
)
from fetchbench.records.store import record_text
from fetchbench.specs import PixelSpec

VERSION = {"provider": "fetchbench", "version": "0.1.0", "source_sha256": "a" * 64}


def make_method(name: str = "four-conv", **changes: Any) -> Method:
    """A pixel method; tracks without pixels lose what they cannot have."""
    fields: dict[str, Any] = {
        "name": name,
        "track": "pixels-only",
        "pixels": PixelSpec(size=64),
        "encoder": Component(name=name, **VERSION),
        "routing": Component(name="critic", **VERSION),
    }
    if changes.get("track") in ("state", "blind"):
        fields |= {"pixels": None, "encoder": None, "routing": None}
    return Method(**fields | changes)


def make_points(successes: Sequence[float], every_steps: int = 500) -> list[EvaluationPoint]:
    return [
        EvaluationPoint(
            steps=every_steps * number,
            updates=max(0, every_steps * number - 1000),
            success=success,
            success_any=min(1.0, success + 0.1),
            success_last_ten=success,
            success_raw=success,
            episodes=50,
            drawn=51,
            return_mean=-30.0,
            distance_m=0.1,
        )
        for number, success in enumerate(successes, 1)
    ]


def make_record(
    method: Method | str = "four-conv",
    seed: int = 0,
    successes: Sequence[float] = (0.0, 0.3, 0.8, 0.8),
    *,
    suite: str = "reach-v1",
    task: str = "FetchReach-v4",
    status: Status = "done",
    request: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
    cost: dict[str, Any] | None = None,
    parameters: dict[str, int] | None = None,
    goal_distance: GoalDistance | None = None,
) -> Record:
    """One finished run whose score is the mean of the last two of ``successes``."""
    method = make_method(method) if isinstance(method, str) else method
    fields: dict[str, Any] = {
        "suite": suite,
        "task": task,
        "seed": seed,
        "scene": Scene(),
        "pixel_track": "pixels-only",
        "learner": LearnerSettings(),
        "budget": Budget(steps=2000),
        "evaluation": Evaluation(every_steps=500, last=2),
        "method": method,
        "mujoco": "3.11.0",
    }
    made = RunRequest(**fields | (request or {}))
    if not made.key:
        made = made.model_copy(update={"key": sha256_of(made.model_dump(mode="json"))})
    points = make_points(successes)
    if parameters is None:
        parameters = {"actor": 70_000} | ({"encoder": 31_232} if method.encoder else {})
    result = Result(
        status=status,
        steps=2000,
        updates=1000,
        episodes=40,
        score=score_of(status, points, made.evaluation.last),
        evaluations=points,
        audit=[],
        parameters=parameters,
        feature_dim=50 if method.encoder else None,
        goal_distance=goal_distance,
    )
    origin: dict[str, Any] = {
        "fetchbench": "0.1.0",
        "python": "3.11.7",
        "platform": "Linux",
        "processor": "Example CPU 9000",
        "cores": 2,
        "packages": {"torch": "2.15.0", "mujoco": "3.11.0"},
        "finished": "2026-01-01T00:00:00Z",
    }
    spent: dict[str, Any] = {
        "wall_s": 300.0,
        "core_s": 252.0,
        "steps_per_s": 6.7,
        "updates_per_s": 3.3,
        "peak_memory_mb": 812.0,
        "replay_mb": 25.0,
        "attempts": 1,
    }
    return Record(
        request=made,
        result=result.sealed(),
        provenance=Provenance(**origin | (provenance or {})),
        cost=Cost(**spent | (cost or {})),
    )


def published_at(root: Path, record: Record, suite: str | None = None) -> Path:
    request = record.request
    folder = root / "leaderboard" / "records" / (suite or request.suite)
    return folder / request.method.name / request.task / f"seed{request.seed}.json"


def write_published(root: Path, records: Sequence[Record]) -> None:
    """Put records where the board reads them."""
    for record in records:
        path = published_at(root, record)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record_text(record))


def write_runs(runs: Path, records: Sequence[Record], unfinished: Sequence[Record] = ()) -> None:
    """Leave what the runner leaves: a folder per run and an index per suite. Unfinished runs have no record yet."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for record in (*records, *unfinished):
        request = record.request
        directory = f"{request.suite}/{request.method.name}/{request.task}/seed{request.seed}"
        folder = runs / directory
        folder.mkdir(parents=True, exist_ok=True)
        if record not in unfinished:
            (folder / "record.json").write_text(record_text(record))
        lines.setdefault(request.suite, []).append(
            {
                "method": request.method.name,
                "task": request.task,
                "seed": request.seed,
                "directory": directory,
                "key": request.key,
            }
        )
    for suite, entries in lines.items():
        (runs / f"{suite}.json").write_text(json.dumps({"suite": suite, "runs": entries}))


def stand_in_figure(data: dict[str, Any]) -> dict[str, bytes]:
    """Files that carry a figure's digest and show nothing: drawing takes seconds."""
    digest = data_sha256(data)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    text = chunk(b"tEXt", f"{PNG_KEYWORD}\0{digest}".encode())
    return {
        "svg": f"<svg><dc:identifier>{SVG_PREFIX}{digest}</dc:identifier></svg>".encode(),
        "png": b"\x89PNG\r\n\x1a\n" + text + chunk(b"IEND", b""),
    }
