"""How a run looks, finished or not, from what lies in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fetchbench.execution.jobs import Job, own_record
from fetchbench.records.diagnosis import Diagnosis, diagnose, diagnosis_of
from fetchbench.records.schema import EvaluationPoint, Probe, Signal
from fetchbench.records.store import read_lines

M = TypeVar("M", bound=BaseModel)


def diagnosed(job: Job) -> Diagnosis:
    """How a run looks: by its record, or before there is one by the metrics that it has written.

    Raises:
        RecordError: The record is damaged, or another run's.
        StorageError: The metrics cannot be read.
    """
    path = job.directory / "record.json"
    if path.exists():
        return diagnose(own_record(path, job.request.key))
    lines = read_lines(job.directory / "metrics.jsonl")
    evaluations, signals = _points(lines, "evaluation", EvaluationPoint), _points(lines, "signal", Signal)
    return diagnosis_of(evaluations, signals, _points(lines, "probe", Probe))


def _points(lines: Sequence[Mapping[str, Any]], kind: str, model: type[M]) -> list[M]:
    """The lines of one kind; those that do not hold what they should are left out, as torn ones are."""
    found = []
    for line in lines:
        if line.get("kind") == kind:
            try:
                found.append(model.model_validate({name: value for name, value in line.items() if name != "kind"}))
            except ValidationError:
                continue
    return found
