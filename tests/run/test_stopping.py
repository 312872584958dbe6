"""A run that the suite's rule stops is censored, the same however often it is interrupted; and its losses are in its record."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fetchbench.environment import VectorEnvironment, get_task
from fetchbench.protocol import Budget, Evaluation, StopRule
from fetchbench.records.schema import Signal
from fetchbench.run.checkpoint import Checkpoint
from fetchbench.run.prepare import build_request
from fetchbench.run.signals import Signals
from fetchbench.run.trainer import Trainer

from .conftest import RunFolder, make_request

STOPPED = {
    "budget": Budget(steps=600, checkpoint_every_steps=150),
    "evaluation": Evaluation(every_steps=100, episodes=2, last=2),
    # So that it holds as soon as it may: success of a policy that has learned for 200 steps.
    "stop": StopRule(after_steps=250, at_most_success=0.9, evaluations=2),
}


@pytest.fixture(scope="module")
def stopped(registry, tmp_path_factory) -> RunFolder:
    """A run of the track ``blind`` that is stopped at its third evaluation."""
    run = RunFolder(tmp_path_factory.mktemp("stopped"), make_request(registry, None, **STOPPED))
    run.finish()
    return run


def test_a_stopped_run_is_censored_and_scored_as_it_stood(stopped):
    result = stopped.record.result
    assert result.status == "censored"
    assert (result.steps, [point.steps for point in result.evaluations]) == (300, [100, 200, 300])
    assert result.reason.startswith("stopped at step 300 by the suite's rule: success of at most 0.9 (highest 0.")
    assert "in each of the last 2 evaluations, after 250 steps" in result.reason
    assert result.score == pytest.approx(sum(point.success for point in result.evaluations[-2:]) / 2)
    assert stopped.record.request.stop == STOPPED["stop"]
    assert stopped.lines("end")[-1]["status"] == "censored"


def test_a_stopped_run_leaves_its_final_weights(stopped):
    checkpoint = Checkpoint(stopped.folder / "checkpoint")
    assert checkpoint.state()["steps"] == 300
    assert not list((stopped.folder / "checkpoint").glob("replay-*"))


def trained(registry, folder: Path, *, until: float = math.inf, **changes: Any) -> tuple[Trainer, bool]:
    """The same run in this process, interrupted at a step; what an earlier call left in the folder is continued."""
    request = make_request(registry, None, **STOPPED | changes)
    with VectorEnvironment(get_task(request.task), request.scene, None, 1) as environment:
        trainer = Trainer(request, build_request(request, registry), environment, folder)
        trainer.resume()
        return trainer, trainer.train(lambda: trainer.steps >= until)


@pytest.mark.parametrize("moment", [100, 150, 250])
def test_interrupted_and_continued_it_stops_at_the_same_step_with_the_same_result(registry, tmp_path, moment):
    (tmp_path / "whole").mkdir()
    whole, over = trained(registry, tmp_path / "whole")
    assert (over, whole.steps) == (True, 300)
    part, over = trained(registry, tmp_path, until=moment)
    assert (over, part.steps, part.stopped) == (False, moment, "")
    again, over = trained(registry, tmp_path)
    assert (over, again.steps, again.stopped) == (True, 300, whole.stopped)
    assert again.result("censored", again.stopped) == whole.result("censored", whole.stopped)


def test_killed_between_its_last_checkpoint_and_its_record_it_does_not_go_on(registry, tmp_path):
    first, _ = trained(registry, tmp_path)
    again, over = trained(registry, tmp_path)
    assert (over, again.steps) == (True, 300)
    assert again.result("censored", again.stopped) == first.result("censored", first.stopped)


def test_the_rule_ends_no_run_that_has_spent_its_budget(registry, tmp_path):
    """At the last evaluation it holds, and says nothing."""
    trainer, over = trained(registry, tmp_path, budget=Budget(steps=300), stop=StopRule(after_steps=299, at_most_success=0.9))
    assert (over, trainer.steps, trainer.stopped) == (True, 300, "")


def test_the_losses_of_each_interval_are_in_the_record(stopped):
    """Learning begins at step 100, so the first evaluation has none before it."""
    found = stopped.record.result.signals
    assert [(point.steps, point.updates) for point in found] == [(200, 50), (300, 100)]
    assert all(point.critic_loss > 0 for point in found)
    assert [line["steps"] for line in stopped.lines("signal")] == [200, 300]
    progress = [line for line in stopped.lines("progress") if 200 < line["steps"] <= 300]
    assert found[-1].q == pytest.approx(sum(line["q"] for line in progress) / len(progress), abs=1e-5)


def test_signals_are_means_and_survive_their_state():
    def metrics(value: float) -> dict:
        names = ("critic_loss", "actor_loss", "q", "entropy", "alpha")
        return {name: torch.tensor(value + i) for i, name in enumerate(names)}

    signals = Signals()
    assert signals.close(100, 0) is None
    signals.note(metrics(1.0))
    again = Signals()
    again.load_state_dict(signals.state_dict())
    for one in (signals, again):
        one.note(metrics(2.0))
        point = one.close(200, 7)
        assert point == Signal(steps=200, updates=7, critic_loss=1.5, actor_loss=2.5, q=3.5, entropy=4.5)
        assert one.points == [point]
        assert one.close(300, 7) is None
