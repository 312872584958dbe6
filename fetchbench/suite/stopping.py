"""The table ``[stop]`` of a suite's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fetchbench.protocol import STOP_PRESETS, Budget, Evaluation, LearnerSettings, StopRule
from fetchbench.suite.methods import read_preset
from fetchbench.suite.problems import Problems


def read_stop(
    problems: Problems,
    table: Mapping[str, Any],
    learner: LearnerSettings | None,
    budget: Budget | None,
    evaluation: Evaluation | None,
) -> StopRule | None:
    """When runs are stopped early, upon a preset where the table names one; nothing where there are problems.

    Args:
        learner: Of the same suite, which the rule must leave something of; ``None`` where it has problems of its own.
        budget: Likewise.
        evaluation: Likewise.
    """
    table = problems.fields("stop", table, ("preset", *StopRule.model_fields))
    changes = {field: value for field, value in table.items() if field != "preset"}
    preset: StopRule | None = read_preset(problems, "stop", table, STOP_PRESETS) if "preset" in table else None
    if preset is None and problems.at("stop.preset"):
        return None
    rule = problems.validate("stop", StopRule, ({} if preset is None else preset.model_dump(mode="json")) | changes)
    if rule is None:
        return None
    whose = "" if "after_steps" in changes else f", as the preset {table['preset']!r} has it"
    if budget is not None and rule.after_steps >= budget.steps:
        problems.add("stop.after_steps", f"must be less than budget.steps, {budget.steps}, not {rule.after_steps}{whose}")
    if learner is not None and rule.after_steps <= learner.warmup_steps:
        text = f"must be more than learner.warmup_steps, {learner.warmup_steps}, not {rule.after_steps}{whose}"
        problems.add("stop.after_steps", text)
    if budget is not None and evaluation is not None and not problems.at("stop"):
        most = (budget.steps - 1) // evaluation.every_steps
        if rule.evaluations > most:
            text = (
                f"{rule.evaluations} in a row never come: a run of this budget has {most} before its last, which stops nothing"
            )
            problems.add("stop.evaluations", text)
    return rule
